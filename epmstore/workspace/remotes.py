"""`ws.remotes`: places elsewhere, and what goes there and comes from there. Thin: each verb names
its use case.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from epmstore import __version__
from epmstore.catalog.model import RecordedActor
from epmstore.clock import to_rfc3339
from epmstore.errors import (
    EpmError,
    NotFoundError,
    RemoteDeniedError,
    RemoteHeadError,
    RemoteReadOnlyError,
    UsageError,
)
from epmstore.given import AnyPath, a_place
from epmstore.progress import Progress
from epmstore.remotes.checked import holds
from epmstore.remotes.place import check_place, with_environment
from epmstore.remotes.probing import probe
from epmstore.remotes.remote import Remote
from epmstore.store.store import Store
from epmstore.sync import connecting
from epmstore.sync.adopting import AdoptedHost, adopt, check_adoptable, planned
from epmstore.sync.connecting import NOTHING, Connect, RemoteLink
from epmstore.sync.depot import is_writer, make_depot, open_depot, probe_name
from epmstore.sync.depotseeker import DepotContents
from epmstore.sync.heads import Head, SignedHead
from epmstore.sync.mirroring import Mirroring, MirrorResult
from epmstore.sync.own_ahead import take_own
from epmstore.sync.pulling import Pull, PullResult, forget_host, known_head, known_writers
from epmstore.sync.pushed_contents import (
    ContentsPlan,
    OutgoingContents,
    SentContents,
    apply_contents,
    is_sound,
    packs_there,
    plan_contents,
)
from epmstore.sync.pushing import PushPlan, apply_push, find_own, plan_push, tell_adopted
from epmstore.sync.registry import (
    POLICIES,
    RESTORABLE,
    Registry,
    RemoteDenial,
    RemoteRecord,
    RemoteSettings,
    check_name,
    url_of,
)


class RemoteCheck(msgspec.Struct, frozen=True):
    """One thing that was looked at on a remote, and whether it is in order."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None


class KnownHost(msgspec.Struct, frozen=True):
    """A host of which something was pulled, and what it said last."""

    writer: str
    head: Head


class RemoteView(msgspec.Struct, frozen=True):
    """A remote, the head of this host that it has as far as is known here, and other hosts; why it
    is not asked any more, if this host was not let in.
    """

    settings: RemoteSettings
    head: Head | None
    hosts: tuple[KnownHost, ...]
    denied: str | None = None


class Pushed(msgspec.Struct, frozen=True):
    """A push: its plan, and the head that is there now (None: it was only planned). `contents` are
    planned, and `sent`, where they go, too.
    """

    plan: PushPlan
    done: SignedHead | None
    contents: OutgoingContents | None = None
    sent: SentContents | None = None


