"""`app.explaining`: which release, patch or checkout accounts for what was recorded."""

from collections.abc import Sequence

from epmstore import given
from epmstore.catalog.classes import Rules
from epmstore.given import AnyPath
from epmstore.refcat.blame import Blamed, blame
from epmstore.refcat.explain_versions import Explainer
from epmstore.refcat.explanation import Explanation
from epmstore.refcat.knowledge import Knowledge
from epmstore.refcat.verify import merged_rules
from epmstore.relpath import RelPath, sort_paths
from epmstore.tree import path_of
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.reading import Reading


class Explaining:
    """By the refcat of one application; without one nothing is explained."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    def explanations(self) -> dict[int, Explanation]:
        """What explains each version, by the refcat; empty without one. Raises DamagedError."""
        context, vendors = self._context, self._context.releases.patterns()
        own = context.recorder.rules
        explainer = Explainer(
            context.store,
            context.app.uuid,
            context.releases,
            merged_rules(own, Rules(vendors)),
            f"{own.digest()} {vendors.digest()}",
        )
        return explainer.explain(context.state())

    def blame(self, path: AnyPath) -> list[Blamed]:
        """Every change of a path that was recorded, newest first. Raises PathNotFoundError."""
        state, path = self._context.state(), given.a_path(path)
        app, entries = self._context.app.uuid, self._context.store.entries
        first, _ = state.span() or (0, 0)

        def changed(version: int) -> Sequence[RelPath]:
            if version == first:
                return ()
            return sort_paths(map(path_of, entries.changed(app, version - 1, version)))

        return blame(
            Reading(self._context).history(path),
            Knowledge(self._context.releases).states(path),
            {info.version: info for info in state.versions},
            self.explanations(),
            changed,
        )
