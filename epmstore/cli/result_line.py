"""The line that says the truth after a change."""

from epmstore.catalog.model import Counts
from epmstore.cli.output import counted, name, number
from epmstore.record.result import Result

SEVERAL = 2
RECORDING = ("snapshot", "run")
"""Actions that record what others did; all others change the root themselves."""


def closing_line(result: Result, *, with_app: bool, with_undo: bool = True) -> str:
    """`crm: version 131 -> 132 (content of 117), 14 files replaced, 2 removed; undo: ...`

    The command that undoes it names the application only if this one had to; of several that went
    together, one undoes all.
    """
    parts = [_versions(result), *_counts(result)]
    if result.verified:
        parts.append("verified")
    if result.hooks and result.hooks[-1].ok:
        parts.append(
            {"stop": "stopped", "start": "started", "health": "healthy"}[result.hooks[-1].hook]
        )
    undo = (result.undo or "") if with_undo else ""
    if not with_app and len(result.transaction) < SEVERAL:
        undo = undo.removesuffix(f" --app {result.app}")
    title = "undo" if len(result.transaction) < SEVERAL else "undo of all"
    return f"{name(result.app)}: {', '.join(parts)}" + (f"; {title}: {undo}" if undo else "")


def _versions(result: Result) -> str:
    label = f" {name(result.label)!r}" if result.label else ""
    if not result.changed:
        return _unchanged(result)
    if result.from_ is None:
        return f"version {result.version}{label}"
    if result.from_ == result.version:
        said = f"is labelled{label}, too" if label else "is a change now"
        return f"{_nothing(result)}, version {result.version} {said}"
    of = f" (content of {result.of})" if result.of is not None else ""
    text = f"version {result.from_} -> {result.version}{of}{label}"
    unfelt = result.action == "run" and not is_felt(result)
    return f"{text}, {_nothing(result)}" if unfelt else text


def is_felt(result: Result) -> bool:
    """Whether files came, changed or went."""
    return bool(result.added or result.modified or result.removed)


def _nothing(result: Result) -> str:
    unseen = result.unstable or any(problem.is_gap for problem in result.unobserved)
    return "nothing that was looked at has changed" if unseen else "nothing has changed"


def _unchanged(result: Result) -> str:
    if result.action in RECORDING:
        return f"{_nothing(result)} since version {result.version}"
    if result.action == "recover":
        whom = f" to {', '.join(map(name, result.transaction))}" if result.transaction else ""
        return f"what was owed{whom} is done, version {result.version} is live"
    if result.of is not None:
        return f"nothing to do for the content of version {result.of}"
    return "nothing to do"


def _counts(result: Result) -> list[str]:
    verbs = ("added", "modified", "removed")
    if result.action not in RECORDING:
        verbs = ("brought back", "replaced", "removed")
    folders = result.folders or Counts()
    alone = f" ({number(result.times)} in their time alone)" if result.times else ""
    return counts(
        (result.added, folders.added, verbs[0]),
        (result.modified, folders.modified, f"{verbs[1]}{alone}"),
        (result.removed, folders.removed, verbs[2]),
        (len(result.kept), None, "kept"),
    )


def counts(*found: tuple[int, int | None, str]) -> list[str]:
    """`14 files and 2 folders replaced`, `2 removed`: nothing that is zero, and the noun once. Of
    each: how many paths, how many of them are folders (None: they may be anything), what of them.
    """
    texts: list[str] = []
    for paths, folders, verb in found:
        if not paths:
            continue
        files = paths - (folders or 0)
        noun = "path" if folders is None else "file"
        parts = [number(files) if texts else counted(files, noun)] if files else []
        parts += [counted(folders, "folder")] if folders else []
        texts.append(f"{' and '.join(parts)} {verb}")
    return texts
