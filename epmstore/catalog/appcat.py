"""The appcat: the applications of this host, in one small checksummed file.

The file is JSON that people may read. Its first value is the SHA-256 of the whole file with 64
zeros in that place, so that no byte of it can change unseen; who edits it by hand must mend that
too, which is on purpose. Keys that this release does not know are kept.
"""

import hashlib
import os
import re
from operator import attrgetter
from pathlib import Path
from typing import Final

import msgspec

from epmstore import atomic
from epmstore.catalog.classes import Patterns, Rules
from epmstore.errors import (
    AppNotFoundError,
    ConflictError,
    DamagedError,
    NoStoreError,
    RootError,
    UsageError,
)
from epmstore.relpath import text_from_json, text_to_json

FORMAT = 1
MAX_SIZE = 64 << 20
HISTORIES: Final = "*.syscat.zst"
"""What lies beside it once anything was recorded of an application."""
RESERVED: Final = frozenset({"latest", "now"})
_KEY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_HEAD = b'{\n  "sha256": "'
_ZEROS = b"0" * 64


class RootIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What tells a root that was emptied from one that was replaced. None: not known."""

    inode: int
    fs_uuid: str | None = None
    fs_type: str | None = None


class App(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One application. `root` is absolute and normal (no `.`, `..`, `//` or slash at its end).

    `follow` says what is recorded if the root is a symlink: what it points to at the time, or the
    target that it had when the application was added (`root` is then that target). `cross_mounts`
    goes into other file systems below the root. `noisy` are files that changed all the time and
    have no class yet: their contents are not recorded. `options` are settings by name. `other`
    holds the keys that this release does not know. `removed` is when it was removed (empty:
    the time is not known); its history is still there, and nothing else can be done with it.
    """

    uuid: str
    key: str
    root: str
    follow: bool = False
    identity: RootIdentity | None = None
    patterns: Patterns = Patterns()
    cross_mounts: bool = False
    noisy: tuple[str, ...] = ()
    created: str | None = None
    options: dict[str, object] = {}
    removed: str | None = None
    other: dict[str, object] = {}


_KNOWN = frozenset(App.__struct_fields__) - {"other"}


class AppCat(msgspec.Struct, frozen=True):
    """All applications of a host, in order of their keys, and those that were removed and can be
    taken up again.
    """

    apps: tuple[App, ...] = ()
    other: dict[str, object] = {}
    removed: tuple[App, ...] = ()

    def find(self, key: str) -> App:
        """By key. Raises AppNotFoundError."""
        for app in self.apps:
            if app.key == key:
                return app
        known = ", ".join(app.key for app in self.apps)
        raise AppNotFoundError(
            f"no application {key!r}",
            hint=f"known: {known}" if known else "add one with `epmstore app add KEY ROOT`",
            key=key,
        )

    def find_containing(self, path: str) -> App | None:
        """The application whose root is or holds an absolute normal path; the innermost of them."""
        holding = [app for app in self.apps if relative(path, app.root) is not None]
        return max(holding, key=lambda app: len(app.root), default=None)

    def add(self, app: App) -> "AppCat":
        """Raises UsageError for a bad key or pattern, ConflictError for a key that is taken,
        RootError for a root that is taken, or lies in another's or around it.
        """
        check_key(app.key)
        if any(app.key == known.key for known in self.apps):
            raise ConflictError(
                f"there is an application {app.key!r} already",
                hint=f"`epmstore app show {app.key}`",
                key=app.key,
            )
        if any(app.uuid == known.uuid for known in self.apps):
            raise ConflictError(f"there is an application with the UUID {app.uuid} already")
        Rules(app.patterns)
        if not app.root.startswith("/") or os.path.normpath(app.root) != app.root:
            raise UsageError(f"{app.root!r} is not an absolute path in normal form")
        for known in self.apps:
            check_apart(known, app)
        apps = tuple(sorted((*self.apps, app), key=attrgetter("key")))
        return AppCat(apps, self.other, _without(self.removed, app.uuid))

    def change(self, app: App) -> "AppCat":
        """The application of the same UUID becomes `app`. Raises as `add` does."""
        return self._drop(app.uuid).add(app)

    def remove(self, uuid: str, time: str | None = None) -> "AppCat":
        """With a `time`, it is remembered as removed then. Raises AppNotFoundError."""
        gone = [msgspec.structs.replace(a, removed=time) for a in self.apps if a.uuid == uuid]
        rest = self._drop(uuid)
        return rest if time is None else AppCat(rest.apps, rest.other, (*rest.removed, *gone))

    def forget(self, uuid: str) -> "AppCat":
        """One that was removed is not remembered any more."""
        return AppCat(self.apps, self.other, _without(self.removed, uuid))

    def _drop(self, uuid: str) -> "AppCat":
        rest = _without(self.apps, uuid)
        if len(rest) == len(self.apps):
            raise AppNotFoundError(f"no application with the UUID {uuid}")
        return AppCat(rest, self.other, self.removed)


