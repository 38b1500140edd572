"""Traces of system calls, by strace: which calls changed files below a folder, and which of them
had been announced by `fsio` (see marked.py).
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.faults.marked import MARK

MARKED = Path(__file__).with_name("marked.py")
ANNOUNCED = {
    "create": {"openat"},
    "write": {"write", "pwrite64"},
    "truncate": {"ftruncate"},
    "allocate": {"fallocate"},
    "fsync": {"fsync"},
    "fdatasync": {"fdatasync"},
    "fsyncdir": {"fsync"},
    "syncfs": {"syncfs"},
    "rename": {"rename", "renameat", "renameat2"},
    "exchange": {"renameat2"},
    "unlink": {"unlink", "unlinkat"},
    "mkdir": {"mkdir", "mkdirat"},
    "rmdir": {"rmdir", "unlinkat"},
    "symlink": {"symlink", "symlinkat"},
    "link": {"link", "linkat"},
    "chmod": {"fchmod", "fchmodat"},
    "chown": {"fchown", "fchownat"},
    "utime": {"utimensat"},
    "setxattr": {"fsetxattr", "lsetxattr", "setxattr"},
    "removexattr": {"fremovexattr", "lremovexattr", "removexattr"},
}
"""What `fsio` calls it, and what the kernel may see of it."""
OTHERS = {
    "chmod", "chown", "copy_file_range", "creat", "fchmodat2", "io_uring_enter",
    "lchown", "mknod", "mknodat", "mount", "pwritev", "pwritev2", "sendfile", "splice", "sync",
    "sync_file_range", "truncate", "utime", "utimes", "writev", "futimesat", "open",
}  # fmt: skip
"""Calls that change files and that `fsio` does not make at all."""
_WRITES = re.compile(r"O_(WRONLY|RDWR)[^)]*O_(CREAT|TRUNC)|O_(CREAT|TRUNC|TMPFILE)")
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")


class Change(NamedTuple):
    """A system call that changed something; `announced` is what `fsio` had called it."""

    call: str
    text: str
    announced: str | None

    @property
    def is_known(self) -> bool:
        return self.announced is not None and self.call in ANNOUNCED[self.announced]


def missing() -> str | None:
    """Why no trace can be made, if so."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "strace may not trace here"


def trace(place: Path, environment: Mapping[str, str], *args: str) -> tuple[int, list[Change]]:
    """Run a program of ours; its exit code, and what it changed below `place`."""
    calls = sorted({"stat", "newfstatat", "openat"}.union(OTHERS, *ANNOUNCED.values()))
    wanted = ",".join(f"?{call}" for call in calls)
    log = place.parent / "trace"
    options = ["-f", "-y", "-s", "8", "-e", "signal=none", "-e", f"trace={wanted}", "-o", str(log)]
    command = ["strace", *options, sys.executable, *args]
    done = subprocess.run(command, env=dict(environment), capture_output=True, check=False)
    assert b"Traceback" not in done.stderr, done.stderr
    return done.returncode, list(changes(log.read_text(errors="replace"), str(place)))


def changes(text: str, place: str) -> Iterator[Change]:
    """What changed something below `place`, in the order of the trace."""
    announced: dict[str, str] = {}
    for line in _whole(text.splitlines()):
        found = _LINE.match(line)
        if found is None:
            continue
        thread, call, rest = found.groups()
        if MARK in rest:
            announced[thread] = rest.split(MARK, 1)[1].split('"', 1)[0]
        elif _changes(call, rest) and place in rest:
            yield Change(call, rest, announced.get(thread))


def _changes(call: str, rest: str) -> bool:
    if call in ("openat", "open"):
        return _WRITES.search(rest) is not None
    return call in OTHERS or any(call in known for known in ANNOUNCED.values())


def _whole(lines: list[str]) -> Iterator[str]:
    """Lines of which the end was put behind what other threads did are joined again."""
    begun: dict[str, str] = {}
    for line in lines:
        thread = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>")
        elif "resumed>" in line and thread in begun:
            yield begun.pop(thread) + line.split("resumed>", 1)[1]
        else:
            yield line
