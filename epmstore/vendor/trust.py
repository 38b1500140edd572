"""Whom a store believes, and what it has learned of each refcat: the folder `trust/`.

    trust/<fingerprint>.asc     a public key that vouches for catalogs
    trust/<uuid>.json           of one refcat: who signed it, when what was imported

A refcat that came signed once is asked for a signature ever after: taking it away is an attack as
old as signatures. The small files carry a digest of themselves, so that a flipped bit is no trust.
"""

import hashlib
import re
from pathlib import Path

import msgspec
from msgspec.structs import replace

from epmstore.atomic import make_directories, read_file, remove_file, replace_read
from epmstore.errors import DamagedError, NotFoundError, UsageError
from epmstore.record.store import TRUST
from epmstore.vendor.signature import LIMIT, Fingerprint, Key, read_key

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


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one refcat beside its lines. `signed` asks every update for a signature."""

    sha256: str = _ZEROS
    format: int = 1
    signed: bool = False
    imports: tuple[Import, ...] = ()

    def after(self, one: Import) -> "Standing":
        """With one more import."""
        imports = (*self.imports, one)[-KEPT:]
        return replace(self, signed=self.signed or one.signer is not None, imports=imports)


class Trust:
    """The trust folder of one store. Every change is durable when it returns."""

    def __init__(self, store: Path) -> None:
        self.folder = store / TRUST

    def keys(self) -> list[Key]:
        """All of them. Raises DamagedError, OSError: of a key that cannot be read nobody knows what
        it vouched for.
        """
        return [self._key(path) for path in sorted(self._files(".asc"))]

    def add(self, data: bytes) -> Key:
        """Trust a public key; one that is there is replaced by its newer form. Raises UsageError,
        OSError.
        """
        key = read_key(data)
        make_directories(self.folder)
        replace_read(self.folder / f"{key.fingerprint}.asc", data, read_key)
        return key

    def remove(self, fingerprint: str) -> Key:
        """Raises NotFoundError unless it is (the end of) the fingerprint of one key."""
        wanted = fingerprint.replace(" ", "").lower()
        found = [key for key in self.keys() if wanted and key.fingerprint.endswith(wanted)]
        if len(found) != 1:
            raise NotFoundError(
                f"{len(found)} trusted keys end with {fingerprint!r}",
                hint="`epmstore catalog trust` lists them",
            )
        remove_file(self.folder / f"{found[0].fingerprint}.asc")
        return found[0]

    def standing(self, app: str) -> Standing:
        """Of a refcat (UUID). Raises DamagedError."""
        path = self.folder / f"{app}.json"
        try:
            return _parse(read_file(path, LIMIT))
        except FileNotFoundError:
            return Standing()
        except (ValueError, RecursionError, DamagedError):
            raise _damaged(path) from None

    def remember(self, app: str, standing: Standing) -> None:
        """Raises OSError."""
        make_directories(self.folder)
        whole = replace(standing, sha256=_digest(standing))
        data = msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
        replace_read(self.folder / f"{app}.json", data, _parse)

    def damage(self) -> list[DamagedError]:
        """Why files of the folder cannot be relied on, one error each. Raises OSError."""
        found = []
        for path in sorted([*self._files(".asc"), *self._files(".json")]):
            try:
                self._key(path) if path.suffix == ".asc" else self.standing(path.stem)
            except DamagedError as error:
                found.append(error)
        return found

    def _files(self, suffix: str) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [path for path in self.folder.iterdir() if path.suffix == suffix]

    def _key(self, path: Path) -> Key:
        try:
            key = read_key(read_file(path, LIMIT))
        except (UsageError, DamagedError):
            key = None
        if key is None or (_FINGERPRINT.fullmatch(path.stem) and path.stem != key.fingerprint):
            raise DamagedError(
                f"{path} is not the key that it was",
                hint="remove it, and trust the right one again",
                file=str(path),
            )
        return key


def _parse(data: bytes) -> Standing:
    """Raises ValueError for anything but what was written."""
    found = msgspec.json.decode(data, type=Standing)
    if found.sha256 != _digest(found):
        raise ValueError("it has another digest")
    return found


def _digest(standing: Standing) -> str:
    plain = msgspec.json.encode(replace(standing, sha256=_ZEROS))
    return hashlib.sha256(plain).hexdigest()


def _damaged(path: Path) -> DamagedError:
    return DamagedError(
        f"{path} is not what was written",
        hint="remove it, and import the catalog with its signature again",
        file=str(path),
    )