def _without(apps: tuple[App, ...], uuid: str) -> tuple[App, ...]:
    return tuple(app for app in apps if app.uuid != uuid)


def check_key(key: str) -> None:
    """Raises UsageError unless `key` may name an application."""
    if not _KEY.fullmatch(key) or key.isdigit() or key in RESERVED:
        raise UsageError(
            f"{key!r} cannot name an application",
            hint="use small letters, digits, `_`, `.` and `-`, not digits alone, at most 64 "
            "characters; `latest` and `now` mean versions",
            key=key,
        )


def check_apart(one: App, two: App) -> None:
    """Raises RootError if two applications would record the same paths."""
    if one.root == two.root:
        raise RootError(
            f"{one.root} is the root of {one.key!r} already",
            hint=f"`epmstore app show {one.key}`",
            root=one.root,
        )
    for outer, inner in ((one, two), (two, one)):
        path = relative(inner.root, outer.root)
        if path is not None and Rules(outer.patterns).classify(path, is_dir=True) != "ignore":
            raise RootError(
                f"the root of {inner.key!r}, {inner.root}, lies in that of {outer.key!r}",
                hint=f"let {outer.key} ignore it: --ignore '/{path}/' with `epmstore app add` or "
                f"`epmstore app set {outer.key}`",
                root=inner.root,
            )


def relative(path: str, root: str) -> str | None:
    """`path` as seen from `root`; empty for the root itself, None for what is not below it."""
    if path == root:
        return ""
    prefix = root if root.endswith("/") else f"{root}/"
    return path[len(prefix) :] if path.startswith(prefix) else None


def load(path: Path) -> AppCat:
    """The appcat at `path`; no file is no application, where there is no history either. Raises
    DamagedError, NoStoreError.
    """
    try:
        data = atomic.read_file(path, MAX_SIZE)
    except FileNotFoundError:
        if any(path.parent.glob(HISTORIES)):
            raise DamagedError(
                f"{path} is not there, and histories of applications are",
                hint="take it from a copy of the store; `epmstore-rescue` reads the histories"
                " without it",
                file=str(path),
            ) from None
        return AppCat()
    return parse(data, path)


def parse(data: bytes, path: Path) -> AppCat:
    """The appcat in a file's bytes; `path` is what errors name. Raises DamagedError,
    NoStoreError.
    """
    start = len(_HEAD)
    found, rest = data[start : start + 64], data[start + 64 :]
    digest = hashlib.sha256(_HEAD + _ZEROS + rest).hexdigest().encode()
    if not data.startswith(_HEAD) or found != digest:
        raise DamagedError(
            f"{path} is not what was written", hint="run `epmstore fsck`", file=str(path)
        )
    try:
        document = msgspec.json.decode(data, type=dict[str, object])
        return _from_document(document, path)
    except (ValueError, KeyError, RecursionError) as error:
        raise DamagedError(f"{path}: {error}", file=str(path)) from None


def save(path: Path, appcat: AppCat) -> None:
    """Durable when it returns; a crash leaves the old file. Raises OSError,
    UsageError for text that is not UTF-8 (a root may be any bytes)."""
    document = {
        "sha256": _ZEROS.decode(),
        "format": FORMAT,
        "apps": [_to_object(app) for app in appcat.apps],
        **({"removed": [_to_object(app) for app in appcat.removed]} if appcat.removed else {}),
        **appcat.other,
    }
    try:
        text = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    except UnicodeEncodeError as error:
        raise UsageError(f"{error.object!r} is not UTF-8") from None
    digest = hashlib.sha256(text).hexdigest().encode()
    data = text.replace(_HEAD + _ZEROS, _HEAD + digest, 1)
    atomic.replace_read(path, data, lambda written: parse(written, path))


def _from_document(document: dict[str, object], path: Path) -> AppCat:
    format_ = document.pop("format", None)
    if format_ != FORMAT:
        raise NoStoreError(
            f"{path} has format {format_}, this release reads {FORMAT}",
            hint="use a newer release of epmstore",
        )
    del document["sha256"]
    objects = msgspec.convert(document.pop("apps", []), list[dict[str, object]])
    removed = msgspec.convert(document.pop("removed", []), list[dict[str, object]])
    apps, gone = tuple(map(_from_object, objects)), tuple(map(_from_object, removed))
    return AppCat(apps, document, gone)


def _from_object(found: dict[str, object]) -> App:
    known = {key: value for key, value in found.items() if key in _KNOWN}
    other = {key: value for key, value in found.items() if key not in _KNOWN}
    app = msgspec.convert(known, App)
    noisy = tuple(map(text_from_json, app.noisy))
    return msgspec.structs.replace(app, root=text_from_json(app.root), noisy=noisy, other=other)


def _to_object(app: App) -> dict[str, object]:
    noisy = tuple(map(text_to_json, app.noisy))
    plain = msgspec.structs.replace(app, root=text_to_json(app.root), noisy=noisy, other={})
    return {**msgspec.to_builtins(plain), **app.other}
