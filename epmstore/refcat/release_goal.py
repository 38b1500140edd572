"""What a release wants of a root: what a checkout that goes there, or away from it, is planned
from.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from epmstore.checkout.goal import ReleaseGoal, RemovalGoal
from epmstore.checkout.plan import Options
from epmstore.checkout.request import INSTALLING, Request
from epmstore.checkout.sight import Sight
from epmstore.checkout.wanted import FoundRoot, Present, Wanted
from epmstore.clock import from_rfc3339
from epmstore.digest import BlobInfo
from epmstore.errors import ConflictError
from epmstore.index.entries import Entries
from epmstore.record.recorder import Look, Recorder
from epmstore.refcat.install_plan import plan_install, plan_removal
from epmstore.refcat.owners import Owner
from epmstore.refcat.releases import Releases
from epmstore.refcat.repair import plan_repair
from epmstore.refcat.survey import MANY
from epmstore.refcat.verify import Verifier
from epmstore.relpath import RelPath
from epmstore.scan.metadata import OwnerNames
from epmstore.scan.privilege import Privilege
from epmstore.tree import Entry, Pair

Merge: TypeAlias = Callable[[RelPath, Entry, Entry], tuple[BlobInfo, bytes] | None]
"""Of a path that was found, and is wanted otherwise: a content that has both."""


class ReleaseWishes:
    """Goals that a vendor released. What is to be kept is decided here, and is in no pair."""

    def __init__(
        self,
        recorder: Recorder,
        releases: Releases,
        verifier: Callable[[Mapping[RelPath, Entry]], Verifier],
        installed: Callable[[], int | None],
        rendered: Callable[[], Mapping[RelPath, Entry]] = dict,
        merge: Merge = lambda path, found, wanted: None,
    ) -> None:
        """The `verifier` is asked for once it is needed: what it knows has to be read; it is given
        the files that are to be there beside a release. `installed` is the release that is
        installed now (None: none of them), `rendered` are those files as they were written last,
        `merge` says what comes of an edited file and what a release has, if that is clean.
        """
        self._recorder = recorder
        self._releases = releases
        self._verifier = verifier
        self._installed = installed
        self._rendered_now = rendered
        self._merge = merge

    def named_state(self, request: Request) -> set[RelPath]:
        return set()

    def wanted(self, request: Request, found: FoundRoot) -> Wanted:
        goal = request.goal
        if isinstance(goal, RemovalGoal):
            return self._removed(goal.release, found)
        assert isinstance(goal, ReleaseGoal), "it is asked for goals of its kind"
        if request.action in INSTALLING:
            return self._to_install(goal.release, request, found)
        release, now, scope = goal.release, found.now, request.scope or ()
        rendered = self._rendered(request)
        around = self._around(now, release, rendered)
        repair = plan_repair(
            self._verifier(rendered).verify(now, release),
            around,
            derived=around.derived(),
            scope=scope,
            config=request.config,
            exact=request.exact,
        )
        return Wanted(
            pairs=self._named(repair.pairs),
            options=Options(exact=True, config="restore", scope=scope),
            fresh=found.come,
            sight=Sight(self._releases.patterns_at(release), {}),
            left=repair.left,
        )

    def _to_install(self, release: int, request: Request, found: FoundRoot) -> Wanted:
        """Raises ConflictError if something is in the way."""
        rendered = self._rendered(request)
        verified = self._verifier(rendered).verify(found.now, release)
        around = self._around(found.now, release, rendered)
        plan = plan_install(
            verified,
            around,
            config=request.config,
            replace=request.overwrite,
            owner=request.owner or (None if verified.owners.pairs else _only_owner()),
        )
        if plan.in_the_way:
            raise self._in_the_way(release, plan.in_the_way)
        return Wanted(
            pairs=self._named(plan.repair.pairs),
            options=Options(exact=True, config="restore"),
            fresh=found.come,
            sight=Sight(self._releases.patterns_at(release), {}),
            left=plan.repair.left,
            notes=plan.notes,
            contents=[*around.made.items()],
        )

    def _removed(self, release: int, found: FoundRoot) -> Wanted:
        rendered = self._rendered_now()
        tree = [*self._releases.tree(release), *rendered.values()]
        around = self._around(found.now, release, rendered)
        plan = plan_removal(self._verifier(rendered).verify(found.now, release), around, tree)
        return Wanted(
            pairs=plan.pairs,
            options=Options(exact=True, config="restore"),
            fresh=found.come,
            left=plan.left,
        )

    def _rendered(self, request: Request) -> Mapping[RelPath, Entry]:
        """The files that are to be there beside the release of a request."""
        if request.rendering is None:
            return self._rendered_now()
        return {entry.path: entry for entry in request.rendering.entries}

    def _named(self, pairs: Mapping[RelPath, Pair]) -> dict[RelPath, Pair]:
        """What is wanted with the names that its owners have on this host: a release has others, or
        none, and a look at the root finds these.
        """
        names = OwnerNames()
        return {
            path: (found, wanted)
            if wanted is None or wanted is found
            else (
                found,
                replace(wanted, user=names.user(wanted.uid), group=names.group(wanted.gid)),
            )
            for path, (found, wanted) in pairs.items()
        }

    def _around(self, look: Look, release: int, rendered: Mapping[RelPath, Entry]) -> "_Around":
        before = self._installed()
        around = _Around(look, self._recorder, self._releases, release, before, self._merge)
        around.render(rendered, self._rendered_now())
        return around

    def _in_the_way(self, release: int, paths: Sequence[RelPath]) -> ConflictError:
        about, app = self._releases.about(), self._recorder.app
        key = app.key if about is None else about.key
        title = self._releases.get(release).title
        return ConflictError(
            f"{len(paths)} of the paths of {key} {title} are in {app.root} already, and are"
            f" something else there: {paths[0]!r} for one",
            hint=f"if this is {key}, installed by hand: `epmstore install --adopt {key}"
            f" --app {app.key}`; --replace puts what was released in their place, and keeps what"
            " is there in a version",
            app=app.key,
            paths=paths,
        )


def _only_owner() -> Owner | None:
    """Where nothing tells who stands for the owners of a release, and files may not be given to
    others, all of them are the caller's.
    """
    if Privilege.ours().may_chown:
        return None
    names, uid, gid = OwnerNames(), os.geteuid(), os.getegid()
    return uid, gid, names.user(uid), names.group(gid)


class _Looked:
    """What one release has at a path: each looked up for itself, and after MANY of them all are
    read at once.
    """

    def __init__(self, entries: Entries, catalog: str, release: int) -> None:
        self._entries = entries
        self._catalog = catalog
        self._release = release
        self._asked = 0
        self._tree: Mapping[RelPath, Entry] | None = None

    def at(self, path: RelPath) -> Entry | None:
        self._asked += 1
        if self._tree is None and self._asked > MANY:
            tree = self._entries.tree(self._catalog, self._release)
            self._tree = {entry.path: entry for entry in tree}
        if self._tree is not None:
            return self._tree.get(path)
        return self._entries.at(self._catalog, self._release, path)


class _Around(Present):
    """The root, and the release beside it; and the release that is installed there now."""

    def __init__(
        self,
        look: Look,
        recorder: Recorder,
        releases: Releases,
        release: int,
        installed: int | None,
        merge: Merge,
    ) -> None:
        entries = recorder.store.entries
        self._merge = merge
        self.made: dict[BlobInfo, bytes] = {}
        super().__init__(look, entries, recorder.app.uuid)
        self._rendered: Mapping[RelPath, Entry] = {}
        self._rendered_before: Mapping[RelPath, Entry] = {}
        self._released = _Looked(entries, releases.catalog, release)
        self._before = None
        if installed is not None:
            self._before = _Looked(entries, releases.catalog, installed)
        self.now_ns = int(from_rfc3339(releases.get(release).time) * 1e9)

    def render(self, rendered: Mapping[RelPath, Entry], before: Mapping[RelPath, Entry]) -> None:
        """Files that are to be there beside the release, and those that were, beside the other."""
        self._rendered, self._rendered_before = rendered, before

    def merged(self, path: RelPath, found: Entry, wanted: Entry) -> BlobInfo | None:
        """Kept in `made`."""
        made = self._merge(path, found, wanted)
        if made is None:
            return None
        self.made[made[0]] = made[1]
        return made[0]

    def derived(self) -> list[RelPath]:
        """Files of parameters that are as they were written last."""
        there = [(self.found(path), entry) for path, entry in self._rendered_before.items()]
        return [
            entry.path
            for found, entry in there
            if found is not None and found.content == entry.content
        ]

    def is_rendered(self, path: RelPath) -> bool:
        return path in self._rendered

    def released(self, path: RelPath) -> Entry | None:
        return self._released.at(path) or self._rendered.get(path)

    def before(self, path: RelPath) -> Entry | None:
        found = None if self._before is None else self._before.at(path)
        return found or self._rendered_before.get(path)
