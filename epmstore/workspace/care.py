"""`ws.care`: looking after the store as a whole. Thin: each verb names its use case."""

from epmstore.care.findings import FsckReport
from epmstore.care.fsck import fsck
from epmstore.care.stats import Stats, collect_stats
from epmstore.catalog.model import Actor
from epmstore.progress import Progress
from epmstore.record.store import Store


class Care:
    """Of one open store."""

    def __init__(self, store: Store, *, actor: Actor | None, progress: Progress) -> None:
        self._store = store
        self._actor = actor
        self._progress = progress

    def stats(self) -> Stats:
        """How much is stored. Raises DamagedError."""
        return collect_stats(self._store)

    def fsck(
        self, read_data: float = 0.0, repair: bool = False, *, seed: int | None = None
    ) -> FsckReport:
        """Check the store; `read_data` is the share of frames (0 to 1) to read and decode.

        Raises OSError; damage is a finding.
        """
        return fsck(self._store, read_data, seed=seed, progress=self._progress)
