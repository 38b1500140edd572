"""What is said of one application: its state as others see it, and what goes to the log."""

import logging
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.model import Reason
from epmstore.errors import EpmError
from epmstored.app_state import AppState, WatchPhase
from epmstored.outcome import RecordingOutcome

log = logging.getLogger("epmstored")


OnRecorded: TypeAlias = Callable[[str, int], None]
"""Gets the key of an application and a version."""


class Report:
    """Told by an AppRecorder what happens. `state` is what is known so far; what only its owner
    knows at the moment of asking (queue, lag, watches) is added there.
    """

    def __init__(self, app: App, recorded: OnRecorded = lambda app, version: None) -> None:
        """`recorded` is told of each new version, but for baselines."""
        self._key = app.key
        self._recorded = recorded
        self.unseen: frozenset[str] = frozenset()
        """Paths that the last look did not observe: every look is at them, too."""
        self._unread: frozenset[str] = frozenset()
        self._covered: frozenset[str] = frozenset()
        self.state = AppState(app=app.key, uuid=app.uuid, root=app.root, noisy=app.noisy)

    def watched(self, phase: WatchPhase, degraded: tuple[str, ...]) -> None:
        """A watcher was started."""
        if self.state.phase == "gone":
            log.info("%s: the root is there again, and watched", self._key)
        for trouble in degraded:
            log.warning("%s: %s", self._key, trouble)
        self._set(phase=phase, error=None)

    def recorded(self, outcome: RecordingOutcome, reason: Reason, *, looked: str | None) -> None:
        """`looked` is when everything was looked at, None if only some folders were."""
        version = outcome.version
        self.count(looks=1, drift_versions=int(outcome.is_new and not outcome.is_first))
        if outcome.is_first and outcome.is_new:
            log.info("%s: version %d is the baseline", self._key, version.version)
        elif outcome.is_new:
            made = len(outcome.made)
            log.info("%s: version %d (%s), %d paths", self._key, version.version, reason, made)
            self._recorded(self._key, version.version)
        self.unseen, self._unread = frozenset(outcome.unseen), frozenset(outcome.unread)
        self._covered = frozenset(outcome.covered)
        self._set(
            phase="watching",
            held=None,
            error=None,
            version=version.version,
            recorded=version.time,
            looked=looked or self.state.looked,
            unstable=tuple(sorted(outcome.unstable)),
        )
        self.unshown(outcome.unshown)

    def unshown(self, paths: tuple[str, ...]) -> None:
        """Files that were read although nothing showed a change."""
        if paths:
            log.warning(
                "%s: other contents, and no stat shows it (damage of the disk, or a change that the"
                " kernel did not tell of): %s",
                self._key,
                _some(frozenset(paths)),
            )

    def overflowed(self) -> None:
        self.count(overflows=1)
        log.warning("%s: events were lost; everything is looked at", self._key)

    def reconciled(self, unexpected: int) -> None:
        self.count(reconciles=1, found_by_reconcile=unexpected)
        if unexpected:
            log.warning("%s: %d paths changed unnoticed", self._key, unexpected)

    def gone(self, why: str) -> None:
        if (self.state.phase, self.state.error) != ("gone", why):
            log.warning("%s: %s", self._key, why)
        self._set(phase="gone", held=None, error=why)

    def held(self, by: str) -> None:
        self._set(phase="held", held=by)

    def failed(self, error: Exception) -> None:
        """Said once, however often it is tried again; with what helps, if that is known."""
        message = f"{error!r}"
        if isinstance(error, EpmError):
            message = error.message if error.hint is None else f"{error.message}; {error.hint}"
        if message != self.state.error:
            expected = isinstance(error, EpmError | OSError)
            log.error("%s: %s", self._key, message, exc_info=None if expected else error)
        self._set(phase="error", error=message)

    def noisy(self, paths: list[str]) -> None:
        log.warning(
            "%s: changes all the time and is recorded without content until it has a class: %s",
            self._key,
            ", ".join(paths),
        )

    def degraded(self) -> tuple[str, ...]:
        """Why less is seen than should be, as far as it is known here."""
        found: list[str] = []
        if self._unread:
            found.append(f"cannot be read: {_some(self._unread)}")
        if self._covered:
            found.append(f"another file system hides what is recorded: {_some(self._covered)}")
        if self.state.noisy:
            count = len(self.state.noisy)
            found.append(f"{count} files change all the time: recorded without content")
        return tuple(found)

    def count(self, **more: int) -> None:
        counters = self.state.counters
        new = {name: getattr(counters, name) + number for name, number in more.items()}
        self._set(counters=msgspec.structs.replace(counters, **new))

    def _set(self, **fields: object) -> None:
        self.state = msgspec.structs.replace(self.state, **fields)


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _some(paths: frozenset[str]) -> str:
    first = min(paths)
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} others"
