"""`app.merging`: configuration that was edited here and that its vendor changed as well: what both
made of it, and what a person answers.

Nothing with a conflict in it is ever written into a root by itself.
"""

import contextlib
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, Unpack, get_args

import msgspec

from epmstore import given
from epmstore.catalog.install_notes import FOUND_CONFIG, KEPT_CONFIG, MERGED_CONFIG, notes_of
from epmstore.catalog.model import AcknowledgeRecord, MergeRecord
from epmstore.checkout.goal import EditsGoal
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import Prepared, Rendering, Request
from epmstore.checkout.undo import taken_back
from epmstore.digest import identify
from epmstore.errors import (
    ConflictError,
    NotFoundError,
    PathNotFoundError,
    UsageError,
)
from epmstore.given import AnyPath
from epmstore.record.result import Result
from epmstore.refcat.classify import Deviation
from epmstore.refcat.merge_base import MergeBase
from epmstore.refcat.three_way import MergedText, has_marks
from epmstore.relpath import RelPath
from epmstore.tree import Entry
from epmstore.wording import counted
from epmstore.workspace.app.acting import Acting
from epmstore.workspace.app.asked import TermsGiven
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.merged import base_of, content_of, merge_file
from epmstore.workspace.app.verifying import installed_release, verifier_of

MergeAnswer: TypeAlias = Literal["mine", "theirs", "merged", "edited"]
ANSWERS: Final[tuple[MergeAnswer, ...]] = get_args(MergeAnswer)


class OpenMerge(msgspec.Struct, frozen=True, kw_only=True):
    """A file that both sides changed since its `base` (None: it is not known). `release` is the one
    that is installed, which has `theirs`. `text` is what comes of it, None if it cannot be merged,
    and then `why`.
    """

    app: str
    path: RelPath
    base: MergeBase | None
    release: int
    mine: bytes
    theirs: bytes
    text: MergedText | None
    why: str | None

    @property
    def merged(self) -> bytes | None:
        """The file with both in it, if that is clean."""
        return None if self.text is None else self.text.content


