"""The command about configuration that was edited here and changed by its vendor as well: merge."""

import difflib
from typing import Any

import click

from epmstore.catalog.hooks import NONE, hooks_of
from epmstore.cli.checkout_options import terms_of, terms_options
from epmstore.cli.command import command
from epmstore.cli.output import counted, name
from epmstore.cli.plan_view import outlook, show_plan
from epmstore.cli.session import Session
from epmstore.cli.summary import finish
from epmstore.errors import UsageError
from epmstore.workspace import AppHandle, installshapes
from epmstore.workspace.app.asked import TermsGiven
from epmstore.workspace.app.merging import MergeAnswer, OpenMerge


@command(
    app=True,
    changes=True,
    examples=[
        ("epmstore merge", "what waits for an answer"),
        ("epmstore merge etc/crm.conf", "what both sides changed, and what comes of it"),
        ("epmstore merge etc/crm.conf --merged", "both, if that is clean"),
        ("epmstore merge etc/crm.conf --mine", "it stays as it is, and is not asked about again"),
    ],
)
@click.option("--mine", is_flag=True, help="Keep the file as it is here.")
@click.option("--theirs", is_flag=True, help="Take what the vendor has.")
@click.option("--merged", is_flag=True, help="Take what has both, if that is clean.")
@click.option("--edit", is_flag=True, help="Resolve what conflicts in an editor.")
@terms_options
@click.argument("path", required=False)
def merge(session: Session, path: str | None, edit: bool, **given: Any) -> int | None:
    """Decide about configuration that both sides changed.

    That is a file that was edited here, and that its vendor changed as well. Without PATH, lists
    what waits for an answer; with PATH alone, shows what both sides changed. An
    answer is a checkout, and `epmstore undo` takes it back; from then on the vendor's change counts
    as known here.
    """
    chosen: list[MergeAnswer] = [answer for answer in ("mine", "theirs", "merged") if given[answer]]
    if edit:
        chosen.append("edited")
    if len(chosen) > 1:
        raise UsageError("one answer at a time: --mine, --theirs, --merged or --edit")
    if path is None:
        if chosen:
            raise UsageError("an answer is about one path", hint="`epmstore merge` lists them")
        return _list(session)
    handle = session.handle()
    found = handle.merging.get(path)
    if not chosen:
        return _show(session, handle, found)
    terms = terms_of(session, given)
    if session.dry_run:
        return _foretell(session, handle, found, chosen[0], terms)
    content = _edit(found) if edit else None
    result = handle.merging.answer(found.path, chosen[0], content, **terms)
    if result is not None:
        return finish(session, result)
    shape = {**installshapes.open_merge(found), "answer": chosen[0]}
    session.out.outcome(shape, f"{handle.app.key}: {name(found.path)} stays as it is")
    return 0


def _foretell(
    session: Session, handle: AppHandle, found: OpenMerge, answer: MergeAnswer, terms: TermsGiven
) -> int:
    """What an answer would do; what comes of an editor is not known."""
    session.out.note(f"{name(found.path)}: would be answered with {answer}")
    prepared = None if answer == "edited" else handle.merging.plan(found.path, answer)
    if prepared is None:
        return 0
    show_plan(session.out, prepared, hooks_of(handle.app) if terms["hooks"] else NONE)
    return outlook(handle, prepared, terms)


def _list(session: Session) -> int:
    found = [one for handle in session.handles() for one in handle.merging.open()]
    if session.json:
        for one in found:
            session.out.shape({**installshapes.open_merge(one), "answer": None})
        return 0
    session.out.table([(one.app, name(one.path), _state(one)) for one in found])
    if not found:
        session.out.note("no configuration waits for an answer")
    return 0


def _state(one: OpenMerge) -> str:
    if one.text is None:
        return one.why or "it cannot be merged"
    return counted(one.text.conflicts, "conflict") if one.text.conflicts else "can be merged"


def _show(session: Session, handle: AppHandle, one: OpenMerge) -> int:
    if session.json:
        session.out.shape({**installshapes.open_merge(one), "answer": None})
        return 0
    base = handle.merging.base_content(one)
    release = f"release:{one.release}"
    if base is None:
        session.out.note(f"{name(one.path)}: {one.why}")
        _differ(session, one.theirs, one.mine, release, "mine")
    else:
        then = f"release:{one.base.release if one.base else '?'}"
        _differ(session, base, one.mine, then, "mine")
        _differ(session, base, one.theirs, then, release)
    if one.merged is not None:
        _differ(session, one.mine, one.merged, "mine", "merged")
    session.out.note(f"{name(one.path)}: {_state(one)}")
    return 0


def _differ(session: Session, one: bytes, two: bytes, before: str, after: str) -> None:
    texts = [data.decode(errors="replace").splitlines() for data in (one, two)]
    for line in difflib.unified_diff(texts[0], texts[1], before, after, lineterm=""):
        session.out.line(name(line))


def _edit(one: OpenMerge) -> bytes:
    """Raises UsageError where there is nothing to edit, or it was not saved."""
    if one.text is None:
        raise UsageError(
            f"{one.path!r} cannot be merged: {one.why}",
            hint="edit it by hand, and use --mine then",
        )
    marked = one.text.marked("mine", f"release:{one.release}")
    try:
        text = click.edit(marked.decode(), extension=".merge")
    except (click.ClickException, UnicodeDecodeError) as error:
        raise UsageError(f"no editor can be used: {error}", hint="such as with EDITOR=vi") from None
    if text is None:
        raise UsageError("it was not saved, so nothing was changed")
    return text.encode()
