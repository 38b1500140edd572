from pathlib import Path

import pytest

from epmstore.catalog.model import RevokeRecord
from epmstore.clock import to_rfc3339
from epmstore.digest import identify
from epmstore.errors import VersionNotFoundError
from epmstore.index.lookup import shipped_rows
from epmstore.refcat.classify import Shipped
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath
from epmstore.store.commit import commit_fact
from epmstore.store.store import refcat
from epmstore.workspace import Workspace
from tests.kit.vendors import CRM, SERVER, Vendor, releases

R0 = {"bin/a": b"a0", "bin/b": b"same", "etc/c": b"c"}
R1 = {"bin/a": b"a1", "bin/b": b"same", "lib/d": b"same"}


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    made = Vendor(tmp_path)
    made.release(R0, "1.0")
    made.release(R1, "1.1")
    return made


def span(app: str, path: str, since: int, until: int | None) -> Shipped:
    return Shipped(app, RelPath(path), since, until)


def tree_of(found: Releases, version: int) -> dict[str, bytes]:
    return {e.path: e.content.sha256 for e in found.tree(version) if e.content is not None}


def test_releases_are_numbered_from_0_and_carry_their_labels(vendor: Vendor) -> None:
    with vendor.open() as ws:
        found = releases(ws._store).all()
        assert [(r.version, r.label, r.revoked) for r in found] == [
            (0, "1.0", None),
            (1, "1.1", None),
        ]
        assert found[1].counts.added == found[1].counts.modified == found[1].counts.removed == 1


def test_the_digest_of_a_release_is_that_of_the_line_that_published_it(vendor: Vendor) -> None:
    with vendor.open() as ws:
        lines = list(ws._store.catalog(refcat(CRM)).lines())
        assert [r.digest for r in releases(ws._store).all()] == [
            lines[1].after.head,
            lines[2].after.head,
        ]


def test_a_tree_is_the_whole_release_in_path_order(vendor: Vendor) -> None:
    with vendor.open() as ws:
        found = releases(ws._store)
        assert tree_of(found, 0) == {p: identify(d).sha256 for p, d in R0.items()}
        assert list(tree_of(found, 1).items()) == [
            (p, identify(d).sha256) for p, d in sorted(R1.items())
        ]
        with pytest.raises(VersionNotFoundError, match="no release 2"):
            found.tree(2)


def test_the_same_tree_again_is_no_release(vendor: Vendor) -> None:
    assert vendor.release(R1, "1.1 again") is None
    with vendor.open() as ws:
        assert len(releases(ws._store).all()) == 2


def test_spans_say_who_ever_shipped_a_content_and_where(vendor: Vendor, tmp_path: Path) -> None:
    other = Vendor(tmp_path, app=SERVER, key="server")
    other.release({"x": b"same"})
    asked = [identify(data).sha256 for data in (b"same", b"a0", b"nobody's")]
    with vendor.open() as ws:
        assert releases(ws._store).spans(asked) == {
            asked[0]: [
                span(CRM, "bin/b", 0, None),
                span(CRM, "lib/d", 1, None),
                span(SERVER, "x", 0, None),
            ],
            asked[1]: [span(CRM, "bin/a", 0, 1)],
        }


def test_contents_recorded_by_a_host_are_no_release(vendor: Vendor, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "mine").write_bytes(b"local")
    (root / "theirs").write_bytes(b"a0")
    with vendor.open() as ws:
        ws.apps.add("host", root)
        ws.app("host").snapshot()
        asked = [identify(b"local").sha256, identify(b"a0").sha256]
        assert releases(ws._store).spans(asked) == {asked[1]: [span(CRM, "bin/a", 0, 1)]}


def test_spans_are_looked_up_and_not_searched_for(vendor: Vendor) -> None:
    with vendor.open() as ws, ws._store.database.read() as db:
        seen: list[str] = []
        db.set_trace_callback(seen.append)
        shipped_rows(db, [identify(b"same").sha256])
        db.set_trace_callback(None)
        plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {seen[0]}"))
        assert "live_shipped" in plan and "past_shipped" in plan and "SCAN" not in plan


def test_a_path_has_a_history_of_releases(vendor: Vendor) -> None:
    with vendor.open() as ws:
        found = releases(ws._store).history(RelPath("bin/a"))
        assert [(s.since, s.until) for s in found] == [(0, 1), (1, None)]


def test_revoking_leaves_the_release_as_it_was(vendor: Vendor) -> None:
    with vendor.open() as ws:
        time = to_rfc3339(vendor.clock.now())
        before = releases(ws._store).all()
        commit_fact(ws._store, refcat(CRM), RevokeRecord(time=time, version=0, reason="eats data"))
        after = releases(ws._store).all()
        assert after[0].revoked == "eats data" and after[0].digest == before[0].digest
        commit_fact(ws._store, refcat(CRM), RevokeRecord(time=time, version=0, revoked=False))
        assert releases(ws._store).all() == before


def everything(ws: Workspace) -> object:
    found = releases(ws._store)
    asked = [identify(data).sha256 for data in (*R0.values(), *R1.values())]
    return found.all(), found.about(), found.spans(asked), [*found.tree(0), *found.tree(1)]


def test_a_rebuilt_index_says_the_same(vendor: Vendor) -> None:
    with vendor.open() as ws:
        before = everything(ws)
    assert Workspace.rebuild(vendor.path, clock=vendor.clock) == []
    with vendor.open() as ws:
        assert everything(ws) == before
    (vendor.path / "index.sqlite").unlink()
    with vendor.open() as ws:
        assert everything(ws) == before


def test_an_index_made_by_an_older_release_gets_what_it_lacks(vendor: Vendor) -> None:
    with vendor.open() as ws, ws._store.database.write() as db:
        db.execute("DROP INDEX live_shipped")
    with vendor.open() as ws:
        with ws._store.database.write():
            pass
        with ws._store.database.read() as db:
            names = {row[0] for row in db.execute("SELECT name FROM sqlite_schema")}
        assert "live_shipped" in names
