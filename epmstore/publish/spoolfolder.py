"""The working space that hosts share: whose it is, and whether it can lock.

pipeline.json   where payloads go, and who signs them
watched.json    folders in which builds appear
builds.sqlite   records and their transaction log, where PostgreSQL does not have them
log.jsonl       the log again, for other programs
temp/           payloads in the making
upload/         payloads that wait for an uploader
locks/          files to hold flock on
"""

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from epmstore import fsio
from epmstore.atomic import directory, make_directories, read_file, replace_read
from epmstore.errors import ConflictError, DamagedError, EpmError, NotFoundError
from epmstore.owned import check_working_space
from epmstore.publish.lifecycle import ReadyBuilds
from epmstore.remotes.place import RemotePlace

SETTINGS: Final = "pipeline.json"
FOLDERS: Final = ("temp", "upload", "locks")
_SETTINGS_MAX: Final = 1 << 16
_PROBE: Final = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(7)
"""
_REFUSED: Final = 7


class SpoolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said once about a spool: a program that does not know all of it keeps away. `remote`
    is a folder or a URL, with what `RemotePlace` has beside it; `sign` is a file with a secret
    key, or None; `ready` says which builds are prepared; `database` is a URL of PostgreSQL where
    the records are, or None: in the spool.
    """

    remote: str
    sign: str | None = None
    authorities: str | None = None
    credentials: str | None = None
    host_keys: tuple[str, ...] = ()
    endpoint: str | None = None
    region: str | None = None
    ready: ReadyBuilds = ReadyBuilds()
    database: str | None = None

    @property
    def place(self) -> RemotePlace:
        """Where payloads go, and how one gets in there."""
        return RemotePlace(
            url=self.remote,
            authorities=self.authorities,
            credentials=self.credentials,
            host_keys=self.host_keys,
            endpoint=self.endpoint,
            region=self.region,
        )


class SpoolFolder(msgspec.Struct, frozen=True):
    """Where everything of a spool is."""

    path: Path
    settings: SpoolSettings

    @property
    def temp(self) -> Path:
        return self.path / "temp"

    @property
    def upload(self) -> Path:
        return self.path / "upload"

    @property
    def locks(self) -> Path:
        return self.path / "locks"

    @property
    def database(self) -> Path:
        return self.path / "builds.sqlite"

    @property
    def watched(self) -> Path:
        return self.path / "watched.json"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"


def can_lock(path: Path) -> bool:
    """Whether a lock that this process holds on a file keeps another process out, and only as long
    as it is held. Raises OSError.
    """
    with directory(path.parent) as parent:
        fd = fsio.open_append(path.name, parent)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        held = _other(path)
        fcntl.flock(fd, fcntl.LOCK_UN)
        return held == _REFUSED and _other(path) == 0
    finally:
        os.close(fd)


def _other(path: Path) -> int:
    command = [sys.executable, "-I", "-S", "-c", _PROBE, str(path)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def make_spool(
    path: Path, settings: SpoolSettings, lockable: Callable[[Path], bool] = can_lock
) -> SpoolFolder:
    """A new spool; the same settings again change nothing. Raises ConflictError if there is one
    with others, ForeignError where others may write, EpmError if its file system cannot lock,
    OSError.
    """
    check_working_space(path, "spool", FOLDERS)
    spool = SpoolFolder(path, settings)
    if (path / SETTINGS).exists() and open_spool(path).settings != settings:
        raise ConflictError(f"{path} is a spool already, with other settings")
    for folder in (spool.temp, spool.upload, spool.locks):
        make_directories(folder)
    probe = spool.locks / "probe"
    with directory(spool.locks) as fd, contextlib.suppress(FileExistsError):
        os.close(fsio.create(probe.name, fd))
    if settings.database is None and not lockable(probe):
        raise EpmError(
            f"the file system of {path} cannot lock: two processes held one lock",
            hint="take a folder of a file system that has locks for all its hosts, or --database",
        )
    replace_read(path / SETTINGS, msgspec.json.encode(settings) + b"\n", _read_settings)
    return spool


def open_spool(path: Path) -> SpoolFolder:
    """What is there is believed: it says where payloads go, and which key signs them. Raises
    ForeignError if others than we and root may write there, NotFoundError, DamagedError, OSError.
    """
    check_working_space(path, "spool", FOLDERS)
    try:
        data = read_file(path / SETTINGS, _SETTINGS_MAX)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"{path} is no spool", hint="make one: `epmstore publish init --spool DIR --remote DIR`"
        ) from None
    try:
        return SpoolFolder(path, _read_settings(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedError(f"{path / SETTINGS} is damaged: {error}") from None


def _read_settings(data: bytes) -> SpoolSettings:
    return msgspec.json.decode(data, type=SpoolSettings)


def sweep(folder: Path, keep: set[str]) -> list[str]:
    """Remove what an interrupted run left in a folder of the spool. For the preparer alone."""
    removed = []
    with directory(folder) as fd:
        for name in sorted(os.listdir(fd)):
            if name not in keep:
                with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                    fsio.unlink(name, fd)
                    removed.append(name)
    return removed
