"""An application of three units, as it is installed on the machine, each after the one before. Each
looks at all its files when it starts, and says on the console which release they are of.
"""

import re
from typing import Final

from tests.machine.vm import Vm

ROOT: Final = "/opt/crm"
RELEASES: Final = ("one", "two")
FILES: Final = 300
UNITS: Final = ("crm", "crm-worker", "crm-web")

PROGRAM: Final = """#!/bin/sh
# Which release is every file of? The console has it, which no power cut can take back.
set -e
found=$(cat /opt/crm/bin/release /opt/crm/lib/*/part* | cut -c1-3 | sort | uniq -c | xargs)
echo "crm-start: $1: $found" >/dev/ttyS0
{ mkdir -p /opt/crm/data && echo "$1 $found" >>/opt/crm/data/log; } || true
systemd-notify --ready
exec sleep infinity
"""

UNIT: Final = """[Unit]
Description={name}
{order}
[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/local/bin/crmd {name}
[Install]
WantedBy=multi-user.target
"""

RELEASE: Final = """
set -e
work=$1.new
rm -rf "$work"; mkdir -p "$work/bin" "$work/etc"
echo "$2" >"$work/bin/release"
echo "port = 80" >"$work/etc/crm.conf"
python3 - "$work" "$2" "$3" <<'EOF'
import os, random, sys
work, name, files = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(name)
for n in range(files):
    folder = f"{work}/lib/d{n % 12}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/part{n}", "wb") as file:
        file.write(name.encode() + b" " + rng.randbytes(rng.randrange(200, 9000)).hex().encode() + b"\\n")
EOF
"""  # noqa: E501
"""Makes the files of a release beside a root."""

SWAP: Final = """
set -e
mkdir -p "$1"
rm -rf "$1/bin" "$1/lib"
mv "$1.new/bin" "$1.new/lib" "$1/"
[ -e "$1/etc" ] || mv "$1.new/etc" "$1/"
rm -rf "$1.new"
"""
"""An installer as there are many: it cares for nothing."""

SUM: Final = """
import hashlib, os, stat, sys
found = hashlib.sha256()
for folder, folders, files in os.walk(sys.argv[1]):
    folders[:] = sorted(f for f in folders if f not in ("data", "etc"))
    for name in sorted(f for f in files if not f.startswith("extra")):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        found.update(f"{path} {stat.S_IMODE(os.stat(path).st_mode)} {content}\\n".encode())
print(found.hexdigest())
"""
"""A sum over the files of a release in a root."""


def units() -> dict[str, str]:
    """The files of the units, by path."""
    found, before = {}, ""
    for name in UNITS:
        order = f"After={before}.service\nRequires={before}.service" if before else ""
        found[f"/etc/systemd/system/{name}.service"] = UNIT.format(name=name, order=order)
        before = name
    return found


def install(vm: Vm) -> dict[str, str]:
    """Two versions of it in the store, the second one live, and the units enabled. What the sum of
    each release is.
    """
    vm.write("/usr/local/bin/crmd", PROGRAM)
    vm.write("/usr/local/lib/sum.py", SUM)
    vm.run("chmod", "755", "/usr/local/bin/crmd")
    for path, text in units().items():
        vm.write(path, text)
    sums = {}
    release(vm, RELEASES[0])
    vm.epmstore("app", "add", "crm", ROOT, "--state", "data/", "--config", "etc/")
    bind(vm)
    for name in RELEASES:
        release(vm, name)
        vm.epmstore("snapshot", "-m", name)
        sums[name] = total(vm)
    vm.run("systemctl", "daemon-reload")
    vm.run("systemctl", "enable", *(f"{name}.service" for name in UNITS))
    return sums


def bind(vm: Vm) -> None:
    """Stopped and started around a checkout, and not started before its files are whole."""
    stop, start = (f"systemctl {verb} crm crm-worker crm-web" for verb in ("stop", "start"))
    vm.epmstore("app", "set", "crm", "--stop", stop, "--start", start, "--unit", "crm.service")


def release(vm: Vm, name: str) -> None:
    vm.sh(RELEASE, ROOT, name, str(FILES))
    vm.sh(SWAP, ROOT)


def total(vm: Vm) -> str:
    return vm.run("python3", "/usr/local/lib/sum.py", ROOT).out.strip()


def starts(console: str) -> list[tuple[str, str]]:
    """The units that were started, and what each found: `301 one` if all is of one release."""
    return re.findall(r"crm-start: ([\w-]+): ([\w ]+?)\r?$", console, re.MULTILINE)


def is_whole(found: str) -> bool:
    return found in {f"{FILES + 1} {name}" for name in RELEASES}
