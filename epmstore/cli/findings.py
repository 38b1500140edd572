"""What a verification came to, for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from epmstore.cli.facts import unexpected
from epmstore.cli.output import counted, name, number
from epmstore.cli.session import Session
from epmstore.refcat.classify import OF_RELEASES, WHATS, Deviation
from epmstore.refcat.releases import Release
from epmstore.refcat.verify import Verified, in_order

if TYPE_CHECKING:
    from epmstore.workspace import AppHandle

MEANING = {
    "stale": "from an older release",
    "ahead": "from a newer release",
    "parallel": "from a release of another line",
    "foreign": "belongs to another path or application",
    "moved": "belongs to another path, which lacks it",
    "meta": "right bytes, other metadata",
    "local": "bytes that no vendor ever shipped",
    "unknown": "never shipped, neither path nor bytes",
    "missing": "in the release, not here",
}
COLOURS = {"missing": "31", "unknown": "35", "local": "35"}


def print_verified(
    session: Session,
    handle: "AppHandle",
    verified: Verified,
    *,
    subset: bool = False,
) -> None:
    """The headline and the findings; of a subset, only what is not in it."""
    out, findings = session.out, verified.strangers if subset else verified.findings
    headed = subset_headline(verified) if subset else headline(verified)
    out.line(f"{handle.app.key} at {name(handle.app.root)}: {headed}")
    deviations = [one for one in findings if one.path not in verified.accepted]
    ordered = in_order(deviations)
    for what in WHATS:
        group = [one for one in ordered if one.what == what]
        if group:
            head = f"{out.paint(what, COLOURS.get(what, '33'))} ({_how_many(group)})"
            out.line(f"{head}: {MEANING[what]}")
            for line in out.some([describe(one, handle) for one in group]):
                out.line(line)
    for line in notes(verified):
        out.note(line)
    if verified.withdrawn:
        lines = [f"{name(path)} ({name(why)})" for path, why in verified.withdrawn]
        out.warn("\n".join(["withdrawn by its vendor:", *out.some(lines)]))
    unseen = [p for p in verified.unseen if p.kind != "ignored"]
    if unseen:
        out.warn("\n".join(["not looked at:", *out.some([f"{p.path} ({p.why})" for p in unseen])]))


def _how_many(group: Sequence[Deviation]) -> str:
    """`12`, or `11 files, 1 folder`: the headline counts files."""
    entries = [one.found or one.expected for one in group]
    folders = sum(entry is not None and entry.kind == "directory" for entry in entries)
    if not folders:
        return number(len(group))
    files = [counted(len(group) - folders, "file")] if len(group) > folders else []
    return ", ".join([*files, counted(folders, "folder")])


def headline(verified: Verified) -> str:
    """`2,131 of 2,134 files = release 10.1 (41)`"""
    return (
        f"{number(verified.known)} of {counted(verified.files, 'file')} = {named(verified.release)}"
    )


def subset_headline(verified: Verified) -> str:
    """`2,134 of 2,134 files are components of its catalog: a proper subset`"""
    inside = number(verified.files - len(verified.strangers))
    kind = {"proper": "a proper subset", "equal": "all that is in it", "no": "no subset"}
    return (
        f"{inside} of {counted(verified.files, 'file')} are components of its catalog:"
        f" {kind[verified.subset]}"
    )


def named(release: Release) -> str:
    """`release 10.1.SP2 (41)`"""
    return f"release {name(release.title)}"


def title_of(handle: "AppHandle", release: int | None) -> str:
    """`release 10.1.SP2 (41)`, of a number."""
    assert release is not None, "what is of a release says of which"
    return named(handle.releases.get(release))


def withdrawn(reason: str) -> str:
    """`withdrawn by its vendor: loses orders`"""
    return f"withdrawn by its vendor: {name(reason)}"


def describe(one: Deviation, handle: "AppHandle") -> str:
    """A finding in one line."""
    more: list[str] = []
    if one.path_class != "program":
        more.append(one.path_class)
    if one.what in OF_RELEASES:
        more.append(title_of(handle, one.release))
    if one.other is not None:
        app, path = one.other
        where = (
            "" if app == handle.releases.app else f" of {name(handle.verifying.vendor_key(app))}"
        )
        more.append(f"{'belongs at' if one.what == 'moved' else 'is'} {name(path)}{where}")
    fields = [field for field in one.fields if field != "content"]
    more += unexpected(one.found, one.expected, fields)
    return f"{name(one.path)}" + (f"  ({'; '.join(more)})" if more else "")


def notes(verified: Verified) -> list[str]:
    """What is good to know beside the findings."""
    found = []
    if verified.accepted:
        found.append(f"{counted(len(verified.accepted), 'finding')} accepted, not shown")
    if verified.is_uninstalled:
        found.append("what was installed was uninstalled: nothing of it is missed")
    elif verified.is_guess:
        found.append("no release explains this root; it was compared with the latest")
    if verified.release.revoked is not None:
        found.append(f"{named(verified.release)} is {withdrawn(verified.release.revoked)}")
    for released, here in verified.stand_ins:
        whose = [str(o[2] or o[0]) + ":" + str(o[3] or o[1]) for o in (released, here)]
        found.append(f"files that the release gives to {whose[0]} are {whose[1]}'s here")
    return found
