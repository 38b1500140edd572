"""Nothing that a root holds is replaced or removed unless it could be brought back."""

import os
import shlex
import sqlite3
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epmstore.checkout.plan import ConfigPolicy
from epmstore.digest import identify
from epmstore.errors import ConflictError, DiskFullError, NotFoundError
from epmstore.record import observe
from epmstore.record.ingest import Ingestion
from epmstore.relpath import RelPath
from tests.kit.bench import APP, DRIFT, Bench, Dir, File, Link, Node, Same
from tests.kit.mounts import tmpfs

P = RelPath
SQLITE = b"SQLite format 3\0" + bytes(1008)


def read(bench: Bench, path: str) -> bytes:
    return (bench.root / path).read_bytes()


class TestState:
    @pytest.mark.parametrize("patterns", [{"state": ("f",)}, {"state": ("d/",)}])
    def test_a_named_path_is_stored_first(
        self, tmp_path: Path, patterns: dict[str, tuple[str, ...]]
    ) -> None:
        path = "d/f"
        with Bench(tmp_path) as bench:
            bench.recorded({path: File(b"v0")})
        with Bench(tmp_path, **patterns) as bench:
            before = bench.put({path: File(b"precious", 0o600)})
            dry = bench.live.plan("0", [P(path)])
            result = bench.live.checkout("0", [P(path)])
            assert read(bench, path) == b"v0"
            assert result.safety == 1
            assert [s.op for s in dry.plan.steps] == ["put"]
            bench.store.live(APP).drop()  # a look that remembers nothing
            bench.live.undo()
            assert bench.picture() == before
            bench.live.redo()
            assert read(bench, path) == b"v0"

    def test_its_folders_are_stored_with_it(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"data/in/f": File(b"v0")})
        with Bench(tmp_path, state=("data/",)) as bench:
            bench.put({"data/in/f": File(b"mine"), "data/in": Dir(0o700), "data/g": File()})
            safety = bench.live.checkout("0", [P("data/in/f")]).safety
            tree = {entry.path: entry.kind for entry in bench.live.ls(str(safety))}
            assert tree == {"data": "directory", "data/in": "directory", "data/in/f": "file"}

    @pytest.mark.parametrize("what", ["data/in/f", "data/in"])
    def test_files_moved_out_of_state_folders_come_back(self, tmp_path: Path, what: str) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"data/in/f": File(b"v0"), "data/in/g": File(b"v0")})
        with Bench(tmp_path, state=("data/",)) as bench:
            bench.put({"data/in/f": File(b"mine"), "data/in": Dir(0o700)})
            safety = bench.live.checkout("0", [P("data/in/f")]).safety
            (bench.root / "data/in/f").unlink()
            if what == "data/in":
                (bench.root / what).rmdir()
            result = bench.live.checkout(str(safety), [P("data/in/f")])
            assert (result.not_restored, read(bench, "data/in/f")) == ((), b"mine")
            assert (bench.root / "data/in").stat().st_mode & 0o7777 == 0o700

    def test_its_links_are_nobodys(self, tmp_path: Path) -> None:
        with Bench(tmp_path, state=("*.log",)) as bench:
            bench.recorded({"run.log": File(b"row")})
            bench.put({"a": File(b"row"), "run.log": Same("a"), "z": Same("a")})
            (bench.root / "a.log").hardlink_to(bench.root / "a")
            bench.record()
            found = {entry.path: entry.same_as for entry in bench.live.ls("latest")}
            assert found == {"a": None, "a.log": None, "run.log": None, "z": "a"}
            bench.live.checkout("0", exact=True)
            assert sorted(os.listdir(bench.root)) == ["a.log", "run.log"]
            (bench.root / "a.log").write_bytes(b"row, and more")
            bench.live.undo()
            assert (read(bench, "a"), read(bench, "z")) == (b"row", b"row")
            assert bench.is_clean()
            bench.live.redo()
            assert sorted(os.listdir(bench.root)) == ["a.log", "run.log"]

    def test_nothing_becomes_a_link_of_it_that_earlier_releases_recorded_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Bench(tmp_path, state=("*.log",)) as bench:
            monkeypatch.setattr(observe, "_is_state", lambda listing, number: False)
            bench.recorded({"a.log": File(b"row"), "z": Same("a.log")})
            assert [entry.same_as for entry in bench.live.ls("0")] == [None, "a.log"]
            monkeypatch.undo()
            (bench.root / "z").unlink()
            (bench.root / "a.log").write_bytes(b"row, and more")
            assert bench.live.checkout("0").not_restored == ()
            assert (read(bench, "a.log"), read(bench, "z")) == (b"row, and more", b"row")
            assert bench.is_clean()

    @pytest.mark.root
    def test_mount_over_a_state_folder_is_not_taken_for_it(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"data/f": File(b"v0")})
        with Bench(tmp_path, state=("data/",)) as bench:
            bench.put({"data/f": File(b"mine")})
            bench.record()
            (bench.root / "data").rename(tmp_path / "aside")
            with tmpfs(bench.root / "data", "size=1m"):
                (bench.root / "data/f").write_bytes(b"of another file system")
                result = bench.live.checkout("0", [P("data/f")])
                assert result.incomplete and not result.changed
            assert [entry.path for entry in bench.live.ls("latest")] == ["data"]

    def test_a_plan_file_of_it_is_still_the_plan(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"f": File(b"v0")})
        with Bench(tmp_path, state=("f",)) as bench:
            before = bench.put({"f": File(b"precious")})
            bench.live.apply(bench.live.plan("0", [P("f")]))
            assert read(bench, "f") == b"v0"
            bench.live.undo()
            assert bench.picture() == before

    def test_a_folder_of_it_that_holds_something_does_not_go(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File()})
        with Bench(tmp_path, state=("data/",)) as bench:
            before = bench.put({"a": File(), "data/rows": File(b"mine")})
            bench.record()
            result = bench.live.checkout("0", [P("data")], exact=True)
            assert dict(result.kept) == {P("data"): "not empty"}
            assert bench.picture() == before

    def test_its_folders_come_back_as_they_were(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"data/in/f": File(b"v0"), "data/in": Dir(0o755)})
        with Bench(tmp_path, state=("data/",)) as bench:
            before = bench.put({"data/in/f": File(b"mine"), "data/in": Dir(0o700)})
            bench.live.checkout("0", [P("data/in/f")])
            bench.live.undo()
            assert bench.picture() == before

    def test_special_files_in_state_folders_are_named(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"data/f": File(b"v0")})
        with Bench(tmp_path, state=("data/",)) as bench:
            bench.put({"data": Dir()})
            os.mkfifo(bench.root / "data/f")
            bench.live.checkout("0", [P("data/f")])
            assert (bench.root / "data/f").is_fifo()

    def test_no_room_for_it_is_an_error_and_nothing_is_changed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"f": File(b"v0")})
        with Bench(tmp_path, state=("f",)) as bench:
            before = bench.put({"f": File(b"precious")})

            def full(self: Ingestion) -> None:
                raise DiskFullError("no room")

            monkeypatch.setattr(Ingestion, "finish", full)
            with pytest.raises(DiskFullError):
                bench.live.checkout("0", [P("f")])
            assert bench.picture() == before


