"""Verifying through the index and the stat cache comes to what the decision table says of the trees
themselves, whatever was recorded and whatever was not.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epmstore.catalog.classes import Patterns, Rules
from epmstore.catalog.model import AboutRecord
from epmstore.clock import to_rfc3339
from epmstore.digest import identify
from epmstore.index.comparison import Comparison
from epmstore.refcat.append import ReleaseDraft, publish, say
from epmstore.refcat.classify import Situation, classify
from epmstore.refcat.fit import best_fit
from epmstore.refcat.lines import Lines
from epmstore.refcat.owners import OwnerMapping
from epmstore.relpath import RelPath, parents
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.tree import Entry
from epmstore.workspace import Workspace
from tests.kit.fakevendor import FakeVendor
from tests.refcat.test_classify import spans

TEXTS = st.sampled_from(["A", "B", "C", "tiny"])
NAMES = st.sampled_from(["a", "b", "d/a", "d/b", "e/f/g"])
MODES = st.sampled_from([0o644, 0o600])
TREES = st.dictionaries(NAMES, TEXTS)
ROOTS = st.dictionaries(NAMES, st.tuples(TEXTS, MODES))
Root = dict[str, tuple[str, int]]


def data(text: str) -> bytes:
    return b"tiny" if text == "tiny" else text.encode() * 500


def entry(path: str, text: str, mode: int = 0o644) -> Entry:
    content = identify(data(text))
    return Entry(path=RelPath(path), kind="file", mode=mode, mtime_ns=1, content=content)


def publish_trees(store: Store, app: str, releases: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those that differ from the one before, which are those that became releases."""
    about = AboutRecord(time=to_rfc3339(store.clock.now()), app=app, key="crm")
    say(store, app, about)
    made: list[dict[str, str]] = []
    for tree in releases:
        with Deposit(store) as deposit:
            entries = [entry(path, text) for path, text in tree.items()]
            if publish(deposit, about, entries, ReleaseDraft()) is not None:
                made.append(tree)
    return made


def write(root: Path, tree: Root) -> None:
    for child in root.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()
    for path, (text, mode) in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data(text))
        (root / path).chmod(mode)


def expected(releases: list[dict[str, str]], root: Root, number: int) -> list[tuple[object, ...]]:
    """By the table, from the trees alone."""
    vendor = FakeVendor()
    for path, since, until, text in spans(releases):
        vendor.ship(entry(path, text), since, until)
    found = {path: entry(path, *state) for path, state in root.items()}
    wanted = {path: entry(path, text) for path, text in releases[number].items()}
    situation = Situation(
        lines=Lines([None] * 10),
        app="0123456789abcdef0123456789abcdef",
        release=number,
        owners=OwnerMapping({}),
        classify=Rules(Patterns()).classify,
        holds={above for path in root for above in parents(path)}.__contains__,
    )
    pairs = [(found.get(path), wanted.get(path)) for path in {*found, *wanted}]
    return [
        (one.path, one.what, one.release, one.other and one.other[1])
        for one in classify(pairs, situation, vendor)
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(TREES, min_size=1, max_size=4),
    ROOTS,
    st.none() | ROOTS,
    st.integers(0, 3),
)
def test_as_by_the_table(
    releases: list[dict[str, str]], live: Root, recorded: Root | None, wish: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "root")
        root.mkdir()
        with Workspace.init(Path(place, "store")) as ws:
            app = ws.apps.add("crm", root).app
            made = publish_trees(ws._store, app.uuid, releases)
            if not made:
                return  # nothing but empty trees
            handle = ws.app("crm")
            if recorded is not None:
                write(root, recorded)
                handle.snapshot()
            write(root, live)
            number = wish % len(made)
            for _ in range(2):  # the second time from what was kept of the first
                verified = handle.verify(number)
                assert [
                    (one.path, one.what, one.release, one.other and one.other[1])
                    for one in verified.findings
                ] == expected(made, live, number)
                assert verified.files == len(live)
                best = handle.verify().release.version
                assert best == best_by_folding(made, live)


def best_by_folding(releases: list[dict[str, str]], live: Root) -> int:
    known = list(spans(releases))
    sizes = [(since, until, 1) for _, since, until, _ in known]
    matched = [(s, u, 1) for path, s, u, text in known if live.get(path, ("", 0))[0] == text]
    fit = best_fit(matched, sizes, range(len(releases)))
    return len(releases) - 1 if fit is None else fit.release


def test_rows_that_are_equal_are_not_made_entries_of(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with Workspace.init(tmp_path / "store") as ws:
        app = ws.apps.add("crm", root).app
        tree = {f"d{n % 7}/f{n}": "ABC"[n % 3] for n in range(50)}
        publish_trees(ws._store, app.uuid, [tree])
        write(root, {path: (text, 0o644) for path, text in tree.items()})
        (root / "d0/f0").write_bytes(b"other")
        ws.app("crm").snapshot()
        comparison = Comparison(ws._store.database, app.uuid, f"{app.uuid}/refcat")
        with ws._store.database.read():
            rows = comparison.rows(0)
            [pair] = [pair for pair in comparison.pairs(rows.unlike) if pair[1] is not None]
        assert pair[0] is not None and pair[0].path == "d0/f0"
        assert sum(interval[2] for interval in comparison.matches()) == 49
        assert comparison.holds(RelPath("d1")) and not comparison.holds(RelPath("d1/f1"))