class Merging:
    """Of one application, beside the release that is installed."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._acting = Acting(context)

    def open(self) -> list[OpenMerge]:
        """All that wait for an answer, in order of paths."""
        found = []
        for finding in self._edited():
            merge = self._look(finding)
            if merge is not None:
                found.append(merge)
        return found

    def get(self, path: AnyPath) -> OpenMerge:
        """That of one path. Raises PathNotFoundError, NotFoundError for what needs no answer."""
        wanted, found = given.a_path(path), None
        for finding in self._edited(wanted):
            found = self._look(finding)
        if found is None:
            raise NotFoundError(
                f"{wanted!r} was not changed here and by its vendor: it needs no answer",
                hint="`epmstore merge` lists what does",
                path=wanted,
            )
        return found

    def answer(
        self,
        path: AnyPath,
        answer: MergeAnswer,
        content: bytes | None = None,
        **terms: Unpack[TermsGiven],
    ) -> Result | None:
        """Decide about a file: it stays (`mine`), is as its vendor has it (`theirs`), has both
        (`merged`), or is as `content` (`edited`). From then on what the release has counts as known
        here, and the notes of it as read. None if nothing is written. Raises ConflictError for a
        merge that is not clean, UsageError for content with marks of conflicts, otherwise as a
        checkout.
        """
        if answer not in ANSWERS:
            raise UsageError(f"{answer!r} is none of {', '.join(ANSWERS)}")
        merge = self.get(path)
        data = self._content(merge, answer, content)
        result = None
        if data is not None and data != merge.mine:
            result = self._write(merge, answer, data, terms)
        self._record(merge, answer)
        return result

    def plan(self, path: AnyPath, answer: MergeAnswer) -> Prepared | None:
        """What an answer but `edited` would write now. Writes nothing. Raises as `answer`."""
        merge = self.get(path)
        data = self._content(merge, answer, None)
        if data is None or data == merge.mine:
            return None
        return self._acting.plan(self._request(merge, answer, data), frozenset({identify(data)}))

    def _content(self, merge: OpenMerge, answer: str, content: bytes | None) -> bytes | None:
        match answer:
            case "theirs":
                return merge.theirs
            case "merged" if merge.merged is None:
                why = (
                    merge.why
                    or f"it has {counted(merge.text.conflicts if merge.text else 0, 'conflict')}"
                )
                raise ConflictError(
                    f"{merge.path!r} cannot be merged: {why}",
                    hint="give it --mine, --theirs or --edit",
                    path=merge.path,
                )
            case "merged":
                return merge.merged
            case "edited":
                if content is None:
                    raise UsageError("an edited file comes with its content")
                if has_marks(content):
                    raise UsageError("there are marks of conflicts in it")
                return content
        return None

    def _write(self, merge: OpenMerge, answer: str, data: bytes, terms: TermsGiven) -> Result:
        with self._context.locked_root() as root:
            request = self._request(merge, answer, data)
            result = self._acting.run(root, request, Terms(**terms))
        return msgspec.structs.replace(result, label=request.label if result.changed else None)

    def _request(self, merge: OpenMerge, answer: str, data: bytes) -> Request:
        info, found = identify(data), self._present(merge.path)
        if found is None or found.content != identify(merge.mine):
            raise ConflictError(f"{merge.path!r} changed meanwhile", hint="look at it again")
        now_ns = int(self._context.store.clock.now() * 1e9)
        entry = msgspec.structs.replace(
            found, content=info, mtime_ns=now_ns, same_as=None, sparse=False
        )
        return Request(
            action="merge",
            goal=EditsGoal(((merge.path, entry),)),
            rendering=Rendering((), ((info, data),)),
            label=f"merge {merge.path}: {answer}",
        )

    def _present(self, path: RelPath) -> Entry | None:
        with contextlib.suppress(PathNotFoundError):
            return self._context.trees.at("now").entry(path)
        return None

    def _record(self, merge: OpenMerge, answer: str) -> None:
        context = self._context
        time, actor, state = context.now(), context.actor, context.state()
        context.commit(
            MergeRecord(
                time=time,
                actor=actor,
                version=state.versions[-1].version,
                path=merge.path,
                product=context.releases.app,
                release=merge.release,
                answer=answer,
            )
        )
        for note in notes_of(state, taken_back(state.versions)):
            is_about = note.note.what in (KEPT_CONFIG, FOUND_CONFIG, MERGED_CONFIG)
            if note.is_open and is_about and note.note.path == merge.path:
                version = note.version.version
                context.commit(
                    AcknowledgeRecord(time=time, actor=actor, version=version, notes=(note.place,))
                )

    def _edited(self, path: RelPath | None = None) -> Sequence[Deviation]:
        """Configuration that is not as the installed release has it. Raises NotFoundError if none
        is installed.
        """
        context, release = self._context, installed_release(self._context)
        if release is None:
            if path is None:
                return ()
            raise NotFoundError(f"nothing is installed in {context.app.key}")
        paths = () if path is None else (path,)
        verified = verifier_of(context, {}).verify(context.look(), release, paths)
        return [
            one
            for one in verified.findings
            if one.path_class == "config"
            and (one.found is not None and one.found.kind == "file")
            and (one.expected is not None and one.expected.kind == "file")
            and one.found.content != one.expected.content
        ]

    def _look(self, finding: Deviation) -> OpenMerge | None:
        """None if only one side changed it."""
        found, wanted, release = finding.found, finding.expected, installed_release(self._context)
        assert found is not None and wanted is not None and release is not None, "it was chosen"
        base = base_of(self._context, finding.path)
        if base is not None and base.entry.content == wanted.content:
            return None
        mine, theirs = content_of(self._context, found), content_of(self._context, wanted)
        if mine is None or theirs is None:
            return None
        text, why = merge_file(self._context, base, mine, theirs)
        return OpenMerge(
            app=self._context.app.key,
            path=finding.path,
            base=base,
            release=release,
            mine=mine,
            theirs=theirs,
            text=text,
            why=why,
        )

    def base_content(self, merge: OpenMerge) -> bytes | None:
        """What it was edited from, if that is stored."""
        return None if merge.base is None else content_of(self._context, merge.base.entry)
