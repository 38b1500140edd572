from collections.abc import Iterable
from pathlib import Path

import pytest

from epmstore.catalog.model import Requirement
from epmstore.digest import identify
from epmstore.errors import ConflictError, UsageError, VersionNotFoundError
from epmstore.refcat.lines import Lines, ReleaseOrder
from epmstore.refcat.requires import check_one_way, describe, parse_requirement, unmet
from epmstore.relpath import RelPath
from tests.kit.vendors import Vendor, file

EXE, PDB = identify(b"exe").digest.hex(), identify(b"pdb").digest.hex()
TREE = {RelPath(p): file(p, d) for p, d in (("bin/x.exe", b"exe"), ("bin/x.pdb", b"pdb"))}


class Known:
    def app(self, key: str) -> str:
        return f"uuid of {key}"

    def release(self, app: str, text: str) -> int:
        if text.isdigit():
            return int(text)
        if text != "10.1.SP2":
            raise VersionNotFoundError(text)
        return 7


def need(text: str) -> Requirement:
    return parse_requirement(text, TREE, Known())


SERVER = Requirement(app="uuid of server", key="server")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("server", SERVER),
        ("server?", Requirement(app="uuid of server", key="server", optional=True)),
        ("server>=40", Requirement(app="uuid of server", key="server", min=40)),
        ("server>=40,<=42", Requirement(app="uuid of server", key="server", min=40, max=42)),
        ("server=10.1.SP2", Requirement(app="uuid of server", key="server", min=7, max=7)),
        ("bin/x.pdb -> bin/x.exe", Requirement(digest=EXE, of=PDB)),
        (f"bin/x.pdb->{'0' * 40} ?", Requirement(digest="0" * 40, of=PDB, optional=True)),
        ("1" * 40, Requirement(digest="1" * 40)),
    ],
)
def test_needs_are_written_like_this(text: str, wanted: Requirement) -> None:
    assert need(text) == wanted
    assert describe(wanted)


@pytest.mark.parametrize("text", ["", "a b", "server>40", "no -> bin/x.exe", "server>=4,<=3", "?"])
def test_malformed_requirements_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        need(text)


def test_circles_are_refused() -> None:
    both = [Requirement(digest=EXE, of=PDB), Requirement(digest=PDB, of=EXE)]
    check_one_way("a", both[:1], {})
    with pytest.raises(ConflictError, match="circle"):
        check_one_way("a", both, {})
    others = {"b": [Requirement(app="c")], "c": [Requirement(app="a", optional=True)]}
    check_one_way("a", [Requirement(app="d")], others)
    with pytest.raises(ConflictError, match="circle"):
        check_one_way("a", [Requirement(app="b")], others)
    with pytest.raises(ConflictError, match="circle"):
        check_one_way("a", [Requirement(app="a")], {})


class Host:
    def is_installed(self, app: str) -> bool:
        return app != "none"

    def release_of(self, app: str) -> int | None:
        return {"forty": 40}.get(app)

    def order(self, app: str, one: int, two: int) -> ReleaseOrder:
        return Lines([]).order(one, two)

    def title(self, app: str, release: int) -> str:
        return str(release)

    def has(self, digests: Iterable[str]) -> set[str]:
        return {"1" * 40} & set(digests)


@pytest.mark.parametrize(
    ("requirement", "why"),
    [
        (Requirement(app="none", key="x"), "x is not installed"),
        (Requirement(app="some"), None),
        (Requirement(app="some", key="x", min=1), "no release of it explains"),
        (Requirement(app="forty", min=40, max=40), None),
        (Requirement(app="forty", key="x", min=41), "x is at release 40, 41 or newer is needed"),
        (Requirement(app="forty", key="x", max=39), "39 or older"),
        (Requirement(digest=EXE), None),
        (Requirement(digest="1" * 40), None),
        (Requirement(digest="2" * 40), "is not there"),
        (Requirement(digest="2" * 40, of=PDB), "is not there"),
        (Requirement(digest="2" * 40, of="3" * 40), None),
    ],
)
def test_unmet_requirements_say_why(requirement: Requirement, why: str | None) -> None:
    found = unmet([requirement], TREE, Host())
    assert [why in one.why for one in found if why] == [True] * (why is not None)
    assert len(found) == (why is not None)


def test_a_circle_of_applications_is_refused_when_it_would_be_published(tmp_path: Path) -> None:
    from epmstore.workspace.vendors import Source  # noqa: PLC0415

    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/f").write_bytes(b"f")
    vendor = Vendor(tmp_path)
    source = Source(paths=(tmp_path / "tree",))
    with vendor.open() as ws:
        ws.vendors.init("server")
        ws.vendors.add("crm", source, requires=["server"])
        assert ws.vendors.releases("crm").all()[0].requires[0].key == "server"
        with pytest.raises(ConflictError, match="circle") as caught:
            ws.vendors.add("server", source, requires=["crm"])
        assert {"crm", "server"} == set(caught.value.data["circle"])
        assert ws.vendors.releases("server").all() == []
