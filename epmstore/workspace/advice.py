"""What a user who registers an application should know of its root."""

from collections.abc import Sequence

from epmstore.catalog.appcat import App
from epmstore.catalog.classes import LISTS
from epmstore.catalog.model import AboutRecord
from epmstore.record.recorder import Recorder
from epmstore.record.root import open_root
from epmstore.scan.detect import Proposal, propose
from epmstore.scan.folders import FolderCache
from epmstore.scan.mounts import filesystem
from epmstore.store.store import Store


def advise(
    store: Store, app: App, about: AboutRecord | None
) -> tuple[Sequence[Proposal], Sequence[str]]:
    """(classes that its paths should probably have, by its vendor's word in `about` and by their
    looks; notes on where it is). Raises RootError.
    """
    notes = []
    with open_root(app) as root:
        where = filesystem(root.fd)
        if where.network:
            notes.append(
                f"{app.root} is on a network file system ({where.name}): other hosts may change"
                " it unseen, and checkout is refused unless forced"
            )
        if where.read_only:
            notes.append(f"{app.root} is read-only: it can be recorded, not rolled back")
        with FolderCache(root.fd) as folders:
            found = propose(Recorder(store, app).walk(root), folders)
    return [*_vendors_word(app, about), *found], notes


def _vendors_word(app: App, about: AboutRecord | None) -> list[Proposal]:
    """The classes that the vendor says, and the application does not have yet."""
    if about is None:
        return []
    return [
        Proposal(pattern, path_class, "its vendor says so")
        for path_class in LISTS
        for pattern in getattr(about.patterns, path_class)
        if pattern not in getattr(app.patterns, path_class)
    ]
