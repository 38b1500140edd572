"""A new application that is being installed when its program is killed: the next try goes on.

A share of all calls by default; EPM_TEST_POINTS says how many.
"""

from pathlib import Path

import pytest

from epmstore.workspace.intended import InstallOptions
from tests.kit.faults import Calls, Killed, faults
from tests.kit.host import Bare
from tests.kit.products import V1, Products, files_in
from tests.kit.program import amount

POINTS = amount("EPM_TEST_POINTS", 6)


def install(place: Path, package: Path, calls: Calls) -> None:
    host = Bare(place / "store")
    with faults(calls), host.open() as ws:
        ws.packages.install([str(package)], InstallOptions(root=place / "opt" / "crm"))


@pytest.mark.slow
@pytest.mark.filterwarnings(  # a program that is killed closes nothing
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_new_application_is_there_or_not_whenever_it_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = Products(tmp_path / "vendor").pack(V1, "4.0.0")
    whole = Calls()
    install(tmp_path / "whole", package, whole)
    points = range(1, whole.count + 1, max(1, whole.count // POINTS))
    for at in points:
        place = tmp_path / str(at)
        with pytest.raises(Killed):
            install(place, package, Calls(at))
        with Bare(place / "store").open() as ws:
            said = [one.said.release for one in ws.packages.installed()]
            found = files_in(place / "opt") if (place / "opt").exists() else {}
            assert bool(said) == bool(found), (at, said, found)
        install(place, package, Calls())
        assert files_in(place / "opt" / "crm") == V1
        with Bare(place / "store").open() as ws:
            assert [one.said.release for one in ws.packages.installed()] == [0]
            assert ws.care.fsck(1.0).clean
    with capsys.disabled():
        print(f"\n{len(points)} kills of {whole.count} calls")  # noqa: T201
