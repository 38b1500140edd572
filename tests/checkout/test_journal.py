"""The journal: what was written comes back, and what a crash or a flip left is told apart."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore import seal
from epmstore.checkout.journal import Header, Journal
from epmstore.checkout.plan import Seen, Step
from epmstore.checkout.stage import Refused
from epmstore.digest import identify
from epmstore.errors import DamagedError
from epmstore.relpath import RelPath
from epmstore.tree import Entry

HEADER = Header(
    txid="t1",
    app="0" * 32,
    key="crm",
    root="/opt/\udcff",
    root_inode=2**63,
    action="checkout",
    reason="checkout",
    time="2026-10-03T14:02:03.123Z",
    base=131,
    of=117,
    from_=131,
    safety=None,
    scope=(RelPath("b\udcfe"),),
    label="back",
    actor={"uid": 0},
    rules="r",
    unobserved=((RelPath("c\udcfd"), "mount"),),
)
ENTRY = Entry(
    path=RelPath("b\udcfe"),
    kind="file",
    mode=0o4755,
    uid=1,
    user="root",
    mtime_ns=-5,
    content=identify(b"x"),
    xattrs=(("user.\udcfd", b"\0\xff"),),
    same_as=RelPath("a"),
    sparse=True,
    path_class="config",
)
STEPS = (
    Step("unlink", RelPath("gone"), ENTRY),
    Step("put", ENTRY.path, None, ENTRY, Seen(1, 2, 3, 4, 5, 6), RelPath("a")),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "app.journal")


def ends(path: Path) -> list[int]:
    """Where the records of a journal end."""
    data, found = path.read_bytes(), [0]
    while found[-1] < len(data):
        found.append(seal.read(data, found[-1])[0].end)
    return found


def test_there_is_none(journal: Journal) -> None:
    assert journal.load() is None
    journal.drop()


def test_all_of_it_comes_back(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    found = journal.load()
    assert found is not None
    assert (found.header, found.steps, found.state, found.inodes) == (HEADER, STEPS, "PLANNED", {})
    journal.reach("STAGED", inodes={1: 77}, refused=[Refused(ENTRY.path, ("owner",))])
    journal.reach("SWITCHED", left={RelPath("gone"): "why"})
    found = journal.load()
    assert found is not None
    assert (found.state, found.inodes) == ("SWITCHED", {1: 77})
    assert found.left == {"gone": "why"}
    assert found.refused == [Refused(ENTRY.path, ("owner",))]
    journal.drop()
    assert journal.load() is None


def test_many_steps_take_several_lines(journal: Journal) -> None:
    steps = tuple(Step("rmdir", RelPath(f"d{n}")) for n in range(5000))
    journal.begin(HEADER, steps)
    found = journal.load()
    assert found is not None and found.steps == steps
    assert len(ends(journal.path)) == 5


def test_there_is_only_one(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    with pytest.raises(FileExistsError):
        journal.begin(HEADER, ())
    found = journal.load()
    assert found is not None and found.steps == STEPS


def test_wherever_it_is_cut_a_state_was_reached_or_not(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    journal.reach("STAGED", inodes={1: 77})
    journal.reach("SWITCHED")
    data = journal.path.read_bytes()
    *_, planned, staged, switched = ends(journal.path)
    assert switched == len(data)
    for length in range(len(data)):
        journal.path.write_bytes(data[:length])
        found = journal.load()
        state = None if found is None else found.state
        if length < planned:
            assert state is None
        else:
            assert state == ("PLANNED" if length < staged else "STAGED")


def test_a_torn_line_is_replaced_by_the_next(journal: Journal) -> None:
    journal.begin(HEADER, STEPS)
    with journal.path.open("ab") as file:
        file.write(seal.seal(seal.Kind.LINE, b"x" * 500, number=9)[:50])
    journal.reach("STAGED", inodes={1: 5})
    found = journal.load()
    assert found is not None and (found.state, found.inodes) == ("STAGED", {1: 5})


@given(st.data())
def test_a_flip_before_the_last_line_is_never_read_over(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    journal = Journal(tmp_path_factory.mktemp("flip") / "app.journal")
    journal.begin(HEADER, STEPS)
    journal.reach("STAGED", inodes={1: 77})
    journal.reach("SWITCHED")
    whole = bytearray(journal.path.read_bytes())
    at = data.draw(st.integers(0, ends(journal.path)[-2] - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    journal.path.write_bytes(whole)
    with pytest.raises(DamagedError):
        journal.load()
