# Everything here needs only Python 3.11+ and make; the rest goes into .venv, in this folder.

SHELL := /bin/sh
BIN := .venv/bin
STAMP := .venv/.ready
JOBS ?= 2
ARGS ?=

# The first interpreter that is new enough; `make PYTHON=/path/to/python3.12` decides otherwise.
PYTHON ?= $(shell for p in python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: help setup compiled check test faults storms servers browser machine lock dist demo bench clean

help:
	@echo "make setup   prepare .venv (the others do it by themselves)"
	@echo "make demo    record, upgrade, damage, roll back and undo a real tree"
	@echo "make test    the tests            (make test ARGS='tests/blobs -x' for some of them)"
	@echo "make faults  kills, errors, flips, races, a soak and power cuts (root), in full figures: hours"
	@echo "make storms  the daemon under storms and kills (root) in full figures: half an hour"
	@echo "make servers remotes on real servers: moto, Swift, rclone, and Ceph where EPM_TEST_CEPH is: minutes"
	@echo "make browser the console in Chromium, with pictures of every page in screenshots/: minutes"
	@echo "make machine the .deb in an emulated machine with systemd (root, qemu, debootstrap): an hour"
	@echo "make check   format, lint and types"
	@echo "make bench   measure against other tools on real trees: half an hour, gigabytes"
	@echo "make dist    what is given to hosts, in dist/: wheel, source archive, .deb for Debian 12 (amd64)"
	@echo "make lock    pin all dependencies anew, with hashes, in requirements.lock"
	@echo "make clean   remove .venv and caches"

setup: $(STAMP)

# pip first: the one that comes with the interpreter may be too old for dependency groups. Then what
# requirements.lock names, hashes checked, and only then what pyproject.toml wants beyond it: nothing,
# unless the lock is behind (tests/test_lock.py says so).
$(STAMP): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (make PYTHON=...)" >&2; exit 1; }
	@test -x $(BIN)/python || echo "setting up .venv with $(PYTHON)" >&2
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear .venv \
		|| { echo "venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		--editable '.[sftp,s3,postgresql]' --group dev
	@touch $(STAMP)

# The tests start the program thousands of times: its modules are compiled, as where it is installed,
# even if the environment forbids to write bytecode.
compiled: $(STAMP)
	@$(BIN)/python -m compileall -q epmstore daemon tests

check: $(STAMP)
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary

# In memory where there is room: the tests sync thousands of times, and what a disk really keeps after
# a power cut is the business of tests/faults, which brings file systems of its own.
test: export TMPDIR := $(if $(wildcard /dev/shm/.),/dev/shm,$(TMPDIR))
test: compiled
	@$(BIN)/python -m pytest -q -n $(JOBS) $(ARGS)

faults: export EPM_TEST_POINTS = 250
faults: export EPM_TEST_FLIPS = 200
faults: export EPM_TEST_INTERRUPTS = 100
faults: export EPM_TEST_STEP = 64
faults: export EPM_TEST_CUTS = 1000
faults: export EPM_TEST_EVERY = 4
faults: export EPM_TEST_CRASHES = 10
faults: export EPM_TEST_ROT = 20
faults: export EPM_TEST_NAMES = 20000
faults: export EPM_TEST_ENTRIES = 300000
faults: export EPM_TEST_RACE = 60
faults: export EPM_TEST_SOAK = 600
faults: export EPM_TEST_STATES = 100
faults: export EPM_TEST_ROOM = 1
faults: export EPM_TEST_WORLDS = 2500
faults: export EPM_TEST_BOMBS = 1
faults: export EPM_TEST_CALLS = 1
faults: export EPM_TEST_ROOTS = 1
faults: export EPM_TEST_PACKAGES = 1
faults: export EPM_TEST_PARSES = 3000
faults: export EPM_TEST_SOLVES = 3000
faults: export EPM_TEST_DIST = 1
faults: export EPM_TEST_HOSTILE = 2000
faults: compiled
	@$(BIN)/python -m pytest -q -n $(JOBS) --timeout 3600 tests/acceptance tests/checkout tests/faults tests/worlds \
		tests/package/test_against_brute_force.py tests/sync tests/publish/test_three_hosts.py \
		tests/daemon/test_dist.py $(ARGS)
	@$(BIN)/python -m tests.faults.everything --out campaigns

storms: export EPM_STORM_SECONDS = 30
storms: export EPM_STORM_ROUNDS = 20
storms: export EPM_STORM_KILLS = 100
storms: export EPM_STORM_RATE = 20000
storms: export TMPDIR := $(if $(wildcard /dev/shm/.),/dev/shm,$(TMPDIR))
storms: compiled
	@$(BIN)/python -m pytest -q -rP --timeout 3600 tests/daemon/test_storms.py $(ARGS)

# Servers that remotes are tried on, in an environment of their own, which the lock says nothing of.
servers: export EPM_TEST_SERVERS = $(CURDIR)/.venv/servers/bin
servers: compiled
	@test -e .venv/servers/.ready || { $(BIN)/python -m venv .venv/servers \
		&& .venv/servers/bin/python -m pip install --quiet --disable-pip-version-check \
			--requirement tests/servers/requirements.txt && touch .venv/servers/.ready; }
	@$(BIN)/python -m pytest -q -rs -n $(JOBS) --dist loadscope --timeout 600 tests/servers \
		tests/remotes/test_sftp.py $(ARGS)

# Chromium of the system (Debian: apt install chromium), driven from an environment of its own.
browser: export EPM_TEST_BROWSER = .venv/browser/bin/python
browser: $(STAMP)
	@test -e .venv/browser/.ready || { $(BIN)/python -m venv .venv/browser \
		&& .venv/browser/bin/python -m pip install --quiet --disable-pip-version-check \
			--requirement tests/browser/requirements.txt && touch .venv/browser/.ready; }
	@$(BIN)/python -m pytest -q -rs tests/browser $(ARGS)

# The newest .deb of dist/ is what is tried; python -m tests.machine.plug pulls its plug.
machine: export EPM_TEST_MACHINE = 1
machine: compiled
	@ls dist/epmstore_*_amd64.deb >/dev/null 2>&1 || $(MAKE) --no-print-directory dist
	@$(BIN)/python -m pytest -q -rs --timeout 7200 tests/machine $(ARGS)

# Pins everything anew; from which index, the settings of uv and pip say.
lock:
	@$(PYTHON) -m venv .venv/lock && .venv/lock/bin/python -m pip install --quiet uv
	@.venv/lock/bin/uv pip compile --quiet --universal --generate-hashes --no-header \
		--python-version 3.11 --all-extras --group build --group dev --upgrade \
		pyproject.toml --output-file requirements.lock

# Fetches the wheels that requirements.lock names; needs dpkg-deb.
dist: $(STAMP)
	@$(BIN)/python -m deb.build dist

demo: $(STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" demo/run.sh

bench: $(STAMP)
	@$(BIN)/python -m benchmarks.run $(ARGS)

clean:
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
