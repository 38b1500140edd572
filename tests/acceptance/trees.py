"""Two states of one application with every kind of difference between them, from a seed."""

import os
import random
import subprocess
from pathlib import Path

MTIME = 1_700_000_000_000_000_000


def make_old(root: Path, files: int, rng: random.Random) -> None:
    """The tree that was delivered: `files` regular files and some of everything else (once if they
    are few).
    """
    for number in range(files):
        write(root / f"d{number % 9}/e{number % 4}/f{number}", text(rng), rng)
    for number in range(_extras(files)):
        extras = root / f"x{number}"
        write(extras / "goes/deep/down/file", text(rng), rng)
        write(extras / "file-to-folder", text(rng), rng)
        write(extras / "file-to-link", text(rng), rng)
        write(extras / "folder-to-file/one", text(rng), rng)
        write(extras / "folder-to-link/two", text(rng), rng)
        (extras / "link-to-file").symlink_to("goes")
        (extras / "link-to-folder").symlink_to("/nowhere/at/all")
        (extras / "link-moves").symlink_to("here")
        (extras / "empty").mkdir()
        write(extras / "first", text(rng), rng)
        (extras / "second").hardlink_to(extras / "first")
        (extras / "third").hardlink_to(extras / "first")
        write(extras / "setuid", text(rng), rng)
        (extras / "setuid").chmod(0o4755)
        os.setxattr(extras / "setuid", "user.kept", b"\0value")
        (extras / "goes").chmod(0o2750)


def make_new(root: Path, files: int, rng: random.Random) -> None:
    """The upgrade, in place: what did not change keeps its inode and its times."""
    for number in range(files):
        path = root / f"d{number % 9}/e{number % 4}/f{number}"
        kind = number % 6
        if kind < 3:
            replace(path, text(rng), rng)
        elif kind == 3:
            path.unlink()
        elif kind == 4:
            path.chmod(0o600)
            os.setxattr(path, "user.new", b"%d" % number)
    for number in range(files // 6):
        write(root / f"n{number % 5}/g{number}", text(rng), rng)
    for number in range(_extras(files)):
        _change_extras(root / f"x{number}", rng)


def _extras(files: int) -> int:
    return max(3 if files > 12 else 1, files // 20)


def _change_extras(extras: Path, rng: random.Random) -> None:
    subprocess.run(["rm", "-rf", extras / "goes"], check=True)
    (extras / "file-to-folder").unlink()
    write(extras / "file-to-folder/inside/file", text(rng), rng)
    (extras / "file-to-link").unlink()
    (extras / "file-to-link").symlink_to("first")
    subprocess.run(["rm", "-r", extras / "folder-to-file", extras / "folder-to-link"], check=True)
    write(extras / "folder-to-file", text(rng), rng)
    (extras / "folder-to-link").symlink_to("empty")
    (extras / "link-to-file").unlink()
    write(extras / "link-to-file", text(rng), rng)
    (extras / "link-to-folder").unlink()
    write(extras / "link-to-folder/three", text(rng), rng)
    (extras / "link-moves").unlink()
    (extras / "link-moves").symlink_to("there")
    (extras / "empty").rmdir()
    replace(extras / "second", text(rng), rng)
    (extras / "fourth").hardlink_to(extras / "second")
    os.setxattr(extras / "setuid", "user.kept", b"other")
    (extras / "setuid").chmod(0o755)


def text(rng: random.Random) -> bytes:
    """A content; a few come twice, a few are large."""
    if rng.random() < 0.1:
        return b"the same everywhere\n"
    size = 200_000 if rng.random() < 0.02 else rng.randrange(4_000)
    words = rng.randbytes(max(8, size // 8)).hex()
    return words[:size].encode()


def write(path: Path, data: bytes, rng: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    mtime = MTIME + rng.randrange(10**17)
    os.utime(path, ns=(mtime, mtime))


def replace(path: Path, data: bytes, rng: random.Random) -> None:
    """As a package manager does it: a new inode."""
    path.unlink()
    write(path, data, rng)
