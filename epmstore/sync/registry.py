"""The remotes of a store, and what it remembers of each: the folder `remotes/`.

    remotes/<name>/settings.json      where it is, and what goes there
    remotes/<name>/secret             the key that this host signs its heads with; mode 0600
    remotes/<name>/head               the head that it has there, as it was acknowledged
    remotes/<name>/next               the head that it was about to put there
    remotes/<name>/denied.json        that this host is not let in, and since when
    remotes/<name>/packs.json         packs that were sent, and that no head may name yet
    remotes/<name>/tables/<sha256>    tables of packs there, as far as they were needed once
    remotes/<name>/hosts/<writer>/    key, head and histories of other hosts, as they were pulled

Settings have a digest of themselves; keys and heads are checked by the code that reads them. Each
change is durable when it returns.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from epmstore import fsio, locks
from epmstore.atomic import (
    TEMPORARY,
    directory,
    make_directories,
    read_file,
    remove_file,
    replace_file,
    replace_read,
)
from epmstore.errors import ConflictError, DamagedError, NotFoundError, UsageError
from epmstore.given import AnyPath, a_place
from epmstore.refcat.signature import PublicKey, make_key, read_key
from epmstore.remotes.place import S3, SFTP, RemotePlace, bucket_address, sftp_address
from epmstore.store.store import REMOTES
from epmstore.sync.heads import HEAD_MAX, KEY_MAX, Head, PackRef

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
FACTS: Final = "facts"
RESTORABLE: Final = "restorable"
POLICIES: Final = (FACTS, RESTORABLE)
_LIMIT: Final = 1 << 16
_ZEROS: Final = "0" * 64
KEY_NAME: Final = "epmstore"
"""What a key of a writer says that it is called: nothing about the host."""


class RemoteSettings(RemotePlace, frozen=True, kw_only=True):
    """One remote. Those of a lower `order` are asked first. `writer` is who this host is there
    (None: nothing can be written there), `continues` who it was before, or, if it `adopted` that
    host, whose place it has taken. `agreed`: a person has seen what goes there.
    """

    sha256: str = _ZEROS
    format: int = 1
    depot: str
    order: int
    policy: str = FACTS
    added: str
    writer: str | None = None
    continues: str | None = None
    agreed: bool = False
    adopted: bool = False


class RemoteDenial(msgspec.Struct, frozen=True):
    """That a remote did not accept this host, or this host did not accept it: it is not tried again
    before a person says so.
    """

    time: str
    message: str


class RemoteRecord:
    """What a store keeps of one remote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    @property
    def hosts(self) -> Path:
        return self.folder / "hosts"

    def settings(self) -> RemoteSettings:
        """Raises NotFoundError if there is no such remote, DamagedError."""
        path = self.folder / "settings.json"
        try:
            return _parse(read_file(path, _LIMIT))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(
                f"no remote {self.name!r}", hint="`epmstore remote list` shows those there are"
            ) from None
        except (ValueError, RecursionError, DamagedError):
            raise DamagedError(
                f"{path} is not what was written",
                hint=f"`epmstore remote remove {self.name}`, and add it again",
                file=str(path),
            ) from None

    def denial(self) -> RemoteDenial | None:
        """None if nothing is known of one."""
        with contextlib.suppress(OSError, ValueError, DamagedError):
            data = read_file(self.folder / "denied.json", _LIMIT)
            return msgspec.json.decode(data, type=RemoteDenial)
        return None

    def deny(self, denial: RemoteDenial | None) -> None:
        """None: it may be tried again. Raises OSError."""
        if denial is not None:
            replace_file(self.folder / "denied.json", msgspec.json.encode(denial))
        elif self.denial() is not None:
            remove_file(self.folder / "denied.json")

    def change(self, settings: RemoteSettings) -> RemoteSettings:
        """What was denied may be tried again. Raises OSError."""
        self.deny(None)
        whole = replace(settings, sha256=_sum_of(settings))
        data = msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
        make_directories(self.folder)
        replace_read(self.folder / "settings.json", data, _parse)
        return whole

    def make_writer(self, settings: RemoteSettings) -> RemoteSettings:
        """A new key, and settings that name it; what the old one had put there is forgotten. Raises
        OSError.
        """
        secret, public = make_key(KEY_NAME)
        make_directories(self.folder)
        for name in ("head", "next", "packs.json"):
            remove_file(self.folder / name)
        replace_file(self.folder / "public", public)
        replace_file(self.folder / "secret", secret)
        writer = read_key(public).fingerprint
        return self.change(replace(settings, writer=writer, continues=settings.writer))

    def secret(self) -> bytes:
        """Raises DamagedError, OSError."""
        return self._kept("secret", KEY_MAX)

    def public(self, settings: RemoteSettings) -> tuple[bytes, PublicKey]:
        """Raises DamagedError, OSError."""
        data = self._kept("public", KEY_MAX)
        with contextlib.suppress(UsageError):
            key = read_key(data)
            if key.fingerprint == settings.writer:
                return data, key
        raise self._lost("public")

    def kept_head(self, name: str) -> bytes | None:
        """`head` or `next`; None if there is none. Raises DamagedError, OSError."""
        try:
            return read_file(self.folder / name, HEAD_MAX)
        except FileNotFoundError:
            return None

    def keep_head(self, name: str, data: bytes) -> None:
        replace_file(self.folder / name, data)

    def reached(self) -> Head | None:
        """The head that is there, as it was acknowledged: who asks trusts this store, so that its
        signature is not looked at. None if nothing is known. Raises OSError.
        """
        with contextlib.suppress(DamagedError, ValueError):
            data = self.kept_head("head")
            if data is not None:
                return msgspec.json.decode(data.partition(b"\n")[0], type=Head)
        return None

    def sent_packs(self) -> dict[str, tuple[PackRef, ...]]:
        """Packs that this host sent and read back, by application: those of the head that is there,
        and those of a push that was cut off. A hint; nothing where it was lost.
        """
        with contextlib.suppress(OSError, DamagedError, ValueError, RecursionError):
            data = read_file(self.folder / "packs.json", HEAD_MAX)
            return msgspec.json.decode(data, type=dict[str, tuple[PackRef, ...]])
        return {}

    def note_packs(self, app: str, packs: tuple[PackRef, ...]) -> None:
        """Raises OSError."""
        noted = {**self.sent_packs(), app: packs}
        replace_file(self.folder / "packs.json", msgspec.json.encode(noted))

    def acknowledge(self, data: bytes) -> None:
        """A head is there: it is what the next one follows."""
        replace_file(self.folder / "head", data)
        remove_file(self.folder / "next")

    def _kept(self, name: str, limit: int) -> bytes:
        try:
            return read_file(self.folder / name, limit)
        except FileNotFoundError:
            raise self._lost(name) from None

    def _lost(self, name: str) -> DamagedError:
        return DamagedError(
            f"the key of this host for the remote {self.name} is lost or damaged",
            hint=f"`epmstore remote set {self.name} --new-writer` makes another",
            file=str(self.folder / name),
        )


