"""What is planned and what is left alone: the rules one by one, without a file system."""

import os
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.classes import Patterns
from epmstore.checkout.plan import (
    Options,
    PathDifference,
    Plan,
    Seen,
    Surroundings,
    check_databases,
    make_plan,
)
from epmstore.checkout.sight import Sight
from epmstore.digest import identify
from epmstore.errors import ConflictError
from epmstore.relpath import RelPath, parents
from epmstore.scan.databases import DatabaseUnit
from epmstore.tree import Entry

ONE, TWO = identify(b"one"), identify(b"two")


def file(path: str, content: Any = ONE, **facts: Any) -> Entry:
    given = {"mode": 0o644, "mtime_ns": 1, **facts}
    return Entry(path=RelPath(path), kind="file", content=content, **given)


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path=RelPath(path), kind="directory", mode=mode)


def link(path: str, target: str) -> Entry:
    return Entry(path=RelPath(path), kind="symlink", mode=0o777, target=target)


def come(wanted: Entry, **facts: Any) -> PathDifference:
    return PathDifference(path=wanted.path, wanted=wanted, **facts)


def go(found: Entry, **facts: Any) -> PathDifference:
    return PathDifference(
        path=found.path, found=found, **{"by_change": True, "safe": "stored", **facts}
    )


def turn(found: Entry, wanted: Entry, **facts: Any) -> PathDifference:
    return PathDifference(
        path=found.path, found=found, wanted=wanted, **{"safe": "stored", **facts}
    )


def steps(plan: Plan) -> list[tuple[str, str]]:
    return [(step.op, step.path) for step in plan.steps]


def names(pairs: tuple[tuple[RelPath, str], ...]) -> list[str]:
    return [path for path, _ in pairs]


def scope(*paths: str) -> Options:
    return Options(scope=tuple(map(RelPath, paths)))


class TestOrder:
    def test_a_folder_comes_before_what_is_in_it(self) -> None:
        plan = make_plan([come(file("a/b/c")), come(folder("a/b")), come(folder("a"))])
        assert steps(plan) == [("mkdir", "a"), ("mkdir", "a/b"), ("put", "a/b/c")]

    def test_a_folder_goes_after_what_is_in_it(self) -> None:
        plan = make_plan([go(folder("a")), go(file("a/x")), go(folder("a/b"))])
        assert steps(plan) == [("unlink", "a/x"), ("rmdir", "a/b"), ("rmdir", "a")]

    def test_a_folder_that_becomes_a_file_is_emptied_first(self) -> None:
        plan = make_plan([turn(folder("a"), file("a")), go(file("a/x"))])
        assert steps(plan) == [("unlink", "a/x"), ("retype", "a")]

    def test_a_file_that_becomes_a_folder_is_filled_afterwards(self) -> None:
        plan = make_plan([come(file("a/x")), turn(file("a"), folder("a"))])
        assert steps(plan) == [("retype", "a"), ("put", "a/x")]


class TestSteps:
    @pytest.mark.parametrize(
        ("found", "wanted", "op"),
        [
            (file("a"), file("a", TWO), "put"),
            (file("a"), file("a", mode=0o755), "set"),
            (file("a"), file("a", mtime_ns=2), "set"),
            (file("a"), file("a", uid=7), "set"),
            (file("a"), file("a", xattrs=(("user.x", b"1"),)), "set"),
            (file("a"), file("a", sparse=True), "put"),
            (file("a", same_as=RelPath("A")), file("a"), "put"),
            (file("a"), link("a", "b"), "retype"),
            (link("a", "b"), link("a", "c"), "put"),
            (folder("a"), folder("a", 0o700), "set"),
            (file("a", user="old"), file("a", user="new"), None),
            (file("a", path_class="config"), file("a"), None),
        ],
    )
    def test_plan_takes_one_step_for_each_difference(
        self, found: Entry, wanted: Entry, op: str | None
    ) -> None:
        assert steps(make_plan([turn(found, wanted)])) == ([(op, "a")] if op else [])

    def test_counts_and_bytes(self) -> None:
        plan = make_plan(
            [come(file("a")), turn(file("b"), file("b", TWO)), go(file("c")), come(folder("d"))]
        )
        assert (plan.counts.added, plan.counts.modified, plan.counts.removed) == (2, 1, 1)
        assert plan.size == 6
        assert set(plan.contents()) == {ONE, TWO}


