"""What a look did not see, in one list for all that tell of it: status, diff, results, the daemon.
Pure.
"""

from typing import TYPE_CHECKING

import msgspec

from epmstore.relpath import RelPath
from epmstore.scan.problem import Problem

if TYPE_CHECKING:  # start-up
    from epmstore.record.recorder import Look


class Unseen(msgspec.Struct, frozen=True):
    """`skipped` is nothing that is recorded: FIFOs, sockets, devices, and what is mounted over no
    recorded path. `unstable` did not hold still; `unobserved` is every other gap.
    """

    skipped: tuple[Problem, ...] = ()
    unstable: tuple[RelPath, ...] = ()
    unobserved: tuple[Problem, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether something may differ that was not seen (exit code 3)."""
        return bool(self.unstable or self.unobserved)


def unseen(look: "Look") -> Unseen:
    problems = look.changes.problems
    gaps = [problem for problem in problems if problem.is_gap]
    return Unseen(
        (*look.found.skipped, *(p for p in problems if p.kind == "mount")),
        tuple(problem.path for problem in gaps if problem.kind == "unstable"),
        tuple(problem for problem in gaps if problem.kind != "unstable"),
    )