class TestSecret:
    @pytest.mark.parametrize(
        ("then", "now"),
        [
            ({"k": File(b"old")}, {"k": File(b"new")}),
            ({"a": File()}, {"k": File(b"new")}),
            ({"k": Link("elsewhere")}, {"k": File(b"new")}),
            ({"k": Dir()}, {"k": File(b"new")}),
        ],
    )
    @pytest.mark.parametrize("scope", [[], [P("k")]])
    @pytest.mark.parametrize("was_secret", [False, True])
    def test_it_stays(
        self,
        tmp_path: Path,
        then: dict[str, Node],
        now: dict[str, Node],
        scope: list[RelPath],
        was_secret: bool,
    ) -> None:
        with Bench(tmp_path, secret=("k",) if was_secret else ()) as bench:
            bench.recorded(then)
        with Bench(tmp_path, secret=("k",)) as bench:
            bench.recorded(now)
            result = bench.live.checkout("0", scope, exact=True)
            assert read(bench, "k") == b"new"
            assert not bench.store.blobs.has(identify(b"new"))
            if scope:
                assert [line.partition(":")[0] for line in result.not_restored] == ["k"]

    def test_one_that_became_a_program_is_stored_from_then_on(self, tmp_path: Path) -> None:
        with Bench(tmp_path, secret=("k",)) as bench:
            bench.recorded({"k": File(b"now")})
        with Bench(tmp_path) as bench:
            before = bench.put({"k": File(b"now")})
            bench.record()
            assert bench.store.blobs.has(identify(b"now"))
            bench.recorded({"k": File(b"later")})
            bench.live.checkout("1")
            assert bench.picture() == before
            bench.live.undo()
            assert read(bench, "k") == b"later"