class TestKept:
    def test_plan_keeps_and_names_files_only_drift_recorded(self) -> None:
        plan = make_plan([go(file("upload"), by_change=False)])
        assert (steps(plan), names(plan.kept)) == ([], ["upload"])

    def test_exact_removes_it(self) -> None:
        plan = make_plan([go(file("upload"), by_change=False)], Options(exact=True))
        assert steps(plan) == [("unlink", "upload")]

    def test_a_folder_that_keeps_something_is_kept(self) -> None:
        plan = make_plan([go(folder("a")), go(file("a/x")), go(file("a/y"), by_change=False)])
        assert steps(plan) == [("unlink", "a/x")]
        assert names(plan.kept) == ["a", "a/y"]

    def test_a_folder_cannot_become_a_file_if_it_keeps_something(self) -> None:
        with pytest.raises(ConflictError) as caught:
            make_plan([turn(folder("a"), file("a")), go(file("a/y"), by_change=False)])
        assert caught.value.data["kept"] == ["a/y"]

    @pytest.mark.parametrize(
        "around",
        [
            Surroundings(unobserved={RelPath("a/x"): "unreadable"}),
            Surroundings(ignored={RelPath("a/x")}),
            Surroundings(special={RelPath("a/x"): "a FIFO"}),
        ],
    )
    def test_unobserved_paths_keep_their_folder(self, around: Surroundings) -> None:
        assert steps(make_plan([go(folder("a"))], Options(exact=True), around)) == []


def test_plan_does_not_displace_special_files() -> None:
    around = Surroundings(special={RelPath("a"): "a FIFO"})
    plan = make_plan([come(folder("a")), come(file("a/x")), come(file("b"))], around=around)
    assert steps(plan) == [("put", "b")]
    assert plan.not_restored == ((RelPath("a"), "a FIFO has its name"),)
    assert (plan.kept, names(plan.refused)) == ((), ["a/x"])


class TestUnobserved:
    AROUND = Surroundings(unobserved={RelPath("a"): "unreadable"})

    @pytest.mark.parametrize(
        "difference",
        [go(file("a")), come(file("a/x")), turn(file("a/x"), file("a/x", TWO)), go(file("a/b/c"))],
    )
    def test_steps_are_refused_by_name(self, difference: PathDifference) -> None:
        plan = make_plan([difference], Options(exact=True), self.AROUND)
        assert (steps(plan), names(plan.refused)) == ([], [difference.path])

    @pytest.mark.parametrize("exact", [False, True])
    def test_plan_keeps_paths_the_wanted_version_could_not_see(self, exact: bool) -> None:
        around = Surroundings(sight=Sight(Patterns(), {RelPath("a"): "unreadable"}))
        found = [go(folder("a")), go(file("a/x")), go(file("ab")), turn(file("b"), file("b", TWO))]
        plan = make_plan(found, Options(exact=exact), around)
        assert steps(plan) == [("unlink", "ab"), ("put", "b")]
        assert names(plan.kept) == ["a", "a/x"]

    def test_it_is_removed_if_it_is_named(self) -> None:
        around = Surroundings(sight=Sight(Patterns(), {RelPath("a"): "unreadable"}))
        plan = make_plan([go(file("a"))], Options(scope=(RelPath("a"),)), around)
        assert steps(plan) == [("unlink", "a")]

    def test_a_name_that_only_begins_alike_is_not_meant(self) -> None:
        assert steps(make_plan([go(file("ab"))], Options(), self.AROUND)) == [("unlink", "ab")]


class TestIgnored:
    @pytest.mark.parametrize("path", ["logs", "logs/x"])
    def test_ignored_paths_are_not_touched(self, path: str) -> None:
        around = Surroundings(ignored={RelPath("logs")})
        assert make_plan([come(file(path))], Options(exact=True), around).steps == ()

    def test_ignored_folders_are_not_made(self) -> None:
        plan = make_plan([come(folder("logs"), path_class="ignore")], Options(exact=True))
        assert plan.steps == ()


class TestState:
    @pytest.mark.parametrize(
        "difference",
        [
            come(file("data", path_class="state"), path_class="state"),
            go(file("data"), path_class="state"),
            turn(file("data"), file("data", TWO), path_class="state"),
        ],
    )
    def test_it_is_left_alone_without_a_word(self, difference: PathDifference) -> None:
        plan = make_plan([difference], Options(exact=True, config="restore"))
        assert (plan.steps, plan.kept, plan.refused, plan.not_restored) == ((), (), (), ())

    def test_naming_the_folder_is_not_naming_it(self) -> None:
        difference = turn(file("d/data"), file("d/data", TWO), path_class="state")
        assert make_plan([difference], scope("d")).steps == ()

    def test_naming_it_is(self) -> None:
        difference = turn(file("d/data"), file("d/data", TWO), path_class="state")
        assert steps(make_plan([difference], scope("d/data"))) == [("put", "d/data")]

    def test_former_state_files_have_no_content_to_restore(self) -> None:
        plan = make_plan([come(file("data", None, path_class="state"), path_class="program")])
        assert (steps(plan), names(plan.not_restored)) == ([], ["data"])


