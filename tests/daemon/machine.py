"""A systemd of its own: process 1 of new namespaces, on the files of this host.

The root is read-only there; what is written to /etc, /run, /tmp, /srv, /var/lib and /usr/local/bin
stays in memory. No unit of the host is known to it, and so none is started: not those either that
clean up at boot.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = Path(__file__).parents[2] / "daemon" / "systemd" / "system"
SETUP = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 none "$BASE"
mkdir "$BASE/etc" "$BASE/work" "$BASE/lib" "$BASE/bin"
mount -t overlay -o lowerdir=/etc,upperdir="$BASE/etc",workdir="$BASE/work" none /etc
mount --bind "$BASE/lib" /var/lib
mount --bind "$BASE/bin" /usr/local/bin
mount -t tmpfs -o mode=755 none /run
for folder in /srv /etc/systemd/system /usr/lib/systemd/system /usr/lib/systemd/system-generators
do
    mount -t tmpfs -o mode=755 none $folder
done
for target in sysinit basic local-fs shutdown multi-user trial
do
    printf '[Unit]\\nDefaultDependencies=no\\n' > /etc/systemd/system/$target.target
done
ln -s "$PROGRAMS/epmstore" "$PROGRAMS/epmstored" /usr/local/bin/
cp "$UNITS"/* /etc/systemd/system/
mount -o remount,bind,ro /
mount -t tmpfs none /tmp
exec env -i container=other PATH="$PATH" "$SYSTEMD" --system --unit=trial.target \
    --log-target=console --show-status=no
"""


OWN = ("/etc", "/run", "/tmp", "/srv", "/var/lib", "/usr/local/bin")
"""Folders of which the trial sees its own alone."""


def hides() -> str | None:
    """That of them in which this program lies."""
    program = Path(sys.executable).parent
    return next((folder for folder in OWN if program.is_relative_to(folder)), None)


class Machine:
    """Runs from `start` to `off`. Raises OSError, CalledProcessError where that is not allowed."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._groups: list[Path] = []
        self.log = base / "log"

    def start(self) -> None:
        """Until it takes commands."""
        self._make_groups()
        (self._base / "mnt").mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "BASE": str(self._base / "mnt"),
            "PROGRAMS": str(Path(sys.executable).parent),
            "UNITS": str(UNITS),
            "SYSTEMD": str(SYSTEMD),
        }
        enter = "".join(f"echo $$ > {group}/cgroup.procs\n" for group in self._groups)
        unshare = ["unshare", "-m", "-p", "-f", "-i", "-u", "-C", "--kill-child", "sh", "-c", SETUP]
        with self.log.open("wb") as log:
            self._outer = subprocess.Popen(
                ["sh", "-c", f'{enter}exec "$@"', "sh", *unshare],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + 60
        while self.run("systemctl", "is-active", "trial.target", check=False).returncode:
            if self._outer.poll() is not None or time.monotonic() > end:
                raise OSError(f"systemd does not run: {self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def off(self) -> None:
        """Everything in it is killed, and what it left behind goes."""
        if self._outer.poll() is None:
            self._outer.send_signal(signal.SIGKILL)
        self._outer.wait(60)
        for group in self._groups:
            folders = [Path(folder) for folder, _, _ in os.walk(group, topdown=False)]
            for folder in folders:
                _remove_group(folder)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command inside."""
        clean = ["env", "-i", f"PATH={os.environ['PATH']}:/usr/local/bin"]
        inside = ["nsenter", "-t", str(self._first()), "-a", *clean, *words]
        done = subprocess.run(
            inside, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30
        )
        assert not check or done.returncode == 0, (words, done, self.log.read_text()[-3000:])
        return done

    def epmstore(self, *words: str) -> list[dict[str, Any]]:
        """What our own program, run inside by root for the system's store, prints as JSON."""
        done = self.run("epmstore", *words, "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def write(self, path: str, text: str) -> None:
        """A file inside."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")"; printf %s "$2" > "$1"', "sh", path, text)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def _first(self) -> int:
        """The number that its process 1 has outside."""
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        try:
            return int(children.read_text().split()[0])
        except (OSError, IndexError):
            return self._outer.pid

    def _make_groups(self) -> None:
        """One of its own in each hierarchy of control groups that allows it: process 1 makes its
        groups below that, and not among those of the host.
        """
        own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, where, kind, options = line.split()[:4]
            if kind not in ("cgroup", "cgroup2"):
                continue
            for _, controllers, path in own:
                is_it = set(controllers.split(",")) <= set(options.split(",")) if controllers else (
                    kind == "cgroup2"
                )  # fmt: skip
                if is_it and "cpuset" not in controllers:
                    group = Path(where + path) / f"epmstore-trial-{os.getpid()}"
                    with contextlib.suppress(OSError):
                        group.mkdir()
                        self._groups.append(group)


def _remove_group(folder: Path) -> None:
    """As soon as its processes have ended."""
    for _ in range(100):
        try:
            folder.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return


def is_possible() -> bool:
    tools = all(map(shutil.which, ("unshare", "nsenter", "systemctl")))
    return os.geteuid() == 0 and SYSTEMD.exists() and tools


@contextlib.contextmanager
def booted(base: Path) -> Iterator[Machine]:
    """Raises OSError where this host does not allow it."""
    machine = Machine(base)
    try:
        machine.start()
        yield machine
    finally:
        machine.off()
