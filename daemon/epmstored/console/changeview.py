"""The pages of a version, and of one file in it. Pure."""

from typing import Any, Final

from epmstore.catalog.diff import Change
from epmstore.catalog.hooks import show_command
from epmstore.refcat.explained import words
from epmstore.refcat.explanation import Explanation
from epmstore.relpath import to_json
from epmstore.tree import Entry
from epmstore.wording import counted, name, size
from epmstored.console import addresses
from epmstored.console.changefacts import FileFacts, VersionFacts
from epmstored.console.phrases import Today, exactly, short
from epmstored.console.sidebyside import side_by_side
from epmstored.console.versionrows import row_of, who

LETTERS: Final = {"added": "A", "modified": "M", "removed": "D"}
SAID: Final = {
    "label": "labelled",
    "change": "declared a change",
    "tag": "tagged",
    "untag": "lost the tag",
    "pin": "pinned",
    "unpin": "unpinned",
    "forget": "forgotten",
    "unforget": "taken back from forgetting",
}
REMARKS: Final = 20
WRITING: Final = 20


def version_view(facts: VersionFacts, today: Today) -> dict[str, Any]:
    """What changed, and what explains it."""
    key, info = facts.app.key, facts.info
    unexplained = frozenset(() if facts.explanation is None else facts.explanation.unexplained)
    changes = [
        _line(key, info.version, one, facts.explanation, unexplained) for one in facts.changes or ()
    ]
    return {
        "key": key,
        "app_address": addresses.of_app(key),
        "number": info.version,
        "row": row_of(info, facts.explanation, facts.titles),
        "told": today.told(info.time),
        "exactly": exactly(info.time),
        "facts": _facts(facts, today),
        "before": None if facts.before is None else addresses.of_version(key, facts.before),
        "after": None if facts.after is None else addresses.of_version(key, facts.after),
        "is_first": facts.is_first,
        "is_hidden": facts.changes is None and not facts.is_first,
        "changes": changes,
        "total": counted(facts.total, "path"),
        "next": None
        if facts.next is None
        else addresses.of_version(key, info.version, after=to_json(facts.next)),
    }


def _line(
    key: str,
    number: int,
    one: Change,
    explanation: Explanation | None,
    unexplained: frozenset[str],
) -> dict[str, Any]:
    is_known = explanation is not None and explanation.kind not in ("rollback", "repair")
    entry = one.new or one.old
    assert entry is not None, "a change has at least one side"
    return {
        "letter": LETTERS[one.change],
        "change": one.change,
        "path": name(one.path),
        "address": addresses.of_file(key, number, one.path),
        "kind": "" if entry.kind == "file" else entry.kind,
        "class": "" if entry.path_class == "program" else entry.path_class,
        "fields": ", ".join(one.fields),
        "size": _sizes(one),
        "is_unexplained": is_known and one.path in unexplained,
    }


def _sizes(one: Change) -> str:
    old, new = (
        None if e is None or e.content is None else e.content.size for e in (one.old, one.new)
    )
    if old is None or new is None:
        found = new if old is None else old
        return "" if found is None else size(found)
    return size(new) if old == new else f"{size(old)} \N{RIGHTWARDS ARROW} {size(new)}"


def _facts(facts: VersionFacts, today: Today) -> list[tuple[str, str]]:
    info, record = facts.info, facts.info.record
    found = [("recorded", exactly(info.time))]
    by = who(record.actor)
    found += [("by", by)] if by else []
    if record.window is not None:
        begin, end = (today.of(one) for one in record.window)
        found.append(("it came about", begin if begin == end else f"{begin} to {end}"))
    if record.command is not None:
        found.append(("ran", short(show_command(record.command), 400)))
    if record.exit_status is not None:
        found.append(("exit status", str(record.exit_status)))
    explained = words(facts.explanation, facts.titles)
    found += [("explained by", explained)] if explained else []
    for said in info.remarks[:REMARKS]:
        text = "" if said.text is None else f" {short(said.text)}"
        by = who(said.actor)
        found.append((SAID[said.what], f"{text} {today.of(said.time)} {by}".strip()))
    if record.writing:
        some = ", ".join(map(name, record.writing[:WRITING]))
        found.append(("open for writing, may be half done", some))
    if record.unobserved:
        some = ", ".join(name(path) for path, _ in record.unobserved[:WRITING])
        found.append(("not looked at", some))
    return found


def file_view(facts: FileFacts, today: Today) -> dict[str, Any]:
    """What became of one path."""
    key, number, change = facts.app.key, facts.info.version, facts.change
    differs = change.change != "modified" or "content" in change.fields
    difference = None
    if differs and facts.unread is None and _is_file(change):
        difference = side_by_side(facts.old, facts.new)
    return {
        "key": key,
        "app_address": addresses.of_app(key),
        "number": number,
        "version_address": addresses.of_version(key, number),
        "path_address": addresses.of_path(key, change.path),
        "path": name(change.path),
        "change": change.change,
        "before": facts.before,
        "told": today.told(facts.info.time),
        "rows": [
            (label, _shown(change.old, field), _shown(change.new, field), _differs(change, field))
            for label, field in FACTS
            if _shown(change.old, field) or _shown(change.new, field)
        ],
        "unread": facts.unread,
        "difference": difference,
    }


FACTS: Final[tuple[tuple[str, str], ...]] = (
    ("kind", "kind"),
    ("size", "size"),
    ("SHA-1", "content"),
    ("mode", "mode"),
    ("owner", "owner"),
    ("changed", "mtime"),
    ("leads to", "target"),
    ("attributes", "xattrs"),
    ("same file as", "link"),
    ("class", "class"),
)


def _is_file(change: Change) -> bool:
    return any(one is not None and one.kind == "file" for one in (change.old, change.new))


def _differs(change: Change, field: str) -> bool:
    return (
        change.old is not None
        and change.new is not None
        and (_shown(change.old, field) != _shown(change.new, field))
    )


def _shown(entry: Entry | None, field: str) -> str:
    """One fact of a path, as text; empty where there is nothing to say."""
    if entry is None:
        return ""
    content = entry.content
    found: dict[str, str] = {
        "kind": entry.kind,
        "size": "" if content is None else f"{content.size:,}",
        "content": "" if content is None else content.digest.hex(),
        "mode": f"{entry.mode:04o}",
        "owner": f"{name(entry.user or str(entry.uid))}:{name(entry.group or str(entry.gid))}",
        "mtime": "" if entry.mtime_ns is None else exactly(entry.mtime_ns / 1e9),
        "target": "" if entry.target is None else name(entry.target),
        "xattrs": " ".join(name(key) for key, _ in entry.xattrs),
        "link": "" if entry.same_as is None else name(entry.same_as),
        "class": entry.path_class,
    }
    return found[field]