class TestConfig:
    EDITED = turn(file("c"), file("c", TWO), path_class="config", edited_by="drift")

    def test_an_edit_by_hand_is_kept_and_named(self) -> None:
        plan = make_plan([self.EDITED], Options(exact=True))
        assert (steps(plan), names(plan.kept)) == ([], ["c"])

    @pytest.mark.parametrize("options", [Options(config="restore"), scope("c")])
    def test_unless_it_is_asked_for(self, options: Options) -> None:
        assert steps(make_plan([self.EDITED], options)) == [("put", "c")]

    def test_config_that_a_change_wrote_goes_back(self) -> None:
        difference = turn(file("c"), file("c", TWO), path_class="config", edited_by="change")
        assert steps(make_plan([difference])) == [("put", "c")]

    def test_a_new_file_of_an_upgrade_that_was_edited_stays(self) -> None:
        plan = make_plan([go(file("c"), path_class="config", edited_by="drift")])
        assert (steps(plan), names(plan.kept)) == ([], ["c"])


class TestSecret:
    def test_its_content_does_not_come_back(self) -> None:
        key = file("key", TWO, path_class="secret")
        plan = make_plan([turn(file("key"), key, path_class="secret")])
        assert (steps(plan), names(plan.not_restored)) == ([], ["key"])

    def test_its_mode_does(self) -> None:
        found, wanted = file("key", mode=0o644), file("key", mode=0o600)
        assert steps(make_plan([turn(found, wanted, path_class="secret")])) == [("set", "key")]

    def test_it_is_not_removed_because_that_could_not_be_undone(self) -> None:
        plan = make_plan([go(file("key"), path_class="secret")], Options(exact=True))
        assert (steps(plan), names(plan.kept)) == ([], ["key"])


class TestScope:
    def test_only_what_is_named_and_what_is_below_it(self) -> None:
        found = [come(file("a/x")), come(file("ab")), come(file("b")), come(folder("a"))]
        assert steps(make_plan(found, scope("a"))) == [("mkdir", "a"), ("put", "a/x")]

    def test_folders_above_are_made_as_they_are_needed(self) -> None:
        found = [come(folder("a")), come(file("a/x")), come(file("a/y"))]
        assert steps(make_plan(found, scope("a/x"))) == [("mkdir", "a"), ("put", "a/x")]

    def test_a_file_where_a_folder_is_needed_is_not_turned_unasked(self) -> None:
        plan = make_plan([turn(file("a"), folder("a")), come(file("a/x"))], scope("a/x"))
        assert (steps(plan), names(plan.refused)) == ([], ["a/x"])


class TestDatabases:
    DB = DatabaseUnit(RelPath("db"), "sqlite", (RelPath("db"), RelPath("db-wal")), "program")
    FOUND = (turn(file("db"), file("db", TWO)), go(file("db-wal"), by_change=False))

    def test_nobody_decided(self) -> None:
        plan = make_plan(self.FOUND, around=Surroundings(databases=(self.DB,)))
        with pytest.raises(ConflictError) as caught:
            check_databases(plan)
        assert caught.value.data["databases"] == ["db"]

    def test_named_it_is_replaced_as_a_whole(self) -> None:
        plan = make_plan(self.FOUND, scope("db"), Surroundings(databases=(self.DB,)))
        check_databases(plan)
        assert steps(plan) == [("unlink", "db-wal"), ("put", "db")]

    def test_one_that_has_a_class_is_somebody_elses_decision(self) -> None:
        known = msgspec.structs.replace(self.DB, path_class="config")
        check_databases(make_plan(self.FOUND, around=Surroundings(databases=(known,))))

    def test_other_files_do_not_matter(self) -> None:
        plan = make_plan([come(file("other"))], around=Surroundings(databases=(self.DB,)))
        check_databases(plan)


