"""Who owns what a checkout changed."""

import shutil
from pathlib import Path

import pytest

from epmstore.checkout.system_packages import DPKG, owners_of


@pytest.fixture
def dpkg(tmp_path: Path) -> Path:
    (tmp_path / "crm.list").write_text("/.\n/opt\n/opt/crm\n/opt/crm/bin\n/opt/crm/bin/crmd\n")
    (tmp_path / "libcrm:amd64.list").write_text("/opt/crm/lib/a.so\n/lib/crm/b.so\n")
    (tmp_path / "other.list").write_text("/opt/crm-other/bin/crmd\n")
    (tmp_path / "crm.md5sums").write_text("0  opt/crm/bin/crmd\n")
    return tmp_path


def test_owners_are_found(dpkg: Path) -> None:
    assert owners_of("/opt/crm", ["bin/crmd", "lib/a.so"], dpkg) == ("crm", "libcrm")
    assert owners_of("/opt/crm/", ["lib/a.so"], dpkg) == ("libcrm",)
    assert owners_of("/", ["opt/crm/bin/crmd"], dpkg) == ("crm",)


def test_paths_outside_packages_have_no_owner(dpkg: Path) -> None:
    assert owners_of("/opt/crm", ["bin/mine", "bin"[:2]], dpkg) == ()
    assert owners_of("/opt/cr", ["m/bin/crmd2"], dpkg) == ()
    assert owners_of("/opt/crm", ["bin/crmd"], dpkg / "none") == ()


def test_the_older_spelling_of_a_merged_folder(dpkg: Path) -> None:
    assert owners_of("/usr/lib/crm", ["b.so"], dpkg) == ("libcrm",)


@pytest.mark.skipif(not DPKG.is_dir(), reason="needs a dpkg database")
def test_a_real_package() -> None:
    shell = shutil.which("bash")
    if shell is None or not (DPKG / "bash.list").exists():
        pytest.skip("needs bash from its package")
    assert owners_of("/usr", ["bin/bash"]) == ("bash",)
