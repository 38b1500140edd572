"""How often the daemon does what. Seconds."""

from typing import Final

import msgspec

from epmstore.config import Config, ConsoleConfig, DaemonConfig


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """`settle`: how long a root must have been quiet before a change is recorded; `longest`: how
    long nothing may wait under steady writing. `poll`: how often a root is looked at that cannot be
    watched. `reconcile`: how often everything is looked at for what no event told (None: never).
    `read_back`: within which time all contents are read by that, changed or not (None: never).
    `root`: how often it is checked that a root is the directory that is watched. `retry` and
    `retry_longest`: after a recording that failed.
    """

    settle: float = 2.0
    longest: float = 60.0
    poll: float = 60.0
    reconcile: float | None = 86_400.0
    read_back: float | None = 30 * 86_400.0
    root: float = 30.0
    retry: float = 1.0
    retry_longest: float = 60.0

    @classmethod
    def of(cls, config: DaemonConfig) -> "Timing":
        return cls(
            settle=config.settle,
            longest=config.settle_max,
            poll=config.poll,
            reconcile=config.reconcile,
            read_back=config.read_back,
        )

    @property
    def shares(self) -> int:
        """Of how many looks at everything each reads one; 0: none reads more than it must."""
        if self.reconcile is None or self.read_back is None:
            return 0
        # a look may come a tenth later than it should
        return max(1, int(self.read_back / (1.1 * self.reconcile)))


AT_START: Final = ("poll", "log", "metrics", "group", "alert")
"""Settings of `[daemon]` that are only read when it starts; so are all of `[console]`."""


def waiting_settings(started_with: Config, now: Config) -> tuple[str, ...]:
    """What was changed since the start and counts from the next one, as dotted keys."""
    old, new = started_with.daemon, now.daemon
    changed = [f"daemon.{x}" for x in AT_START if getattr(old, x) != getattr(new, x)]
    before, after = started_with.console, now.console
    names = ConsoleConfig.__struct_fields__
    changed += [f"console.{x}" for x in names if getattr(before, x) != getattr(after, x)]
    return tuple(changed)