def test_a_content_that_the_store_lost_is_stored_again(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1")})
        before = bench.recorded({"a": File(b"only here")})
        lost = identify(b"only here")
        with bench.store.database.write() as db:
            db.execute(
                "DELETE FROM stored WHERE content IN (SELECT id FROM contents WHERE sha256 = ?)",
                (lost.sha256,),
            )
        assert not bench.store.blobs.has(lost)
        bench.live.checkout("0")
        bench.live.undo()
        assert bench.picture() == before


class TestDatabases:
    """A database and what lies beside it are one."""

    def wal(self, where: Path) -> tuple[dict[str, bytes], sqlite3.Connection]:
        """A database whose last rows are in its -wal alone, and somebody who keeps it open."""
        db = sqlite3.connect(where)
        db.execute("PRAGMA journal_mode = wal")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("CREATE TABLE IF NOT EXISTS rows (x)")
        db.execute("INSERT INTO rows VALUES ('mine')")
        db.commit()
        names = [where.name + suffix for suffix in ("", "-wal", "-shm")]
        return {name: (where.parent / name).read_bytes() for name in names}, db

    def put(self, bench: Bench, base: Path) -> None:
        """As a process that was killed leaves it."""
        files, db = self.wal(base / "x.db")
        db.close()
        bench.put({"a": File(b"2"), **{name: File(data) for name, data in files.items()}})

    def rows(self, bench: Bench, base: Path) -> list[tuple[str]]:
        for name in ("x.db", "x.db-wal"):
            if (bench.root / name).exists():
                (base / name).write_bytes((bench.root / name).read_bytes())
        with sqlite3.connect(base / "x.db") as db:
            return db.execute("SELECT x FROM rows").fetchall()

    def test_the_hint_leaves_all_of_it_alone(self, tmp_path: Path) -> None:
        with Bench(tmp_path / "bench") as bench:
            bench.recorded({"a": File(b"1"), "x.db": File(SQLITE)})
            (tmp_path / "one").mkdir()
            self.put(bench, tmp_path / "one")
            bench.record()
            with pytest.raises(ConflictError) as caught:
                bench.live.checkout("0", exact=True)
            assert caught.value.hint is not None
            words = shlex.split(caught.value.hint.split("`")[1])
        assert words[:4] == ["epmstore", "app", "set", "crm"]
        state = tuple(b for a, b in pairwise(words) if a == "--state")
        self.assert_it_stays(tmp_path, state)

    def test_so_does_a_pattern_of_the_main_file_alone(self, tmp_path: Path) -> None:
        with Bench(tmp_path / "bench") as bench:
            bench.recorded({"a": File(b"1"), "x.db": File(SQLITE)})
            (tmp_path / "one").mkdir()
            self.put(bench, tmp_path / "one")
            bench.record()
        self.assert_it_stays(tmp_path, ("x.db",))

    def assert_it_stays(self, tmp_path: Path, state: tuple[str, ...]) -> None:
        with Bench(tmp_path / "bench", state=state) as bench:
            bench.live.checkout("0", exact=True)
            assert read(bench, "a") == b"1"
            (tmp_path / "two").mkdir()
            assert self.rows(bench, tmp_path / "two") == [("mine",)]

    @pytest.mark.parametrize("state", [(), ("x.db",), ("x.db*",), ("*-wal",)])
    @pytest.mark.parametrize("folder", ["", "data/"])
    def test_undo_brings_all_of_it_back(
        self, tmp_path: Path, state: tuple[str, ...], folder: str
    ) -> None:
        state = ("data/",) if folder and state else state
        with Bench(tmp_path / "bench") as bench:
            bench.recorded({f"{folder}x.db": File(SQLITE)})
        with Bench(tmp_path / "bench", state=state) as bench:
            files, db = self.wal(tmp_path / "x.db")
            db.close()
            before = bench.put({f"{folder}{name}": File(data) for name, data in files.items()})
            bench.live.checkout("0", [P(f"{folder}x.db")])
            assert os.listdir(bench.root / folder) == ["x.db"]
            assert read(bench, f"{folder}x.db") == SQLITE
            bench.store.live(APP).drop()
            bench.live.undo()
            assert bench.picture() == before

    def test_a_data_directory_goes_and_comes_back_as_a_whole(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"pg/PG_VERSION": File(b"15"), "pg/base/1": File(b"old")})
        with Bench(tmp_path, state=("pg/",)) as bench:
            mine = {"pg/PG_VERSION": File(b"15"), "pg/base/1": File(b"new"), "pg/wal/2": File()}
            before = bench.put(mine)
            bench.live.checkout("0", [P("pg/base/1")])
            assert not (bench.root / "pg/wal").exists()
            assert read(bench, "pg/base/1") == b"old"
            bench.live.undo()
            assert bench.picture() == before


