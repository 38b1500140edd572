"""A PostgreSQL server of its own, on a socket in a folder, for as long as a block lasts."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
POSTGRES = shutil.which("postgres", path=os.pathsep.join([*map(str, _PLACES), os.environ["PATH"]]))
"""None where it is not installed (Debian: postgresql-15)."""
_SERVER = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=40")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A URL of an empty database; append `&options=...`."""
    assert POSTGRES is not None
    server = Path(POSTGRES).resolve()
    folder = Path(tempfile.mkdtemp(prefix="epm-pg-", dir="/tmp"))  # names of sockets are short
    owner = _not_root()
    os.chown(folder, owner, -1)
    try:
        subprocess.run(
            [server.with_name("initdb"), "-D", folder / "data", "-U", "epm", "-A", "trust",
             "--no-sync", "-E", "UTF8", "--locale", "C"],
            user=owner, cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        command: list[str | Path] = [server, "-D", folder / "data", "-k", folder, *_SERVER]
        with (folder / "log").open("wb") as log, subprocess.Popen(
            command, user=owner, cwd=folder, stdout=log, stderr=log
        ) as process:  # fmt: skip
            try:
                ready: list[str | Path] = [server.with_name("pg_isready"), "-q", "-h", folder]
                while subprocess.run(ready, check=False).returncode:
                    assert process.poll() is None, (folder / "log").read_text()
                yield f"postgresql://epm@/postgres?host={folder}"
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder)


def _not_root() -> int:
    """The server refuses to be root's."""
    if os.geteuid():
        return os.geteuid()
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_uid
    return pwd.getpwnam("nobody").pw_uid