class TestHardLinks:
    def test_a_name_is_linked_to_the_first_one(self) -> None:
        plan = make_plan([come(file("a")), come(file("b", same_as=RelPath("a")))])
        assert [(s.path, s.link) for s in plan.steps] == [("a", None), ("b", "a")]
        assert plan.size == 3

    def test_or_to_the_one_that_is_there_unchanged(self) -> None:
        (step,) = make_plan([come(file("b", same_as=RelPath("a")))]).steps
        assert (step.link, step.new) == ("a", file("b", same_as=RelPath("a")))

    def test_a_first_one_that_stays_different_is_not_linked_to(self) -> None:
        first = turn(file("a"), file("a", TWO), path_class="config", edited_by="drift")
        others = [come(file(p, TWO, same_as=RelPath("a"))) for p in ("b", "c")]
        plan = make_plan([first, *others])
        assert [(s.path, s.link) for s in plan.steps] == [("b", None), ("c", "b")]
        assert [s.new.same_as for s in plan.steps if s.new] == [None, "b"]

    def test_nor_is_what_is_no_file_any_more(self) -> None:
        around = Surroundings(special={RelPath("a"): "a socket"})
        (step,) = make_plan([come(file("b", same_as=RelPath("a")))], around=around).steps
        assert (step.link, step.new) == (None, file("b"))

    def test_nor_is_one_with_another_content_whatever_history_says(self) -> None:
        a, b, c = (RelPath(name) for name in "abc")
        entries = [file(a), *(file(path, TWO, same_as=a) for path in (b, c))]
        plan = make_plan(map(come, entries))
        assert {step.path: step.link for step in plan.steps} == {a: None, b: None, c: b}

    def seen(self, links: int) -> Seen:
        return Seen(1, 2, 3, 4, 5, links)

    def test_setting_a_mode_must_not_reach_a_name_outside_of_the_plan(self) -> None:
        found, wanted = file("a"), file("a", mode=0o600)
        assert steps(make_plan([turn(found, wanted, seen=self.seen(2))])) == [("put", "a")]
        assert steps(make_plan([turn(found, wanted, seen=self.seen(1))])) == [("set", "a")]

    def test_all_names_together_are_set_in_place(self) -> None:
        pairs = [(file(p, same_as=s), file(p, same_as=s, mode=0o600)) for p, s in self.NAMES]
        plan = make_plan([turn(a, b, seen=self.seen(2)) for a, b in pairs])
        assert steps(plan) == [("set", "a"), ("set", "b")]

    NAMES = ((RelPath("a"), None), (RelPath("b"), RelPath("a")))


# Any two trees: doing the steps on a model gives the wanted tree, and each is possible in its turn.

PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
KINDS: list[Literal["file", "directory", "symlink"]] = ["file", "directory", "symlink"]


def entry(path: str, kind: str, content: Any, mode: int) -> Entry:
    if kind == "directory":
        return folder(path, mode)
    return link(path, "t") if kind == "symlink" else file(path, content, mode=mode)


@st.composite
def trees(draw: st.DrawFn) -> dict[RelPath, Entry]:
    tree: dict[RelPath, Entry] = {}
    for path in sorted(draw(st.sets(PATHS, max_size=12))):
        above = [RelPath(p) for p in parents(path)]
        if any(p in tree and tree[p].kind != "directory" for p in above):
            continue
        for p in above:
            tree.setdefault(p, folder(p))
        made = entry(
            path,
            draw(st.sampled_from(KINDS)),
            draw(st.sampled_from([ONE, TWO])),
            draw(st.sampled_from([0o644, 0o755])),
        )
        tree[made.path] = made
    return tree


def differences(found: dict[RelPath, Entry], wanted: dict[RelPath, Entry]) -> list[PathDifference]:
    paths = {p for p in {*found, *wanted} if found.get(p) != wanted.get(p)}
    return [
        PathDifference(
            path=p, found=found.get(p), wanted=wanted.get(p), by_change=True, safe="stored"
        )
        for p in paths
    ]


def do(plan: Plan, tree: dict[RelPath, Entry]) -> dict[RelPath, Entry]:
    tree = dict(tree)
    for step in plan.steps:
        assert tree.get(step.path) == step.old
        inside = [p for p in tree if p.startswith(f"{step.path}/")]
        for above in parents(step.path):
            assert tree[RelPath(above)].kind == "directory"
        if step.new is None:
            assert not inside
            del tree[step.path]
        else:
            assert step.new.kind == "directory" or not inside
            tree[step.path] = step.new
    return tree


@given(trees(), trees())
def test_any_tree_becomes_any_other(
    found: dict[RelPath, Entry], wanted: dict[RelPath, Entry]
) -> None:
    plan = make_plan(differences(found, wanted))
    assert do(plan, found) == wanted
    assert len(plan.steps) == len(differences(found, wanted))


@given(trees(), trees(), st.data())
def test_whatever_is_left_alone_every_step_is_possible(
    found: dict[RelPath, Entry], wanted: dict[RelPath, Entry], data: st.DataObject
) -> None:
    hidden = {p: "hidden" for p in sorted(found) if data.draw(st.integers(0, 5)) == 0}
    asked = data.draw(st.sets(PATHS, max_size=2))
    some = [
        msgspec.structs.replace(d, by_change=data.draw(st.booleans()))
        for d in sorted(differences(found, wanted), key=lambda d: os.fsencode(d.path))
    ]
    around = Surroundings(unobserved=hidden)
    try:
        plan = make_plan(some, scope(*sorted(asked)), around)
    except ConflictError:
        return
    after = do(plan, found)
    for path in hidden:
        below = [p for p in {*found, *after} if p == path or p.startswith(f"{path}/")]
        assert all(found.get(p) == after.get(p) for p in below)
