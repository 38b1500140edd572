"""Making and opening stores: what is checked before anything else happens.

Order: FORMAT (which store, which format, whose machine), then the index is caught up with packs and
catalogs. What a missing index costs is a replay, and it is done here, unasked; a damaged one is an
error that names the remedy.
"""

from collections.abc import Container
from pathlib import Path

from epmstore.atomic import remove_file
from epmstore.clock import Clock
from epmstore.errorform import is_unwritable
from epmstore.errors import ConflictError, EpmError, ForeignError, OutdatedIndexError, UsageError
from epmstore.owned import check_new_store, check_store
from epmstore.progress import Progress
from epmstore.scan.mounts import filesystem
from epmstore.store import identity
from epmstore.store.before_rebuild import Rebuilt
from epmstore.store.reckoned import keep
from epmstore.store.replay import catch_up, is_behind, rebuild
from epmstore.store.reserve import make_reserve, with_reserve
from epmstore.store.store import INDEX, Store, prepare, restore_folders

MACHINE_ID = Path("/etc/machine-id")


def machine() -> str:
    """A hash that stands for this machine; that of nothing where there is no machine id."""
    try:
        return identity.hash_machine(MACHINE_ID.read_text(errors="replace"))
    except OSError:
        return identity.hash_machine("")


def check_place(path: Path, *, allow_network: bool = False, safe: Container[Path] = ()) -> None:
    """Whether a store may be made there. Raises ConflictError if there is something already,
    ForeignError where others could put another store in its place, UsageError if that is on a
    network file system.
    """
    check_new_store(path, safe)
    if (path / identity.FILE).exists():
        raise ConflictError(f"there is a store at {path} already", path=str(path))
    if path.is_dir() and any(path.iterdir()):
        raise ConflictError(
            f"{path} is not empty", hint="name a folder that is empty or not there", path=str(path)
        )
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is not a folder")
    if not allow_network:
        _check_local(path)


def make_store(
    path: Path, clock: Clock, *, allow_network: bool = False, safe: Container[Path] = ()
) -> Store:
    """A new, empty store. Raises as `check_place`, OSError."""
    check_place(path, allow_network=allow_network, safe=safe)
    prepare(path)
    check_store(path, safe)  # what others put there until it was for us alone
    store = Store(path, identity.create(path, machine()), clock)
    with store.lock_write():
        catch_up(store)
    make_reserve(path)
    keep(store)
    return store


def _check_local(path: Path) -> None:
    """Locks and syncs mean something else elsewhere. Raises UsageError."""
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    where = filesystem(nearest)
    if where.network:
        raise UsageError(
            f"{path} is on a network file system ({where.name}): locks and syncs cannot be relied"
            " on there",
            hint="name a folder on a local disk; if you know better, use --allow-network",
            path=str(path),
        )


def believe(path: Path, safe: Container[Path]) -> identity.Identity:
    """Which store is at `path`, when it is clear that no other user can have written it. Raises
    ForeignError, NoStoreError, DamagedError, OSError.
    """
    try:
        check_store(path, safe)
    except FileNotFoundError:
        pass  # said in the next line
    except ForeignError:
        identity.read(path)  # where there is none, that is what is to be said
        raise
    return identity.read(path)


def open_store(
    path: Path, clock: Clock, progress: Progress, *, owner: str = "", safe: Container[Path] = ()
) -> Store:
    """`owner` is what those read who wait for a lock of ours. Stores of others are opened only if
    they are `safe`.

    Raises NoStoreError, ForeignError, ConflictError (another machine), DamagedError, OSError.
    """
    found = believe(path, safe)
    identity.check_machine(path, found, machine())
    restore_folders(path)
    store = Store(path, found, clock, owner=owner)
    try:
        _bring_up(store, progress)
    except BaseException:
        store.close()
        raise
    return store


def _bring_up(store: Store, progress: Progress) -> None:
    """See that the index has what packs and catalogs have; where nothing can be written, a copy of
    it in memory does, so that everything can be read.
    """
    try:
        if _is_behind(store, progress):
            with store.lock_write():
                with_reserve(store.path, lambda: catch_up(store, progress))
    except (EpmError, OSError) as error:
        if not is_unwritable(error):
            raise
        store.database.read_aside()
        with store.lock_write(reading=True):
            catch_up(store, progress)


def _is_behind(store: Store, progress: Progress) -> bool:
    """Whether there is something to enter. An index of an earlier release is made anew first."""
    try:
        return is_behind(store)
    except OutdatedIndexError:
        with store.lock_packs(), store.lock_write():
            rebuild(store, progress)
        return False


def _drop_index(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        remove_file(path / f"{INDEX}{suffix}")


def rebuild_index(
    path: Path,
    clock: Clock,
    progress: Progress,
    *,
    accept_loss: bool = False,
    safe: Container[Path] = (),
) -> Rebuilt:
    """Make the index of a store anew, whatever state it is in, as `replay.rebuild`."""
    found = believe(path, safe)
    identity.check_machine(path, found, machine())
    restore_folders(path, catalogs=True)
    with Store(path, found, clock) as store, store.lock_packs(), store.lock_write():
        return rebuild(store, progress, accept_loss=accept_loss)


def adopt_store(path: Path, *, new_store: bool, safe: Container[Path] = ()) -> None:
    """Make a store this machine's. Raises NoStoreError, ForeignError, DamagedError."""
    believe(path, safe)
    identity.adopt(path, machine(), new_store=new_store)
    if new_store:
        # The index names the store that it belongs to; a new name means a new index.
        _drop_index(path)
