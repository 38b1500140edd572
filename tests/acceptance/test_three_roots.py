"""The daemon over three real roots at once, as root and as an ordinary user: a source tree, what a
package of the system has installed, and a node_modules tree.
"""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemon import Daemon
from tests.kit.program import amount

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not amount("EPM_TEST_ROOTS", 0), reason="EPM_TEST_ROOTS=1 tries it"),
]
SOURCES = {
    "sources": os.environ.get("EPM_TEST_SOURCES", os.path.dirname(os.__file__)),
    "package": os.environ.get("EPM_TEST_PACKAGE", "/usr/share/perl"),
    "modules": os.environ.get("EPM_TEST_MODULES", "/usr/lib/node_modules"),
}
"""Trees of this host, of which copies are watched."""
USER = "nobody"
PROBE = "import os, sys, epmstored.main; sys.exit(not os.access(sys.executable, os.X_OK))"


class Person:
    """Whoever runs it all, and the interpreter that he may use."""

    def __init__(self, place: Path, uid: int | None) -> None:
        self.place = place
        self.store = place / "store"
        self.before: tuple[str, ...] = ()
        if uid is not None:
            self.before = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
        self.environment = {**os.environ, "HOME": str(place), "PYTHONPATH": ":".join(sys.path)}
        self.python = next(filter(self._works, (sys.executable, "/usr/bin/python3")), None)

    def _works(self, python: str) -> bool:
        command = [*self.before, python, "-c", PROBE]
        return not subprocess.run(command, env=self.environment, capture_output=True).returncode

    def __call__(self, *words: str, code: int = 0) -> list[Any]:
        """What our program prints as JSON."""
        command = [*self.before, str(self.python), "-m", "epmstore", *words, "--json"]
        done = subprocess.run(
            [*command, "--store", str(self.store)],
            env=self.environment, capture_output=True, text=True, cwd="/",
        )  # fmt: skip
        assert done.returncode == code, (words, done)
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(params=["root", "user"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    """In a folder that an ordinary user may enter."""
    uid = None
    if request.param == "root":
        if os.geteuid() != 0:
            pytest.skip("needs root")
    elif os.geteuid() == 0:
        uid = pwd.getpwnam(USER).pw_uid
    with tempfile.TemporaryDirectory(prefix="epm-roots-") as folder:
        if uid is not None:
            os.chown(folder, uid, uid)
        person = Person(Path(folder), uid)
        if person.python is None:
            pytest.skip(f"{USER} may not run this interpreter")
        yield person


@pytest.fixture
def roots(person: Person) -> Mapping[str, Path]:
    found = {}
    for key, source in SOURCES.items():
        if not os.path.isdir(source):
            pytest.skip(f"needs {source}")
        found[key] = person.place / key
        shutil.copytree(source, found[key], symlinks=True, ignore_dangling_symlinks=True)
    if person.before:
        subprocess.run(["chown", "-Rh", USER, *map(str, found.values())], check=True)
    return found


def edit(root: Path) -> tuple[str, str]:
    """The paths of a file that was changed and of one that was made, in different folders."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    changed, beside = files[len(files) // 2], files[-1]
    with changed.open("ab") as file:
        file.write(b"\n")
    made = beside.with_name("made by hand")
    made.write_text("x")
    return str(changed.relative_to(root)), str(made.relative_to(root))


def test_three_roots_at_once(person: Person, roots: Mapping[str, Path]) -> None:
    person("init")
    for key, root in roots.items():
        person("app", "add", key, str(root))
    program = "import sys; from epmstored.main import main; sys.exit(main())"
    daemon = Daemon(
        person.store, *person.before,
        starts=[str(person.python), "-c", program], **person.environment,
    )  # fmt: skip
    try:
        daemon.wait_for("INFO: ready", timeout=300)
        for key, root in roots.items():
            assert {one["app"] for one in person("status", "--app", key) if one["clean"]} == {key}
            files = sum(1 for _ in root.rglob("*"))
            assert person("log", "--all", "--app", key)[0]["added"] == files
        edited = {key: edit(root) for key, root in roots.items()}
        for key, paths in edited.items():
            daemon.wait_for(rf"{key}: version 1 \(event\), 2 paths")
            found = person("diff", "0..1", "--app", key)
            assert {one["path"] for one in found if one["type"] == "change"} == set(paths)
        states = [one for one in person("daemon", "status") if one["type"] == "app_state"]
        assert {(one["app"], one["state"], one["version"]) for one in states} == {
            (key, "watching", 1) for key in roots
        }
        assert [one["degraded"] for one in states] == [[], [], []]
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(60) == 0
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
    for key in roots:
        assert all(one["clean"] for one in person("status", "--app", key))