class Remotes:
    """Remotes of one open store. `connect` is how settings become a remote; what it shows there may
    be found by `environ`.
    """

    def __init__(
        self,
        store: Store,
        *,
        progress: Progress,
        connect: Connect | None = None,
        environ: Mapping[str, str] = NOTHING,
        actor: RecordedActor | None = None,
    ) -> None:
        self._actor = actor
        self._store = store
        self._progress = progress
        self._environ = environ
        self._connect = connect or partial(connecting.connect, environ=environ)
        self._registry = Registry(store.path)

    def list(self) -> list[RemoteSettings]:
        """In the order in which they are asked. Raises DamagedError."""
        return self._registry.list()

    def add(
        self,
        name: str,
        url: AnyPath,
        *,
        authorities: AnyPath | None = None,
        credentials: AnyPath | None = None,
        host_keys: Iterable[str] = (),
        endpoint: str | None = None,
        region: str | None = None,
        order: int | None = None,
        mirror_of: str | None = None,
        dry_run: bool = False,
    ) -> RemoteSettings:
        """Look at a place, make a depot of it if it is empty (the same one as a remote that it is
        to be a mirror of), and remember it with a key for this host (none where nothing can be
        written). `RemotePlace` says what the rest is. Raises
        UsageError, ConflictError, NoStoreError (a newer depot, or none that one could make),
        RemoteError.
        """
        self._registry.check_free(name)
        known = self._registry.list()
        settings = RemoteSettings(
            name=name,
            url=url_of(url),
            depot="",
            order=max((one.order for one in known), default=0) + 1 if order is None else order,
            added=to_rfc3339(self._store.clock.now()),
            authorities=_file(authorities),
            credentials=_file(credentials),
            host_keys=tuple(host_keys),
            endpoint=endpoint,
            region=region,
        )
        same = None if mirror_of is None else self._registry.record(mirror_of).settings().depot
        check_place(settings)
        settings = with_environment(settings, self._environ)
        with self._connect(settings) as link:
            writes = link.remote.abilities.writes
            if link.remote.stat("EPMSTORE") is None and writes and not dry_run:
                depot = make_depot(link.remote, settings.url, same).depot
            elif link.remote.stat("EPMSTORE") is None and writes:
                depot = same or ""
            else:
                depot = open_depot(link.remote, settings.url, same).depot
        settings = replace(settings, depot=depot)
        if dry_run:
            return settings
        record = self._registry.record(name)
        return record.make_writer(settings) if writes else record.change(settings)

    def show(self, name: str) -> RemoteView:
        """Raises NotFoundError, DamagedError."""
        record = self._registry.record(name)
        settings = record.settings()
        now = self._store.clock.now()
        hosts = []
        for writer in sorted(known_writers(record)):
            known = known_head(record, settings, writer, now)
            if known is not None:
                hosts.append(KnownHost(writer, known.head.head))
        own = None if settings.writer is None else record.reached()
        denial = record.denial()
        return RemoteView(settings, own, tuple(hosts), None if denial is None else denial.message)

    def change(
        self,
        name: str,
        *,
        url: AnyPath | None = None,
        authorities: AnyPath | None = None,
        credentials: AnyPath | None = None,
        host_keys: Iterable[str] = (),
        endpoint: str | None = None,
        region: str | None = None,
        order: int | None = None,
        new_writer: bool = False,
        policy: str | None = None,
    ) -> RemoteSettings:
        """Another place of the same depot, another order, another policy of what goes there, or a
        new id for this host there. If more is to go than before, it has to be agreed to anew.
        Raises NotFoundError, UsageError, BadObjectError (another depot), RemoteError.
        """
        record = self._registry.record(name)
        with self._registry.hold(name):
            settings = record.settings()
            moved = replace(
                settings,
                url=settings.url if url is None else url_of(url),
                authorities=_file(authorities) or settings.authorities,
                credentials=_file(credentials) or settings.credentials,
                host_keys=tuple(host_keys) or settings.host_keys,
                endpoint=endpoint or settings.endpoint,
                region=region or settings.region,
            )
            if moved != settings:
                check_place(moved)
                with self._connect(moved) as link:
                    open_depot(link.remote, moved.url, moved.depot)
                settings = moved
            if order is not None:
                settings = replace(settings, order=order)
            if (new_writer or policy is not None) and settings.writer is None:
                raise RemoteReadOnlyError(f"nothing is written to {name}")
            settings = _with_policy(settings, policy)
            return record.make_writer(settings) if new_writer else record.change(settings)

    def remove(self, name: str) -> RemoteSettings | None:
        """Forget a remote; what is there stays there. Raises NotFoundError."""
        with self._registry.hold(name):
            return self._registry.remove(name)

    def check(self, name: str, *, read_data: bool = False) -> Iterator[RemoteCheck]:
        """Whether a remote is what it was: reachable, this depot, keeping what it is given (one
        object is written), with all that this host has put there: histories are read back, packs if
        we `read_data`. Raises NotFoundError, DamagedError.
        """
        record = self._registry.record(name)
        settings = record.settings()
        try:
            with self._reach(record, settings, again=True) as link:
                open_depot(link.remote, settings.url, settings.depot)
                record.deny(None)
                yield RemoteCheck("depot", True, f"{settings.depot} at {settings.url}")
                if settings.writer is not None:
                    for one in probe(link.remote, link.place, probe_name(settings.writer)):
                        yield RemoteCheck(one.name, one.ok, one.detail, one.hint)
                    yield from self._own_checks(record, link, read_data=read_data)
        except EpmError as error:
            yield RemoteCheck("reachable", False, error.message, error.hint)

    def _own_checks(
        self, record: RemoteRecord, link: RemoteLink, *, read_data: bool
    ) -> Iterator[RemoteCheck]:
        found = find_own(self._store, record, link)
        if found is None:
            yield RemoteCheck("head", True, "nothing was pushed yet")
            return
        yield RemoteCheck("head", True, f"{found.head.number} of {found.head.time}")
        lost = [
            name
            for app in found.head.apps
            for segment in app.segments
            if not holds(
                link.remote,
                name := segment.name(found.head.writer, app.app),
                segment.size,
                segment.sha256,
            )
        ]
        detail = f"{len(lost)} lost or damaged, such as {lost[0]}" if lost else "all are right"
        hint = f"`epmstore push {record.name} --anew` writes them again" if lost else None
        yield RemoteCheck("histories", not lost, detail, hint)
        if any(app.packs for app in found.head.apps):
            yield self._packs_check(link.remote, found.head, record.name, read_data=read_data)

    def _packs_check(
        self, remote: Remote, head: Head, name: str, *, read_data: bool
    ) -> RemoteCheck:
        """The packs that a head names: whether they are there, and right if we `read_data`."""
        count, lost = 0, []
        self._progress.begin(
            "looking at packs", size=sum(p.size for app in head.apps for p in app.packs)
        )
        for app in head.apps:
            there = packs_there(remote, head.writer, app.app, app.packs)
            for pack, is_there in there.items():
                count += 1
                if not is_there or (read_data and not is_sound(remote, head.writer, app.app, pack)):
                    lost.append(pack.name(head.writer, app.app))
                self._progress.advance(size=pack.size)
        self._progress.end()
        if lost:
            detail = f"{len(lost)} of {count} packs lost or damaged, such as {lost[0]}"
            return RemoteCheck(
                "contents", False, detail, f"`epmstore push {name} --anew` sends them again"
            )
        right = "right" if read_data else "there; --read-data reads them back"
        packs = "the one pack is" if count == 1 else f"all {count} packs are"
        return RemoteCheck("contents", True, f"{packs} {right}")

    def push(
        self, name: str, *, anew: bool = False, agreed: bool = False, dry_run: bool = False
    ) -> Pushed:
        """What is recorded here goes there. The first time it is only planned unless it is
        `agreed`: a person is to see what leaves this host. Raises NotFoundError, UsageError,
        RemoteError, RemoteHeadError, ForkError, BusyError.
        """
        record = self._registry.record(name)
        settings = record.settings()
        if settings.writer is None:
            raise RemoteReadOnlyError(
                f"nothing can be written to {name}", hint="push to the folder that it shows"
            )
        hold = contextlib.nullcontext() if dry_run else self._registry.hold(name)
        with hold, self._reach(record, settings) as link:
            plan = plan_push(self._store, record, link, __version__, anew=anew)
            contents = None
            if settings.policy == RESTORABLE:
                contents = plan_contents(self._store, record, link, anew=anew)
            if dry_run or not (agreed or settings.agreed):
                return Pushed(plan, None, None if contents is None else contents.outgoing())
            if not settings.agreed:
                record.change(replace(settings, agreed=True))
            return self._apply(record, link, plan, contents, anew=anew)

    def _apply(
        self,
        record: RemoteRecord,
        link: RemoteLink,
        plan: PushPlan,
        contents: ContentsPlan | None,
        *,
        anew: bool,
    ) -> Pushed:
        """Facts; then contents, and a head that names them, if there are any to send."""
        store, progress = self._store, self._progress
        if contents is not None and contents.is_nothing:
            there = contents.there()
            plan = plan_push(store, record, link, __version__, anew=anew, there=there)
        done = apply_push(store, record, link, plan, progress=progress)
        tell_adopted(link.remote, plan.settings)
        if contents is None or contents.is_nothing:
            return Pushed(plan, done, None if contents is None else contents.outgoing())
        sent = apply_contents(store, record, link, contents, progress=progress)
        naming = plan_push(store, record, link, __version__, there=sent.there)
        done = apply_push(store, record, link, naming)
        counts = SentContents(sent.packs, sent.size, sent.lacking)
        return Pushed(plan, done, contents.outgoing(), counts)

    def pull(
        self,
        name: str,
        *,
        hosts: Iterable[str] = (),
        forget: Iterable[str] = (),
        dry_run: bool = False,
    ) -> PullResult:
        """What other hosts pushed comes here; `hosts` alone, if any are named. `forget` those
        first: what is known of them does not count. Raises NotFoundError, RemoteError, BusyError.
        """
        record = self._registry.record(name)
        settings = record.settings()
        hold = contextlib.nullcontext() if dry_run else self._registry.hold(name)
        with hold, self._reach(record, settings) as link:
            if forget and dry_run:
                raise UsageError("what is to be forgotten is forgotten: leave --dry-run out")
            for writer in forget:
                forget_host(record, writer)
            pull = Pull(self._store, record, link, dry_run=dry_run, progress=self._progress)
            return pull.run([*hosts])

    def mirror(self, source: str, target: str, *, dry_run: bool = False) -> MirrorResult:
        """What all hosts have on one remote comes to be on another one, which is a mirror of it.
        Raises NotFoundError, UsageError (it is no mirror), RemoteReadOnlyError, RemoteError,
        BusyError.
        """
        records = self._registry.record(source), self._registry.record(target)
        here, there = (record.settings() for record in records)
        if here.name == there.name or here.depot != there.depot:
            raise UsageError(
                f"{target} is no mirror of {source}",
                hint=f"`epmstore remote add NAME URL --mirror-of {source}`, of an empty place",
            )
        if there.writer is None:
            raise RemoteReadOnlyError(f"nothing can be written to {target}")
        hold = contextlib.nullcontext() if dry_run else self._registry.hold(target)
        with (
            hold,
            self._reach(records[0], here) as one,
            self._reach(records[1], there) as other,
        ):
            for settings, link in ((here, one), (there, other)):
                open_depot(link.remote, link.where, settings.depot)
            now, depot = self._store.clock.now(), here.depot
            mirroring = Mirroring(
                one.remote, other.remote, depot, now, self._progress, dry_run=dry_run
            )
            return mirroring.run()

    def pull_own(self, name: str, *, dry_run: bool = False) -> AdoptedHost:
        """What this host itself had pushed, before its store came back from a backup, comes here:
        histories go on where they were, and what is in roots now is a deviation from that. Raises
        NotFoundError, RemoteReadOnlyError, RemoteHeadError, ForkError, ConflictError, DamagedError,
        RemoteError, BusyError, OSError.
        """
        record = self._registry.record(name)
        settings = record.settings()
        if settings.writer is None:
            raise RemoteReadOnlyError(f"nothing was ever pushed to {name} from here")
        hold = contextlib.nullcontext() if dry_run else self._registry.hold(name)
        with hold, self._reach(record, settings) as link:
            return take_own(
                self._store,
                record,
                link,
                seekers(self),
                actor=self._actor,
                progress=self._progress,
                dry_run=dry_run,
            )

    def adopt_host(
        self,
        name: str,
        host: str,
        *,
        dead: bool = False,
        dry_run: bool = False,
    ) -> AdoptedHost:
        """Take the place of another host, by its id on a remote: its histories and the contents
        that they need come, and this host gets another id there. It is pulled first (with `dry_run`
        it was); unless it is `dead`, it may not have pushed for a day. Raises NotFoundError,
        UsageError, ConflictError, DamagedError, RemoteError, RemoteHeadError, BusyError, OSError.
        """
        record = self._registry.record(name)
        settings = record.settings()
        if not is_writer(host) or host == settings.writer:
            raise UsageError(
                f"{host!r:.80} is not the id of another host",
                hint=f"`epmstore remote show {name}` has the ids of those that were pulled",
            )
        now, store = self._store.clock.now(), self._store
        hold = contextlib.nullcontext() if dry_run else self._registry.hold(name)
        with hold:
            if not dry_run:
                self._pull_host(record, settings, host)
            known = known_head(record, settings, host, now)
            if known is None:
                raise NotFoundError(
                    f"nothing was pulled of {host}", hint=f"`epmstore pull {name} --host {host}`"
                )
            head = known.head.head
            check_adoptable(store, head, now, dead=dead)
            if dry_run:
                return planned(store, head)
            found, progress = seekers(self), self._progress
            return adopt(store, record, head, found, actor=self._actor, progress=progress)

    def _pull_host(self, record: RemoteRecord, settings: RemoteSettings, host: str) -> None:
        """Raises RemoteHeadError for what is wrong with its head."""
        with self._reach(record, settings) as link:
            pull = Pull(self._store, record, link, progress=self._progress)
            for found in pull.run([host]).findings:
                raise RemoteHeadError(found.message, hint=found.hint, fault=found.fault)

    @contextlib.contextmanager
    def _reach(
        self, record: RemoteRecord, settings: RemoteSettings, *, again: bool = False
    ) -> Iterator[RemoteLink]:
        """A way there. Where this host was not let in it is not tried `again` by itself, so that no
        account is locked by hosts that go on asking. Raises RemoteDeniedError, and as `connect`.
        """
        denial = None if again else record.denial()
        if denial is not None:
            raise RemoteDeniedError(
                f"{denial.message} (that was at {denial.time}, and was not tried since)",
                hint=f"when it is mended: `epmstore remote check {record.name}` tries again",
            )
        try:
            with self._connect(settings) as link:
                yield link
        except RemoteDeniedError as error:
            now = to_rfc3339(self._store.clock.now())
            record.deny(RemoteDenial(now, error.message))
            raise

    def reached(self, app: str) -> Sequence[tuple[str, int | None]]:
        """How far the history of an application (UUID) is on each remote that this host writes to:
        name, and the newest version there (None: nothing of it). Asks no remote. Raises
        DamagedError.
        """
        found = []
        for settings in self._registry.list():
            if settings.writer is not None:
                head = self._registry.record(settings.name).reached()
                there = None if head is None else head.app(app)
                found.append((settings.name, None if there is None else there.version))
        return found

    def named(self, name: str | None) -> Sequence[str]:
        """The remote that is meant: the one that is named, or all. Raises UsageError for none."""
        if name is not None:
            return [check_name(name)]
        found = [one.name for one in self._registry.list()]
        if not found:
            raise UsageError(
                "this store has no remote", hint="add one: `epmstore remote add NAME URL`"
            )
        return found


def _file(given: AnyPath | None) -> str | None:
    """A file of this host, as it is kept."""
    return None if given is None else str(a_place(given).absolute())


def _with_policy(settings: RemoteSettings, policy: str | None) -> RemoteSettings:
    if policy is None or policy == settings.policy:
        return settings
    if policy not in POLICIES:
        raise UsageError(f"{policy!r} is no policy: there are {', '.join(POLICIES)}")
    agreed = settings.agreed and policy != RESTORABLE
    return replace(settings, policy=policy, agreed=agreed)


def seekers(remotes: Remotes) -> Sequence[DepotContents]:
    """Where contents that are missing here are sought, in the order in which remotes are asked.
    Asks none before something is. Raises DamagedError.
    """
    now = remotes._store.clock.now()
    found = []
    for settings in remotes.list():
        record = remotes._registry.record(settings.name)
        found.append(DepotContents(record, settings, partial(remotes._reach, record), now))
    return found