class Registry:
    """All remotes of one store."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._folder = store / REMOTES

    def list(self) -> list[RemoteSettings]:
        """In the order in which they are asked. Raises DamagedError."""
        found = [RemoteRecord(path).settings() for path in self._paths()]
        return sorted(found, key=lambda one: (one.order, one.name))

    def record(self, name: str) -> RemoteRecord:
        """Raises UsageError for what is no name."""
        return RemoteRecord(self._folder / check_name(name))

    def check_free(self, name: str) -> None:
        """Raises UsageError for what is no name, ConflictError for one that is taken."""
        if (self.record(name).folder / "settings.json").exists():
            raise ConflictError(
                f"there is a remote {name!r} already", hint=f"`epmstore remote show {name}`"
            )

    def remove(self, name: str) -> RemoteSettings | None:
        """Forget a remote, its keys and what was pulled from it; None if its settings were damaged.
        What is there stays. Raises NotFoundError, OSError.
        """
        record = self.record(name)
        settings = None
        with contextlib.suppress(DamagedError):
            settings = record.settings()
        # settings first: what a crash leaves of the rest is no remote
        remove_file(record.folder / "settings.json")
        remove_tree(record.folder)
        return settings

    @contextlib.contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """No other process of this host pushes to it or pulls from it. Raises BusyError."""
        with locks.hold(self._store / "locks", f"remote-{check_name(name)}"):
            folder = self.record(name).folder
            for place in (folder, folder / "tables"):
                for path in place.glob(f"{TEMPORARY}*"):
                    remove_file(path)  # of a process that was killed
            yield

    def _paths(self) -> Iterator[Path]:
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.iterdir()):
            if NAME.fullmatch(path.name) and (path / "settings.json").exists():
                yield path


def check_name(name: str) -> str:
    """Raises UsageError unless a remote may be called so."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a remote",
            hint="use small letters, digits, `_` and `-`, at most 40 characters",
        )
    return name


def remove_tree(path: Path) -> None:
    """A folder of ours is gone, with all that is in it. Raises OSError."""
    if path.is_symlink() or not path.is_dir():
        remove_file(path)
        return
    for below in path.iterdir():
        remove_tree(below)
    with directory(path.parent) as parent:
        fsio.remove_directory(path.name, parent)
        fsio.sync_directory(parent)


def url_of(place: AnyPath) -> str:
    """A place as it is kept: a folder by its absolute path. Raises UsageError for what this release
    cannot reach.
    """
    text = str(place).removeprefix("file://")
    scheme, sep, _ = text.partition("://")
    if not sep:
        return os.path.normpath(a_place(text).absolute())
    if scheme == SFTP:
        sftp_address(text)
    elif scheme == S3:
        bucket_address(text)
    elif scheme not in ("http", "https"):
        raise UsageError(
            f"{scheme}:// is nothing that this release reaches",
            hint="name a folder, sftp://user@host/folder, s3://bucket/prefix, or https://host/folder",
        )
    return text.rstrip("/")


def _parse(data: bytes) -> RemoteSettings:
    """Raises ValueError for anything but what was written."""
    document = msgspec.json.decode(data)
    found = msgspec.convert(document, RemoteSettings)
    plain = msgspec.json.encode({**document, "sha256": _ZEROS})  # with what it has, and no more
    if found.sha256 != hashlib.sha256(plain).hexdigest():
        raise ValueError("it has another digest")
    return found


def _sum_of(settings: RemoteSettings) -> str:
    plain = msgspec.json.encode(replace(settings, sha256=_ZEROS))
    return hashlib.sha256(plain).hexdigest()