# Whatever class a path has or had, whoever knows its content, whatever is asked for: each content
# of the root is in the root afterwards, or in a version, and `undo` brings all of it back.

PATHS = ("a", "d/a", "d/b", "s/a", "s/t/a")
CLASSES = ("program", "config", "state", "secret", "folder", "ignore")
NODES = st.one_of(
    st.builds(File, st.sampled_from([b"1", b"22", b"333"]), st.sampled_from([0o644, 0o600])),
    st.just(Link("elsewhere")),
)
CONFIG: st.SearchStrategy[ConfigPolicy] = st.sampled_from(["keep", "restore"])
trees = st.dictionaries(st.sampled_from(PATHS), NODES, min_size=1)


def patterns(classes: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Of each path; `folder` is the state of all that is where it is."""
    lists: dict[str, set[str]] = {}
    for path, path_class in classes.items():
        if path_class == "folder" and "/" in path:
            lists.setdefault("state", set()).add(f"/{path.rpartition('/')[0]}/")
        elif path_class not in ("program", "folder"):
            lists.setdefault(path_class, set()).add(f"/{path}")
    return {name: tuple(sorted(found)) for name, found in lists.items()}


def contents(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def classes() -> st.SearchStrategy[dict[str, tuple[str, ...]]]:
    each = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(CLASSES), max_size=3)
    return each.map(patterns)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.data())
def test_nothing_is_lost_and_undo_brings_everything_back(data: st.DataObject) -> None:
    draw = data.draw
    with tempfile.TemporaryDirectory() as place:
        with Bench(Path(place), **draw(classes())) as bench:
            bench.recorded(draw(trees))
        rules = draw(classes())
        with Bench(Path(place), **rules) as bench:
            before = bench.put(draw(trees))
            how = draw(st.sampled_from(["change", "drift", "unknown"]))
            if how != "unknown":
                bench.record() if how == "change" else bench.record(DRIFT)
            held = contents(bench.root)
            known = [path for path in PATHS if bench.store.entries.history(APP, P(path))]
            scope = draw(st.lists(st.sampled_from([*known, "d", "s"]), max_size=2, unique=True))
            below = bench.store.entries.live_below
            chosen = [P(top) for top in scope if top in known or below(APP, top)]
            exact, config = draw(st.booleans()), draw(CONFIG)
            try:
                plan = bench.live.plan("0", chosen, exact=exact, config=config)
                result = (
                    bench.live.apply(plan)
                    if draw(st.booleans())
                    else bench.live.checkout("0", chosen, exact=exact, config=config)
                )
            except ConflictError:
                assert bench.picture() == before
                return
            assert len(plan.plan.steps) == 0 or result.changed
            after = contents(bench.root)
            lost = {path: held[path] for path in held if after.get(path) != held[path]}
            assert all(bench.store.blobs.has(identify(content)) for content in lost.values())
            assert not {p for p in lost if bench.recorder.rules.classify(p) in ("secret", "ignore")}
            if draw(st.booleans()):
                bench.store.live(APP).drop()
            try:
                bench.live.undo()
            except NotFoundError:
                assert not result.changed
            assert bench.picture() == before
