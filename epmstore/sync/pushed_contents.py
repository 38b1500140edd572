"""Pushing contents: what versions that are kept need goes to a depot in packs, after the facts.

Of each application: what it needs, what packs there hold already, and packs of the rest. A pack is
sent and read back, then its table, and both are noted here; the head that names them comes last, by
another push of facts. So who is cut off goes on after the last pack that was noted, and sends one
that was not noted only if it is not there.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from epmstore.care.pack_tables import Tables, leans_on, read_table
from epmstore.catalog import appcat
from epmstore.catalog.appcat import App
from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import BadObjectError, RemoteNotFoundError
from epmstore.pack_table import GroupTable
from epmstore.progress import SILENT, Progress
from epmstore.remotes.checked import holds
from epmstore.remotes.remote import Remote
from epmstore.store.store import Store
from epmstore.sync.connecting import RemoteLink
from epmstore.sync.depottables import DepotTables
from epmstore.sync.heads import ContentsRef, HeadApp, PackRef
from epmstore.sync.needed import NeededContents, needed_contents, secret_contents
from epmstore.sync.pack_plan import Packing, plan_packing, usable
from epmstore.sync.packbuild import PackMaker
from epmstore.sync.pushing import ContentsThere, put_checked
from epmstore.sync.registry import RemoteRecord


class AppContents(msgspec.Struct, frozen=True):
    """What of the contents of an application goes. `there` are the packs that stay, with their
    tables; `known` is how many contents it needs.
    """

    app: str
    key: str
    known: int
    need: NeededContents
    there: tuple[tuple[PackRef, GroupTable], ...]
    packing: Packing


class OutgoingApp(msgspec.Struct, frozen=True):
    """How many contents of an application go, of how many `known` that it needs: `size` bytes, as
    about `cost` bytes.
    """

    key: str
    contents: int
    known: int
    size: int
    cost: int


class OutgoingContents(msgspec.Struct, frozen=True):
    """What a push of contents sends, in so many packs of about so many bytes."""

    apps: tuple[OutgoingApp, ...]
    packs: int
    cost: int


class SentContents(msgspec.Struct, frozen=True):
    """What was sent: packs, bytes; and by application how many contents could not be read here."""

    packs: int
    size: int
    lacking: Mapping[str, int]


class ContentsPlan(msgspec.Struct, frozen=True):
    """What a push of contents would send."""

    apps: tuple[AppContents, ...]

    @property
    def cost(self) -> int:
        """About how many bytes go."""
        return sum(app.packing.cost for app in self.apps)

    @property
    def is_nothing(self) -> bool:
        """Whether no pack is to be sent."""
        return not any(app.packing.packs for app in self.apps)

    def outgoing(self) -> OutgoingContents:
        """The same in figures."""
        apps = tuple(
            OutgoingApp(app.key, one.contents, app.known, one.size, one.cost)
            for app in self.apps
            for one in [app.packing]
            if one.packs
        )
        packs = sum(len(app.packing.packs) for app in self.apps)
        return OutgoingContents(apps, packs, self.cost)

    def there(self) -> dict[str, ContentsThere]:
        """What a head may say if no pack is to be sent."""
        return {
            app.app: _said(app, [pack for pack, _ in app.there], len(app.packing.lacking))
            for app in self.apps
        }


class PushedContents(msgspec.Struct, frozen=True):
    """What was sent: packs, contents, bytes; what `lacks` here, by application; and what the next
    head is to say.
    """

    packs: int
    size: int
    lacking: Mapping[str, int]
    there: Mapping[str, ContentsThere]


def plan_contents(
    store: Store, record: RemoteRecord, link: RemoteLink, *, anew: bool = False
) -> ContentsPlan:
    """What is needed, and is not there. `anew` reads back all that is said to be there. Raises
    RemoteError, DamagedError, OSError.
    """
    head, settings = record.reached(), record.settings()
    writer = settings.writer
    assert writer is not None, "nothing is pushed to where nothing can be written"
    apps = _recorded_apps(store)
    secret: frozenset[Sha256] | None = None
    found = []
    for app in apps:
        before = None if head is None else head.app(app.uuid)
        if not anew and _is_done(store, app, before):
            packs = _packs_known(record, app, before)
            if all(packs_there(link.remote, writer, app.uuid, packs).values()):
                continue
        if secret is None:
            secret = secret_contents(store, apps)
        need = needed_contents(store, app, secret)
        there = tuple(_there(record, link.remote, writer, app, before, anew=anew))
        packing = _packing(store, need.contents, there)
        known = len(need.contents)
        found.append(AppContents(app.uuid, app.key, known, need, there[: packing.kept], packing))
    return ContentsPlan(tuple(found))


def apply_contents(
    store: Store,
    record: RemoteRecord,
    link: RemoteLink,
    plan: ContentsPlan,
    *,
    progress: Progress = SILENT,
) -> PushedContents:
    """Send the packs of a plan, each with its table. Raises RemoteError, OSError."""
    writer = record.settings().writer
    assert writer is not None, "nothing is pushed to where nothing can be written"
    sent = size = 0
    lacking: dict[str, int] = {}
    there: dict[str, ContentsThere] = {}
    progress.begin("pushing contents", size=plan.cost)
    with store.keep_packs():
        for app in plan.apps:
            packs = [pack for pack, _ in app.there]
            kept = usable([table for _, table in app.there])
            maker = PackMaker(store, (s for s, full in kept.items() if full), kept)
            for parcels in app.packing.packs:
                with maker.made(parcels) as made:
                    if made is None:
                        continue
                    ref = made.ref
                    put_checked(link.remote, ref.name(writer, app.app), made, ref)
                    name = ref.table_name(writer, app.app)
                    put_checked(link.remote, name, [made.table], ref.table)
                    DepotTables(record).keep(ref.table, made.table)
                packs = [pack for pack in packs if pack != ref] + [ref]
                record.note_packs(app.app, tuple(packs))
                sent, size = sent + 1, size + ref.size
                progress.advance(size=sum(parcel.cost for parcel in parcels))
            left = len({*app.packing.lacking, *maker.lacking})
            if left:
                lacking[app.key] = left
            there[app.app] = _said(app, packs, left)
            record.note_packs(app.app, tuple(packs))
    progress.end()
    return PushedContents(sent, size, lacking, there)


def packs_there(
    remote: Remote, writer: str, app: str, packs: Sequence[PackRef]
) -> dict[PackRef, bool]:
    """Whether packs and their tables are there, by names and sizes. Raises RemoteError."""
    if not packs:
        return {}
    sizes: dict[str, int] = {}
    if remote.abilities.lists:
        for folder in ("packs", "tables"):
            for found in remote.list(f"hosts/{writer}/{app}/{folder}/"):
                sizes[found.name] = found.size

    def is_there(name: str, size: int) -> bool:
        if sizes.get(name) == size:
            return True
        found = remote.stat(name)  # a listing may be late
        return found is not None and found.size == size

    return {
        pack: is_there(pack.name(writer, app), pack.size)
        and is_there(pack.table_name(writer, app), pack.table.size)
        for pack in packs
    }


def is_sound(remote: Remote, writer: str, app: str, pack: PackRef) -> bool:
    """Whether a pack and its table are there, read back. Raises RemoteError."""
    table = pack.table
    return holds(remote, pack.name(writer, app), pack.size, pack.sha256) and holds(
        remote, pack.table_name(writer, app), table.size, table.sha256
    )


def _recorded_apps(store: Store) -> list[App]:
    found = appcat.load(store.catalogs / "appcat.json")
    return [app for app in (*found.apps, *found.removed) if store.entries.position(app.uuid)]


def _is_done(store: Store, app: App, before: HeadApp | None) -> bool:
    """Whether the head says that all is there which the history needs, as it is now."""
    position = store.entries.position(app.uuid)
    if before is None or before.contents is None or position is None:
        return False
    here = (position[2], position[1])
    return (before.lines, before.line) == here and before.contents.lines == position[2]


def _packs_known(record: RemoteRecord, app: App, before: HeadApp | None) -> tuple[PackRef, ...]:
    """Those that the head names, or that were noted since."""
    noted = record.sent_packs().get(app.uuid)
    return noted if noted is not None else (() if before is None else before.packs)


def _there(
    record: RemoteRecord,
    remote: Remote,
    writer: str,
    app: App,
    before: HeadApp | None,
    *,
    anew: bool,
) -> Iterator[tuple[PackRef, GroupTable]]:
    """The packs of an application that are there, with their tables."""
    packs = _packs_known(record, app, before)
    tables = DepotTables(record)
    there = {} if anew else packs_there(remote, writer, app.uuid, packs)
    for pack in packs:
        if is_sound(remote, writer, app.uuid, pack) if anew else there[pack]:
            try:
                yield pack, tables.get(remote, pack, pack.table_name(writer, app.uuid))
            except (BadObjectError, RemoteNotFoundError):
                continue  # what it holds goes again


def _packing(
    store: Store,
    contents: frozenset[BlobInfo],
    there: Sequence[tuple[PackRef, GroupTable]],
) -> Packing:
    wanted = {info.sha256 for info in contents}
    held = usable([table for _, table in there])
    with store.keep_packs(reading=True):
        tables = _tables_of(store, wanted - held.keys())
        packing = plan_packing(wanted, tables, there)
        if packing.kept < len(there):  # what small packs hold goes again, and has to be found
            held = usable([table for _, table in there[: packing.kept]])
            packing = plan_packing(wanted, _tables_of(store, wanted - held.keys()), there)
    return packing


def _tables_of(store: Store, wanted: set[Sha256]) -> Tables:
    """The tables of all files that these contents lie in, and that they lean on."""
    tables = Tables()
    seen: set[Sha256] = set()
    pending = wanted
    while pending:
        seen |= pending
        places = store.contents.places(list(pending))
        for file in sorted({place.file for place in places.values() if place.file}):
            if file not in tables.sizes:
                _read(store, tables, file)
        large = [place for place in places.values() if not place.file]
        leaned = {part for place in large for part in place.parts}
        leaned |= {s for sha in pending for copy in tables.copies(sha) for s in leans_on(copy.row)}
        pending = {s for s in leaned if not tables.copies(s)} - seen
    return tables


def _read(store: Store, tables: Tables, file: str) -> None:
    try:
        read_table(store, tables, file)
    except FileNotFoundError:
        tables.sizes[file] = 0


def _said(app: AppContents, packs: Sequence[PackRef], left: int) -> ContentsThere:
    need = app.need
    done = ContentsRef(need.position.seq, need.version)
    return ContentsThere(tuple(packs), None if left else done)
