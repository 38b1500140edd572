"""A package from elsewhere comes into a store: its lines, and the contents that they name.

Order, and nothing is changed before all of the lines are right: the signature, the lines, what is
said to be in it (packagechild.py); who may sign it, and how it goes on from what is here, by the
very rules of a catalog (refcat/interchange.py); then the contents, each checked, all of them before
any of them is stored; and last the lines. What is here already is not stored again, and lines that
are known are not appended.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from epmstore.errors import BlobNotFoundError, DiskFullError, UsageError
from epmstore.fsio import is_full
from epmstore.package.file_format import NOBODY
from epmstore.package.messages import Sound
from epmstore.package.package_reader import Asking, LargeOne, PackageReading, open_package
from epmstore.package.patch_base import PatchBase
from epmstore.progress import Progress
from epmstore.refcat.catalogchild import CatalogOrder, Verdict
from epmstore.refcat.catalogs import needs_of_others
from epmstore.refcat.checker import CheckedRelease
from epmstore.refcat.interchange import (
    Incoming,
    check_catalog,
    export_lines,
    import_catalog,
    known_here,
    read_signature,
)
from epmstore.refcat.releases import Releases
from epmstore.refcat.trust import Trust
from epmstore.store.adopt import Adopter
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store

SCRATCH = "scratch"


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """Where the signature is, if not beside the package; and what its user knows better."""

    signature: Path | None = None
    allow_unsigned: bool = False
    signer: str | None = None


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A package that was checked, and perhaps taken: the release that it is of, contents and plain
    bytes that are in it.
    """

    incoming: Incoming
    release: CheckedRelease
    contents: int
    size: int


def check_package(store: Store, path: Path, consent: Consent, progress: Progress) -> Arrived:
    """Everything that `take_package` would check, contents included. Changes nothing. Raises as it
    does.
    """
    return _with_room(store, path, consent, progress, keep=False)


def take_package(store: Store, path: Path, consent: Consent, progress: Progress) -> Arrived:
    """Take a package over. Raises BadPackageError, TrustError and its kin, ForkError,
    ConflictError, VersionNotFoundError or BlobNotFoundError if what it goes on from is not here,
    NoStoreError for a newer format, UsageError for a candidate, DiskFullError, OSError; then
    nothing is left.
    """
    return _with_room(store, path, consent, progress, keep=True)


def _with_room(
    store: Store, path: Path, consent: Consent, progress: Progress, *, keep: bool
) -> Arrived:
    _check_space(store, path)
    try:
        return _arrive(store, path, consent, progress, keep=keep)
    except OSError as error:
        if not is_full(error):
            raise
        raise _no_room(store, path, "its file system is full") from error


def _check_space(store: Store, path: Path) -> None:
    """A package takes in the store about what it takes as a file; and a copy while it is read."""
    needed = 2 * path.stat().st_size
    found = os.statvfs(store.path)
    free = (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize
    if needed > free:
        raise _no_room(store, path, f"needs {needed:,} bytes there, {free:,} are free")


def _no_room(store: Store, path: Path, why: str) -> DiskFullError:
    return DiskFullError(
        f"there is no room in the store {store.path} for {path.name}: {why}",
        hint="nothing was changed; free some space on that file system (`epmstore gc` frees what"
        " no version needs), then run the command again",
    )


def _arrive(
    store: Store, path: Path, consent: Consent, progress: Progress, *, keep: bool
) -> Arrived:
    signature = read_signature(path, consent.signature)
    trust, base = Trust(store.path), PatchBase(store, path)
    asking = Asking(
        signature=signature,
        keys=trust.keys() if signature is not None else (),
        now=store.clock.now(),
        needs=needs_of_others(store, ""),
        known=base.catalog,
        progress=progress,
    )
    progress.begin(f"checking {path.name}", size=path.stat().st_size)
    with open_package(path, store.path / SCRATCH, asking) as reading:
        incoming, sound = _lines(store, reading, base, signature, consent, progress)
        base.check_stored(reading.lacking)
        with Deposit(store) as deposit:
            contents, size = _contents(deposit, reading, base, progress)
            if keep:
                deposit.commit()
    if keep:
        import_catalog(store, incoming, str(path), progress)
    return Arrived(incoming=incoming, release=sound.releases[-1], contents=contents, size=size)


def _lines(
    store: Store,
    reading: PackageReading,
    base: PatchBase,
    signature: bytes | None,
    consent: Consent,
    progress: Progress,
) -> tuple[Incoming, Sound]:
    """What its lines come to beside what is here."""
    data, sound = reading.lines()
    progress.end()
    if reading.product == NOBODY:
        raise UsageError(
            "it is a candidate, and no release yet",
            hint="its vendor numbers it, and publishes it",
        )
    more, verdict = _of_a_later_catalog(store, reading.product, sound)

    def examined(_: bytes, order: CatalogOrder) -> Iterator[Verdict]:
        yield verdict

    incoming = check_catalog(
        store,
        data + more,
        signature,
        progress,
        allow_unsigned=consent.allow_unsigned,
        signer=consent.signer,
        examine=examined,
        after=reading.known,
    )
    return incoming, sound


def _of_a_later_catalog(store: Store, product: str, sound: Sound) -> tuple[bytes, Verdict]:
    """Where the catalog that is here goes on from the lines of a package, the rest of it, and what
    both come to: a package of an older release brings its contents. Nothing, where it does not.
    """
    releases = Releases(store, product)
    verdict = Verdict(sound.lines, sound.head, sound.releases, sound.signer)
    if (sound.lines - 1, sound.head) not in releases.heads()[:-1]:
        return b"", verdict
    known = known_here(store, product)
    more = b"".join(islice(export_lines(store, releases), sound.lines, None))
    return more, Verdict(known.lines, known.head, known.releases, sound.signer)


def _contents(
    deposit: Deposit,
    reading: PackageReading,
    base: PatchBase,
    progress: Progress,
) -> tuple[int, int]:
    adopter = Adopter(deposit, reading.bases)
    contents = size = 0
    progress.begin("taking contents")
    try:
        for one in reading.contents():
            if isinstance(one, LargeOne):
                adopter.adopt_large(one.info, one.parts)
                files, plain = 1, one.info.size
            else:
                adopter.adopt(one)
                files = sum(row.digest is not None for row in one.rows)
                plain = sum(row.size for row in one.rows)
            contents, size = contents + files, size + plain
            progress.advance(files=files, size=plain)
    except BlobNotFoundError as error:
        raise base.lacks(error.message) from None
    progress.end()
    return contents, size
