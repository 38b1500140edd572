"""Further names of files: what becomes of those that are no part of a plan. Pure.

An entry says of a hard link which is the first name of its file. If that name goes to another file,
the others stay what they are, and the first of them is the first name from then on: the version of
a checkout says so, although nothing is done to them.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from epmstore.checkout.plan import Step
from epmstore.relpath import RelPath, sort_paths
from epmstore.tree import Entry


def may_leave_names(steps: Iterable[Step]) -> bool:
    """Whether a file goes from its first name that had others, as far as a look can tell."""
    return any(_leaves_names(step) for step in steps)


def left_names(
    steps: Iterable[Step], same_as: Mapping[RelPath, RelPath]
) -> dict[RelPath, RelPath | None]:
    """Paths that no step is about to the first name of their file once all is done (None: they are
    the first), for those that get another one. `same_as` says which the first ones were.
    """
    planned = {step.path: step for step in steps}
    firsts: dict[RelPath, RelPath] = {}
    found: dict[RelPath, RelPath | None] = {}
    for path in sort_paths(same_as.keys() - planned.keys()):
        step = planned.get(same_as[path])
        if step is not None and _leaves_names(step):
            first = firsts.setdefault(step.path, path)
            found[path] = None if first == path else first
    return found


def steps_for(
    names: Mapping[RelPath, RelPath | None], recorded: Mapping[RelPath, Entry]
) -> Iterator[Step]:
    """What is to be recorded of such names, as steps for which nothing has to be done."""
    for path, first in names.items():
        if (old := recorded.get(path)) is not None:
            yield Step("set", path, old, msgspec.structs.replace(old, same_as=first))


def _leaves_names(step: Step) -> bool:
    is_file = step.old is not None and step.old.kind == "file" and step.old.same_as is None
    has_names = step.seen is not None and step.seen.links > 1
    return is_file and has_names and step.op in ("put", "retype", "unlink")
