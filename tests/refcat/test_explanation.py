"""The step that explains a version, and since when a path deviates: from values alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.model import AcceptRecord
from epmstore.index.entries import Span
from epmstore.refcat.baseline import Accepted, deviates_since, is_same
from epmstore.refcat.explanation import (
    ReleaseSpan,
    ReleaseStep,
    choose_step,
    explain,
    is_touched_only,
)
from epmstore.refcat.lines import Lines
from epmstore.relpath import RelPath
from epmstore.tree import Entry, Pair
from tests.kit.fakevendor import file, folder

LAST = 9


@pytest.mark.parametrize(
    ("old", "new", "before", "step"),
    [
        ([(0, 5)], [(5, None)], 4, ReleaseStep(4, 5)),
        ([(0, 5)], [(5, None)], None, ReleaseStep(4, 5)),  # the shortest one
        ([(0, 4), (0, 5)], [(4, None), (5, None)], 3, ReleaseStep(3, 5)),
        ([(5, None)], [(0, 5)], 7, ReleaseStep(7, 4)),
        ([(5, None)], [(0, 5)], None, ReleaseStep(5, 4)),
        ([], [(3, None)], None, ReleaseStep(None, 9)),
        ([], [(3, 6)], None, ReleaseStep(None, 5)),
        ([], [(3, None)], 4, ReleaseStep(4, 4)),  # what belongs there came back
        (
            [(0, 3)],
            [],
            2,
            ReleaseStep(2, 2),
        ),  # paths only went: perhaps what the release has no more
        ([(0, 3)], [], None, None),
        # most of the changed paths are of one step, a stray one is of another
        ([(0, 5), (0, 5), (7, 8)], [(5, 9), (5, 9), (0, 2)], 4, ReleaseStep(4, 5)),
    ],
)
def test_the_step_that_most_paths_agree_on(
    old: list[ReleaseSpan], new: list[ReleaseSpan], before: int | None, step: ReleaseStep | None
) -> None:
    assert choose_step(old, new, Lines([None] * (LAST + 1)), before) == step


def nothing(path: RelPath) -> Entry | None:
    return None


def shipped(entry: Entry) -> bool:
    return True


def never(entry: Entry) -> bool:
    return False


def test_explain_leaves_unexplained_paths_as_rest() -> None:
    a, b, mine = RelPath("a"), RelPath("b"), RelPath("mine")
    pairs: dict[RelPath, Pair] = {
        a: (file("a", "old"), file("a", "new")),
        b: (file("b", "old"), None),
        mine: (None, file("mine", "x")),
    }
    delta: dict[RelPath, Pair] = {
        a: (file("a", "old"), file("a", "new")),
        b: (file("b", "old"), None),
        RelPath("c"): (file("c", "old"), file("c", "new")),
    }
    found = explain(pairs, ReleaseStep(1, 2), delta, nothing, nothing, shipped)
    assert (found.kind, found.from_, found.to) == ("upgrade", 1, 2)
    assert (found.done, found.total, found.before) == (2, 3, 0)
    assert (found.explained, found.rest, found.unexplained) == (2, 1, (mine,))
    already = explain(
        pairs, ReleaseStep(1, 2), delta, nothing, lambda path: file(path, "new"), shipped
    )
    assert (already.done, already.before, already.is_partial) == (3, 1, False)


def test_explain_allows_leftovers_of_the_first_release() -> None:
    a, b = RelPath("a"), RelPath("b")
    pairs: dict[RelPath, Pair] = {a: (file("a", "old"), file("a", "new"))}
    delta: dict[RelPath, Pair] = {**pairs, b: (file("b", "old"), None)}
    found = explain(pairs, ReleaseStep(1, 2), delta, nothing, lambda path: file(path, "old"), never)
    assert (found.done, found.total, found.left_over, found.is_partial) == (1, 2, 1, False)
    assert (found.kind, found.rest, found.release) == ("upgrade", 0, 2)
    # other bytes there are not what was left over: the upgrade did not get that far, or never will
    edited = explain(
        pairs, ReleaseStep(1, 2), delta, nothing, lambda path: file(path, "odd"), never
    )
    assert (edited.left_over, edited.is_partial) == (0, True)
    # a file that is to come and is not there is none either
    delta[b] = (None, file("b", "new"))
    assert explain(pairs, ReleaseStep(1, 2), delta, nothing, nothing, never).is_partial


def test_explain_covers_removal_of_vendor_files() -> None:
    pairs: dict[RelPath, Pair] = {RelPath("a"): (file("a", "old"), None)}
    found = explain(pairs, ReleaseStep(2, 2), {}, nothing, nothing, shipped)
    assert (found.kind, found.to, found.explained, found.rest) == ("restored", 2, 1, 0)
    assert explain(pairs, ReleaseStep(2, 2), {}, nothing, nothing, never).rest == 1
    kept = explain(pairs, ReleaseStep(2, 2), {}, lambda path: file(path, "old"), nothing, shipped)
    assert (kept.kind, kept.rest) == ("drift", 1)  # the release has it still


def test_a_step_that_explains_the_lesser_part_is_none() -> None:
    pairs: dict[RelPath, Pair] = {
        RelPath(name): (None, file(name, name)) for name in ("a", "b", "c")
    }
    delta: dict[RelPath, Pair] = {RelPath(name): (None, file(name, name)) for name in ("a", "z")}
    found = explain(pairs, ReleaseStep(1, 2), delta, nothing, nothing, shipped)
    assert (found.kind, found.rest, found.unexplained) == ("drift", 2, ("b", "c"))
    assert (found.explained, found.to) == (1, 2)
    del delta[RelPath("z")]  # then nothing is missing of the step, and the rest was added to it
    found = explain(pairs, ReleaseStep(1, 2), delta, nothing, nothing, shipped)
    assert (found.kind, found.is_partial, found.rest) == ("upgrade", False, 2)


def test_other_bytes_or_another_mode_are_not_explained() -> None:
    a = RelPath("a")
    delta: dict[RelPath, Pair] = {a: (file("a", "old"), file("a", "new"))}
    for odd in (file("a", "odd"), file("a", "new", mode=0o4755)):
        found = explain(
            {a: (file("a", "old"), odd)}, ReleaseStep(1, 2), delta, nothing, nothing, never
        )
        assert found.kind == "drift"


def test_times_and_folders_are_no_changes() -> None:
    entry = file("a", "A")
    later = Entry(path=entry.path, kind="file", mode=entry.mode, mtime_ns=5, content=entry.content)
    assert is_touched_only((entry, later))
    assert is_touched_only((None, folder("d"))) and is_touched_only((folder("d"), None))
    assert not is_touched_only((entry, file("a", "A", mode=0o600)))
    assert not is_touched_only((folder("d"), folder("d", 0o777)))


def test_a_deviation_is_as_old_as_the_run_of_wrong_states_that_leads_to_now() -> None:
    right = file("a", "A")

    def is_right(entry: Entry | None) -> bool:
        return is_same(entry, right)

    def since(*spans: tuple[str, int, int | None]) -> int | None:
        found = [Span(file("a", text), first, until) for text, first, until in spans]
        return deviates_since(found, 9, is_right)

    assert since(("A", 0, None)) is None
    assert since(("A", 0, 3), ("x", 3, 5), ("y", 5, None)) == 3
    assert since(("x", 0, 3), ("A", 3, 5), ("y", 5, None)) == 5
    assert since(("A", 0, 3)) == 3  # gone
    assert since(("A", 0, 3), ("A", 5, None)) is None
    assert since(("A", 0, 3), ("x", 5, None)) == 3  # gone, then wrong
    assert since(("x", 0, None)) == 0
    assert since() == 0


@given(st.lists(st.sampled_from([None, "A", "x"]), min_size=1, max_size=8))
def test_the_same_as_walking_back_version_by_version(states: list[str | None]) -> None:
    spans: list[Span] = []
    for version, text in enumerate(states):
        before = states[version - 1] if version else None
        if spans and spans[-1].until is None and before != text:
            spans[-1] = Span(spans[-1].entry, spans[-1].since, version)
        if text is not None and (not version or before != text):
            spans.append(Span(file("a", text), version, None))
    newest = len(states) - 1
    wrong = next((n for n in range(newest, -1, -1) if states[n] == "A"), -1) + 1
    found = deviates_since(spans, newest, lambda entry: is_same(entry, file("a", "A")))
    assert found == (wrong if wrong <= newest else None)


def accept(version: int, *paths: str) -> AcceptRecord:
    return AcceptRecord(time="", version=version, paths=tuple(map(RelPath, paths)) or None)


def test_accepting_everything_replaces_what_was_accepted_before() -> None:
    accepted = Accepted([accept(1), accept(2, "etc"), accept(3), accept(4, "bin"), accept(5, "a")])
    assert accepted.baseline == accept(3)
    assert accepted.record(RelPath("etc/x")) == accept(3)
    assert accepted.record(RelPath("bin/x")) == accept(4, "bin")
    assert accepted.record(RelPath("a")) == accept(5, "a")
    assert accepted.record(RelPath("ab")) == accept(3)


def test_the_later_word_on_a_folder_covers_what_is_in_it() -> None:
    accepted = Accepted([accept(1, "etc/x"), accept(2, "etc"), accept(3, "etc/y")])
    assert accepted.baseline is None
    assert accepted.record(RelPath("etc/x")) == accept(2, "etc")
    assert accepted.record(RelPath("etc/y")) == accept(3, "etc/y")
    assert accepted.record(RelPath("bin")) is None
