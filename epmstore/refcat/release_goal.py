"""What a release wants of a root: what a checkout that goes there is planned from."""

from collections.abc import Callable

from epmstore.checkout.goal import ReleaseGoal
from epmstore.checkout.plan import Options
from epmstore.checkout.request import Request
from epmstore.checkout.sight import Sight
from epmstore.checkout.wanted import FoundRoot, Present, Wanted
from epmstore.clock import from_rfc3339
from epmstore.record.recorder import Look, Recorder
from epmstore.refcat.releases import Releases
from epmstore.refcat.repair import plan_repair
from epmstore.refcat.verify import Verifier
from epmstore.relpath import RelPath
from epmstore.tree import Entry


class ReleaseWishes:
    """Goals that a vendor released. What is to be kept is decided here, and is in no pair."""

    def __init__(
        self, recorder: Recorder, releases: Releases, verifier: Callable[[], Verifier]
    ) -> None:
        """The `verifier` is asked for once it is needed: what it knows has to be read."""
        self._recorder = recorder
        self._releases = releases
        self._verifier = verifier

    def named_state(self, request: Request) -> set[RelPath]:
        return set()

    def wanted(self, request: Request, found: FoundRoot) -> Wanted:
        assert isinstance(request.goal, ReleaseGoal), "it is asked for goals of its kind"
        release, now, scope = request.goal.release, found.now, request.scope or ()
        repair = plan_repair(
            self._verifier().verify(now, release),
            _Around(now, self._recorder, self._releases, release),
            scope=scope,
            config=request.config,
            exact=request.exact,
        )
        return Wanted(
            pairs=repair.pairs,
            options=Options(exact=True, config="restore", scope=scope),
            fresh=found.come,
            sight=Sight(self._releases.patterns_at(release), {}),
            left=repair.left,
        )


class _Around(Present):
    """The root, and the release beside it."""

    def __init__(self, look: Look, recorder: Recorder, releases: Releases, release: int) -> None:
        self._recorded = recorder.store.entries
        super().__init__(look, self._recorded, recorder.app.uuid)
        self._catalog = releases.catalog
        self._release = release
        self.now_ns = int(from_rfc3339(releases.get(release).time) * 1e9)

    def released(self, path: RelPath) -> Entry | None:
        return self._recorded.at(self._catalog, self._release, path)
