"""Whom a store believes, and what it has learned of each refcat: the folder `trust/`.

    trust/<fingerprint>.asc     a public key that vouches for catalogs
    trust/<fingerprint>.only    one that vouches for some of them alone
    trust/<uuid>.json           of one refcat: who signed it, when what was imported

A refcat that came signed once is asked for a signature ever after, and for one of the same signer:
taking it away is an attack as old as signatures, and so is signing with another person's key.
The small files carry a digest of themselves, so that a flipped bit is no trust.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from epmstore.atomic import make_directories, read_file, remove_file, replace_read
from epmstore.errors import DamagedError, NotFoundError, UsageError
from epmstore.refcat.rehearsal import rehearse
from epmstore.refcat.signature import LIMIT, Fingerprint, PublicKey, read_key
from epmstore.store.store import TRUST

ONLY = ".only"
KEPT = 100
"""Imports that are remembered of each refcat."""
_FINGERPRINT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ZEROS = "0" * 64


class Import(msgspec.Struct, frozen=True):
    """One import: when, of what file, up to which release and line, signed by whom."""

    time: str
    source: str
    release: int | None
    head: str
    signer: Fingerprint | None = None


class TrustRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one refcat beside its lines. `signed` asks every update for a signature."""

    sha256: str = _ZEROS
    format: int = 1
    signed: bool = False
    imports: tuple[Import, ...] = ()

    @property
    def signer(self) -> Fingerprint | None:
        """Whose signature counted last."""
        return next((one.signer for one in reversed(self.imports) if one.signer), None)

    def after(self, one: Import) -> "TrustRecord":
        """With one more import. The last that was signed is never forgotten."""
        imports = (*self.imports, one)[-KEPT:]
        signed = [old for old in self.imports if old.signer is not None][-1:]
        if signed and signed[0] not in imports and one.signer is None:
            imports = (signed[0], *imports[1:])
        return replace(self, signed=self.signed or one.signer is not None, imports=imports)


class Trust:
    """The trust folder of one store. Every change is durable when it returns."""

    def __init__(self, store: Path) -> None:
        self.folder = store / TRUST

    def keys(self) -> list[PublicKey]:
        """All of them. Raises DamagedError, OSError: of a key that cannot be read it is not known
        what it vouched for.
        """
        return [self._key(path) for path in sorted([*self._files(".asc"), *self._files(ONLY)])]

    def add(self, data: bytes, only: Sequence[str] = ()) -> PublicKey:
        """Trust a public key; one that is there is replaced by its newer form. With `only`, for the
        catalogs of these applications (keys or UUIDs), beside those that it was trusted for before;
        else for all. Raises UsageError, EpmError if reading it takes more than it may, OSError.
        """
        if len(data) > LIMIT:
            raise UsageError(f"a key has no more than {LIMIT:,} bytes")
        rehearse("key", data, "the key")
        key = read_key(data)
        make_directories(self.folder)
        whole, limited = (self.folder / f"{key.fingerprint}{end}" for end in (".asc", ONLY))
        if not only:
            replace_read(whole, data, read_key)
            remove_file(limited)
            return key
        before = self._key(limited).only if limited.exists() else ()
        key = replace(key, only=tuple(sorted({*before, *only})))
        plain = _Limited(only=key.only, key=data)
        whole_data = msgspec.json.encode(replace(plain, sha256=_sum_of(plain)))
        replace_read(limited, whole_data, _limited)
        remove_file(whole)
        return key

    def remove(self, fingerprint: str) -> PublicKey:
        """Raises NotFoundError unless it is (the end of) the fingerprint of one key."""
        wanted = fingerprint.replace(" ", "").lower()
        found = [key for key in self.keys() if wanted and key.fingerprint.endswith(wanted)]
        if len(found) != 1:
            raise NotFoundError(
                f"{len(found)} trusted keys end with {fingerprint!r}",
                hint="`epmstore catalog trust` lists them",
            )
        for end in (".asc", ONLY):
            remove_file(self.folder / f"{found[0].fingerprint}{end}")
        return found[0]

    def record(self, app: str) -> TrustRecord:
        """Of a refcat (UUID). Raises DamagedError."""
        path = self.folder / f"{app}.json"
        try:
            return _parse(read_file(path, LIMIT))
        except FileNotFoundError:
            return TrustRecord()
        except (ValueError, RecursionError, DamagedError):
            raise _damaged(path) from None

    def remember(self, app: str, record: TrustRecord) -> None:
        """Raises OSError."""
        make_directories(self.folder)
        whole = replace(record, sha256=_digest(record))
        data = msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
        replace_read(self.folder / f"{app}.json", data, _parse)

    def damage(self) -> list[DamagedError]:
        """Why files of the folder cannot be relied on, one error each. Raises OSError."""
        found = []
        for path in sorted(path for end in (".asc", ONLY, ".json") for path in self._files(end)):
            try:
                self.record(path.stem) if path.suffix == ".json" else self._key(path)
            except DamagedError as error:
                found.append(error)
        return found

    def _files(self, suffix: str) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [path for path in self.folder.iterdir() if path.suffix == suffix]

    def _key(self, path: Path) -> PublicKey:
        try:
            data = read_file(path, 2 * LIMIT)
            limited = _limited(data) if path.suffix == ONLY else _Limited(key=data)
            key = replace(read_key(limited.key), only=limited.only)
        except (UsageError, DamagedError, ValueError, RecursionError):
            key = None
        if key is None or (_FINGERPRINT.fullmatch(path.stem) and path.stem != key.fingerprint):
            raise DamagedError(
                f"{path} is not the key that it was",
                hint="remove it, and trust the right one again",
                file=str(path),
            )
        return key


def _parse(data: bytes) -> TrustRecord:
    """Raises ValueError for anything but what was written."""
    found = msgspec.json.decode(data, type=TrustRecord)
    if found.sha256 != _digest(found):
        raise ValueError("it has another digest")
    return found


class _Limited(msgspec.Struct, frozen=True, kw_only=True):
    """A key, and the catalogs that it vouches for. A suffix of its own, so that a program that does
    not know of such limits does not trust it for all.
    """

    sha256: str = _ZEROS
    format: int = 1
    only: tuple[str, ...] = ()
    key: bytes


def _limited(data: bytes) -> _Limited:
    found = msgspec.json.decode(data, type=_Limited)
    if found.sha256 != _sum_of(found) or not found.only:
        raise ValueError("it is not what was written")
    return found


def _sum_of(limited: _Limited) -> str:
    return hashlib.sha256(msgspec.json.encode(replace(limited, sha256=_ZEROS))).hexdigest()


def _digest(record: TrustRecord) -> str:
    plain = msgspec.json.encode(replace(record, sha256=_ZEROS))
    return hashlib.sha256(plain).hexdigest()


def _damaged(path: Path) -> DamagedError:
    return DamagedError(
        f"{path} is not what was written",
        hint="remove it, and import the catalog with its signature again",
        file=str(path),
    )
