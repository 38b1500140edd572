"""What a version could not see is never taken for absent: by the rules of that version."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from epmstore.catalog.classes import Patterns
from epmstore.catalog.model import Counts, VersionRecord
from epmstore.checkout.sight import Sight, sight_of
from epmstore.errors import ConflictError
from epmstore.record.recorder import Recorder
from epmstore.relpath import RelPath
from tests.kit.bench import Bench, File, build, clear

P = RelPath
IGNORED = Patterns(ignore=("cache/",))


def record(version: int, patterns: Patterns, *, says: bool) -> VersionRecord:
    return VersionRecord(
        time="2026-10-03T14:02:03Z",
        version=version,
        app="0" * 32,
        key="crm",
        txid="0" * 32,
        kind="change",
        reason="snapshot",
        tree="0" * 64,
        counts=Counts(),
        ignored=patterns.digest(),
        rules=patterns if says else None,
    )


class TestRulesOfThatTime:
    def test_they_are_what_another_version_says_of_the_same_digest(self) -> None:
        asked, said = record(0, IGNORED, says=False), record(3, IGNORED, says=True)
        sight = sight_of(asked, [asked, said], Patterns())
        assert sight.why_unseen(P("cache/x"), False) == "it was ignored then"
        assert sight.why_unseen(P("bin/x"), False) is None

    def test_or_those_of_today(self) -> None:
        sight = sight_of(record(0, IGNORED, says=False), [], IGNORED)
        assert sight.why_unseen(P("bin/x"), False) is None

    def test_where_nobody_knows_them_nothing_is_absent(self) -> None:
        sight = sight_of(record(0, IGNORED, says=False), [], Patterns())
        assert sight.why_unseen(P("bin/x"), False) is not None

    def test_rules_of_another_digest_are_not_believed(self) -> None:
        asked, said = record(0, IGNORED, says=False), record(1, IGNORED, says=True)
        wrong = replace(said, rules=Patterns(state=("x",)))
        assert sight_of(asked, [wrong], Patterns()).why_unseen(P("y"), False) is not None

    @pytest.mark.parametrize("path", [".epm-mine", ".epm-mine/x"])
    def test_names_that_older_releases_did_not_look_at(self, path: str) -> None:
        assert Sight(Patterns(), {}, 0).why_unseen(P(path), False) is not None
        assert Sight(Patterns(), {}, 1).why_unseen(P(path), False) is None

    def test_the_root_itself(self) -> None:
        assert Sight(Patterns(), {P("."): "unreadable"}).why_unseen(P("a"), False) is not None


class TestRoot:
    def test_a_version_of_an_older_release_says_nothing_of_its_rules(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as older, Bench(tmp_path, ignore=("up/",)) as bench:
            older.setattr(Recorder, "rules_to_say", lambda self, newest: None)
            bench.recorded({"a": File(b"1"), "up/load": File(b"mine")})
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"2"), "up/load": File(b"mine")})
            kept = dict(bench.live.checkout("0", exact=True).kept)
            assert set(kept) == {"up", "up/load"}
            assert (bench.root / "up/load").read_bytes() == b"mine"

    def test_a_checkout_says_the_rules_that_no_version_said(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1")})
            bench.recorded({"a": File(b"2")})
        with Bench(tmp_path, ignore=("up/",)) as bench:
            build(bench.root, {"up/load": File(b"mine")})
            bench.live.checkout("0")
            assert bench.live.versions()[-1].record.rules == Patterns(ignore=("up/",))
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"2"), "up/load": File(b"mine")})
            bench.live.checkout("2")
            assert (bench.root / "up/load").read_bytes() == b"mine"

    def test_rules_are_said_once(self, tmp_path: Path) -> None:
        rules: list[Patterns | None] = []
        for number, ignore in enumerate(("x", "y", "x", "x")):
            with Bench(tmp_path, ignore=(ignore,)) as bench:
                bench.recorded({"a": File(b"%d" % number)})
                rules.append(bench.live.versions()[-1].record.rules)
        assert rules == [Patterns(ignore=("x",)), Patterns(ignore=("y",)), None, None]

    def test_exact_checkout_keeps_a_file_that_was_a_fifo(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            os.mkfifo(bench.root / "p")
            bench.record()
            (bench.root / "p").unlink()
            bench.recorded({"p": File(b"a file by now"), "b": File()})
            result = bench.live.checkout("0", exact=True)
            assert dict(result.kept)[P("p")].startswith("what was no file then")
            assert not (bench.root / "b").exists()

    def test_it_goes_if_it_is_named_itself_and_undo_brings_it_back(self, tmp_path: Path) -> None:
        with Bench(tmp_path, ignore=("up",)) as bench:
            bench.recorded({"a": File(b"1"), "up": File(b"mine")})
        with Bench(tmp_path) as bench:
            before = bench.recorded({"a": File(b"1"), "up": File(b"mine")})
            bench.live.checkout("0", [P("up")])
            assert not (bench.root / "up").exists()
            bench.live.undo()
            assert bench.picture() == before

    def test_a_hint_that_helps_where_it_is_in_the_way(self, tmp_path: Path) -> None:
        with Bench(tmp_path, ignore=("d/up",)) as bench:
            bench.recorded({"d": File(b"a file then")})
        with Bench(tmp_path) as bench:
            bench.recorded({"d/up": File(b"mine")})
            with pytest.raises(ConflictError) as caught:
                bench.live.checkout("0", exact=True)
            assert "--exact" not in (caught.value.hint or "")


# Whatever rules change in between: what was there when a version was recorded, seen or not, is
# there after going back to it.

PATHS = ("a", "d/a", "d/b", "d/e/a", "s/a", "s/t/a", "u.log")
LISTS = ("ignore", "secret", "state", "config")
PATTERNS = ("d/", "/d/e/", "s/", "*.log", "a", "!a", "s/t", "d/*", "**/a", "e")
rules = st.fixed_dictionaries(
    {}, optional={n: st.lists(st.sampled_from(PATTERNS), max_size=2).map(tuple) for n in LISTS}
)
trees = st.sets(st.sampled_from(PATHS), min_size=1).map(sorted)


def fill(bench: Bench, paths: list[str], fifos: set[str]) -> None:
    clear(bench.root)
    for path in paths:
        if path in fifos:
            (bench.root / path).parent.mkdir(parents=True, exist_ok=True)
            os.mkfifo(bench.root / path)
        else:
            build(bench.root, {path: File(path.encode())})


def there(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.tuples(rules, rules, rules),
    trees,
    st.sets(st.sampled_from(PATHS), max_size=1),
    trees,
    st.booleans(),
    st.sampled_from(["", "d", "s", "d/e"]),
)
def test_exact_checkout_keeps_what_was_there_unseen(
    changing: tuple[dict[str, tuple[str, ...]], ...],
    then: list[str],
    fifos: set[str],
    now: list[str],
    exact: bool,
    named: str,
) -> None:
    with tempfile.TemporaryDirectory() as place:
        with Bench(Path(place), **changing[0]) as bench:
            fill(bench, then, fifos)
            bench.record()
            old = there(bench.root)
        with Bench(Path(place), **changing[1]) as bench:
            fill(bench, now, set())
            bench.record()
        with Bench(Path(place), **changing[2]) as bench:
            before = there(bench.root)
            scope = [P(named)] if named and bench.store.entries.live_below("0" * 32, named) else []
            bench.live.checkout("0", scope, exact=exact)
            assert (before & old) - there(bench.root) <= {named}
