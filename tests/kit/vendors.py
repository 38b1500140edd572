"""Small real refcats to work with."""

from collections.abc import Mapping
from pathlib import Path

from epmstore.catalog.classes import Patterns
from epmstore.catalog.model import AboutRecord, Requirement, VersionRecord
from epmstore.clock import to_rfc3339
from epmstore.digest import identify
from epmstore.refcat.append import ReleaseDraft, publish, say
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.tree import Entry
from tests.kit.host import Bare

CRM = "7f1d1b0e-0c39-4d52-9a51-1b6f6f2f9a01"
SERVER = "7f1d1b0e-0c39-4d52-9a51-1b6f6f2f9a02"
Files = Mapping[str, bytes]


def file(path: str, data: bytes, mode: int = 0o644) -> Entry:
    return Entry(path=RelPath(path), kind="file", mode=mode, mtime_ns=1, content=identify(data))


class Vendor(Bare):
    """A store with the refcat of one application; `release` publishes trees of plain files."""

    def __init__(self, place: Path, *, app: str = CRM, key: str = "crm") -> None:
        super().__init__(place / "vendor")
        time = to_rfc3339(self.clock.now())
        patterns = Patterns(config=("etc/",))
        self.about = AboutRecord(time=time, app=app, key=key, patterns=patterns)
        with self.open() as ws:
            say(ws._store, app, self.about)

    def release(
        self,
        files: Files,
        label: str | None = None,
        *,
        stored: bool = True,
        requires: tuple[Requirement, ...] = (),
    ) -> VersionRecord | None:
        self.clock.advance(60)
        with self.open() as ws, Deposit(ws._store) as deposit:
            for data in files.values() if stored else ():
                deposit.add(identify(data), data)
            tree = [file(path, data) for path, data in sorted(files.items())]
            draft = ReleaseDraft(label=label, requires=requires)
            return publish(deposit, self.about, tree, draft)


def releases(store: Store, app: str = CRM) -> Releases:
    return Releases(store, app)


R0 = {"bin/a": b"a0", "etc/c": b"c"}
R1 = {"bin/a": b"a1", "etc/c": b"c"}


class Importer(Bare):
    """A store that gets catalogs."""

    def __init__(self, place: Path) -> None:
        super().__init__(place / "host")

    def latest(self) -> int | None:
        with self.open() as ws:
            found = Releases(ws._store, CRM).latest()
            return None if found is None else found.version


def export(vendor: Vendor, path: Path) -> Path:
    with vendor.open() as ws:
        path.write_bytes(b"".join(ws.catalogs.export("crm")))
    return path
