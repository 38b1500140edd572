"""What `make dist` makes, and what the scripts of the .deb do to a host.

They run on a root of their own (DPKG_ROOT), with the real program and Debian's real tools.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import requires
from itertools import pairwise
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deb.build import HERE, SCRIPTS, add_programs, add_units, deb_package, python_packages
from deb.locked import TARGET, runtime
from deb.papers import changelog, control, debian_version
from deb.wheels import unpack
from epmstore.catalog.appcat import App
from epmstore.config import Config, file_layer, merge
from epmstore.workspace.declarations import Units

TOP = HERE.parents[1]
LOCK = (TOP / "requirements.lock").read_text()
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
CRM = App(key="crm", uuid="0" * 32, root="/opt/crm")


def needs(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")


def needed(name: str, *extras: str) -> set[str]:
    """What an installed package asks for on Debian 12, with these extras."""
    asked = [*map(Requirement, requires(name) or [])]
    return {
        canonicalize_name(one.name)
        for extra in ("", *extras)
        for one in asked
        if not one.marker or one.marker.evaluate({**TARGET, "extra": extra})
    }


def test_the_package_has_what_the_program_needs_and_nothing_else() -> None:
    locked = runtime(LOCK)
    blocks = re.split(r"^(?=\w)", locked, flags=re.MULTILINE)[1:]
    names = {block.partition("==")[0] for block in blocks}
    assert names == needed("epmstore", *PROJECT["optional-dependencies"]).union(*map(needed, names))
    assert all("--hash=sha256:" in block for block in blocks)


def test_a_lock_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="no pin: click @ file"):
        runtime(LOCK + "click @ file:///tmp/click.whl\n")


def wheel(path: Path, *members: str) -> Path:
    with ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, member)
    return path


def test_wheels_are_laid_side_by_side(tmp_path: Path) -> None:
    one = wheel(tmp_path / "one.whl", "one/a.py", "one-1.dist-info/METADATA",
                "one-1.dist-info/RECORD", "one-1.data/data/lib/systemd/system/one.service",
                "one-1.data/scripts/one")  # fmt: skip
    two = wheel(tmp_path / "two.whl", "two/a.py", "two-1.data/platlib/two/b.so")
    unpack([one, two], tmp_path / "site")
    made = {
        str(path.relative_to(tmp_path / "site"))
        for path in (tmp_path / "site").rglob("*")
        if path.is_file()
    }
    assert made == {"one/a.py", "one-1.dist-info/METADATA", "two/a.py", "two/b.so"}


@pytest.mark.parametrize("member", ["one/a.py", "two-1.data/headers/a.h"])
def test_wheels_that_do_not_fit_are_refused(tmp_path: Path, member: str) -> None:
    one = wheel(tmp_path / "one.whl", "one/a.py")
    with pytest.raises(ValueError, match=re.escape(member)):
        unpack([one, wheel(tmp_path / "two.whl", member)], tmp_path / "site")


def test_versions_are_ordered_as_dpkg_orders_them() -> None:
    needs("dpkg")
    rising = ["0.1.0", "0.2.0.dev1", "0.2.0a1", "0.2.0b2", "0.2.0rc1", "0.2.0", "0.2.0.post1"]
    rising = [debian_version(version) for version in rising]
    for older, newer in pairwise(rising):
        command = ["dpkg", "--compare-versions", older, "lt", newer]
        assert subprocess.run(command, check=False).returncode == 0, (older, newer)


def test_control_and_changelog_are_as_dpkg_has_them(tmp_path: Path) -> None:
    needs("dpkg-deb")
    (tmp_path / "tree/DEBIAN").mkdir(parents=True)
    (tmp_path / "tree/DEBIAN/control").write_text(control("1.2~rc1", 1025))
    deb = tmp_path / "epmstore.deb"
    build = ["dpkg-deb", "--root-owner-group", "--build", str(tmp_path / "tree"), str(deb)]
    subprocess.run(build, check=True, capture_output=True)
    command = ["dpkg-deb", "--field", str(deb), "Version", "Installed-Size"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "Version: 1.2~rc1\nInstalled-Size: 2\n"
    assert changelog("1.2", 0).endswith("  Thu, 01 Jan 1970 00:00:00 +0000\n")


def test_nothing_installed_names_where_it_was_built(tmp_path: Path) -> None:
    home = add_programs(tmp_path, PROJECT["scripts"], "1.2-abc")
    add_units(tmp_path)
    assert home == "/opt/epmstore/releases/1.2-abc"
    for name in PROJECT["scripts"]:
        program = tmp_path / home[1:] / "bin" / name
        assert program.read_text().startswith(f"#!{home}/bin/python3 -I\n")
        assert os.readlink(tmp_path / "usr/bin" / name) == f"/opt/epmstore/current/bin/{name}"
        assert os.access(program, os.X_OK)
    for unit in (tmp_path / "lib/systemd/system").iterdir():
        assert "\nExecStart=/opt/epmstore/current/bin/epmstore" in unit.read_text()


def test_the_settings_of_the_package_are_the_defaults() -> None:
    text = (HERE / "etc/config.toml").read_text()
    set_out = re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)
    assert len(tomllib.loads(set_out)["store"]) == 2
    for form in (text, set_out):
        assert merge([file_layer(form.encode(), "config.toml")]).config == Config()


@pytest.mark.parametrize("name", [*SCRIPTS, "try.sh"])
def test_scripts_are_sound(name: str) -> None:
    subprocess.run(["sh", "-n", HERE / name], check=True)
    needs("shellcheck")
    done = subprocess.run(["shellcheck", "-s", "sh", HERE / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


class Host:
    """A root with the package unpacked: its units, and a program that is this one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "var/lib/epmstore"
        self.units = root / "etc/systemd/system"
        self.wants = self.units / "multi-user.target.wants"
        add_units(root)
        self.place = root / "opt/epmstore"
        self.lib = self.unpack("1.0-a") / "lib"
        for folder in ("etc/systemd/system", "etc/epmstore/apps.d", "var/lib"):
            (root / folder).mkdir(parents=True)

    def boot(self) -> None:
        (self.root / "run/systemd/system").mkdir(parents=True)

    def unpack(self, release: str) -> Path:
        """What dpkg unpacks of a release, and where."""
        programs = self.place / "releases" / release / "bin"
        programs.mkdir(parents=True)
        (programs / "python3").symlink_to(sys.executable)
        (programs / "epmstore").write_text(f'#!/bin/sh\nexec {sys.executable} -m epmstore "$@"\n')
        (programs / "epmstore").chmod(0o755)
        (programs.parent / "lib").mkdir()
        (programs.parent / "lib/a.py").write_text("A = 1\n")
        (self.place / "newest").write_text(f"{release}\n")
        return programs.parent

    def dpkg(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a script as dpkg does."""
        environment = {"PATH": os.environ["PATH"], "DPKG_ROOT": str(self.root)}
        environment["DPKG_MAINTSCRIPT_PACKAGE"] = "epmstore"
        command = ["sh", "-e", str(HERE / script), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def configure(self, *old: str) -> str:
        done = self.dpkg("postinst", "configure", *(old or ("",)))
        assert done.returncode == 0, done
        return done.stderr


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def debian(host: Host) -> Host:
    """Where Debian's tools are, and may do what they do."""
    needs("deb-systemd-helper", "systemd-sysusers", "systemd-tmpfiles")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    host.boot()
    return host


@pytest.mark.root
@pytest.mark.slow
def test_an_upgrade_leaves_the_store_and_what_is_enabled(debian: Host) -> None:
    debian.configure()
    assert "epmstore:" in (debian.root / "etc/group").read_text()
    assert [path.name for path in debian.wants.iterdir()] == ["epmstore-recover.service"]
    assert list((debian.lib / "__pycache__").iterdir())
    made = (debian.store / "FORMAT").read_bytes()
    debian.configure("0.0.1")
    assert (debian.store / "FORMAT").read_bytes() == made
    # what the administrator enabled and disabled stays so
    (debian.wants / "epmstore-recover.service").unlink()
    (debian.wants / "epmstored.service").symlink_to("/lib/systemd/system/epmstored.service")
    debian.configure("0.0.1")
    assert [path.name for path in debian.wants.iterdir()] == ["epmstored.service"]


@pytest.mark.root
@pytest.mark.slow
def test_an_image_gets_no_store(debian: Host) -> None:
    shutil.rmtree(debian.root / "run")
    assert "`epmstore init`" in debian.configure()
    assert not (debian.store / "FORMAT").exists()


@pytest.mark.root
@pytest.mark.slow
def test_a_store_that_cannot_be_made_does_not_hold_up_the_installation(debian: Host) -> None:
    debian.store.mkdir()
    (debian.store / "somebody's").write_text("data")
    assert "there is no store" in debian.configure()
    assert [path.name for path in debian.store.iterdir()] == ["somebody's"]


def test_units_that_wait_for_it_hold_up_its_removal(host: Host) -> None:
    units = Units(host.units)
    units.bind(CRM, "crm.service")
    done = host.dpkg("prerm", "remove")
    assert done.returncode == 1
    assert str(host.units / "crm.service.d/epmstore-crm.conf") in done.stderr
    assert "app set KEY --unit ''" in done.stderr
    assert host.dpkg("prerm", "upgrade", "0.2").returncode == 0
    units.release(CRM, "crm.service")
    assert host.dpkg("prerm", "remove").returncode == 0


@pytest.mark.parametrize("name", ["crm.journal", "crm.owed"])
def test_unfinished_journals_hold_up_removal(host: Host, name: str) -> None:
    (host.store / "journals").mkdir(parents=True)
    (host.store / "journals" / name).write_text("")
    done = host.dpkg("prerm", "remove")
    assert done.returncode == 1
    assert name in done.stderr
    assert host.dpkg("prerm", "upgrade", "0.2").returncode == 0


def test_removal_takes_compiled_files_along(host: Host) -> None:
    (host.place / "current").symlink_to("releases/1.0-a")
    compiled = host.lib / "__pycache__"
    compiled.mkdir()
    (compiled / "a.cpython-311.pyc").write_text("")
    assert host.dpkg("prerm", "remove").returncode == 0
    assert [path.name for path in compiled.parent.iterdir()] == ["a.py"]
    assert not (host.place / "current").is_symlink()


def test_an_upgrade_that_is_cut_off_runs_one_release_or_the_other(host: Host) -> None:
    """dpkg unpacks, asks postrm of the old one, removes what is the old one's, asks postinst."""
    current = host.place / "current"
    current.symlink_to("releases/1.0-a")
    assert host.dpkg("prerm", "upgrade", "1.1").returncode == 0
    new = host.unpack("1.1-b")
    shutil.rmtree(new / "bin")  # which dpkg had not come to
    assert host.dpkg("postrm", "upgrade", "1.1").returncode == 0
    assert os.readlink(current) == "releases/1.0-a"
    shutil.rmtree(new)
    host.unpack("1.1-b")
    assert os.readlink(current) == "releases/1.0-a"
    assert host.dpkg("postrm", "upgrade", "1.1").returncode == 0
    assert os.readlink(current) == "releases/1.1-b"
    assert {path.name for path in host.place.iterdir()} == {"current", "newest", "releases"}


@pytest.mark.root
@pytest.mark.slow
def test_an_upgrade_leaves_nothing_of_the_release_before(debian: Host) -> None:
    debian.configure()
    assert os.readlink(debian.place / "current") == "releases/1.0-a"
    shutil.rmtree(debian.lib.parent / "bin")
    (debian.lib / "a.py").unlink()
    debian.unpack("1.1-b")
    assert debian.dpkg("postrm", "upgrade", "1.1").returncode == 0
    debian.configure("1.0")
    assert [path.name for path in (debian.place / "releases").iterdir()] == ["1.1-b"]
    assert debian.dpkg("prerm", "remove").returncode == 0
    assert {path.name for path in debian.place.iterdir()} == {"newest", "releases"}


def test_a_purge_keeps_the_store_and_says_so(host: Host) -> None:
    (host.store / "packs").mkdir(parents=True)
    (host.store / "FORMAT").write_text("{}")
    declared = host.root / "etc/epmstore/apps.d/crm.toml"
    declared.write_text('root = "/opt/crm"\n')
    for step in ("remove", "purge", "purge"):
        done = host.dpkg("postrm", step)
        assert done.returncode == 0, done
        assert ("the store /var/lib/epmstore" in done.stderr) == (step == "purge")
    assert (host.store / "FORMAT").exists() and declared.exists()


def test_a_purge_without_a_store_leaves_nothing(host: Host) -> None:
    host.store.mkdir()
    done = host.dpkg("postrm", "purge")
    assert (done.returncode, done.stderr) == (0, "")
    assert not host.store.exists()
    assert not (host.root / "etc/epmstore").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_unknown_dpkg_actions_are_refused(host: Host, script: str) -> None:
    assert host.dpkg(script, "enchant").returncode == 1


def test_outside_a_repository_it_asks_for_a_time(tmp_path: Path) -> None:
    """As in the folder of an unpacked source archive."""
    (tmp_path / "out").mkdir()
    here = {"PATH": os.environ["PATH"], "GIT_DIR": str(tmp_path / "none")}
    command = [sys.executable, "-m", "deb.build", str(tmp_path / "out")]
    done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "SOURCE_DATE_EPOCH" in done.stderr
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_two_builds_are_the_same_bytes_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "EPM_TEST_DIST" not in os.environ:
        pytest.skip("fetches packages: EPM_TEST_DIST=1")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    builds = []
    for name in ("one", "two"):
        made = [*python_packages(tmp_path / name, PROJECT), deb_package(tmp_path / name, PROJECT)]
        builds.append([path.read_bytes() for path in made])
    assert builds[0] == builds[1]
    *_, archive, deb = made
    with tarfile.open(archive) as members:
        assert f"epmstore-{PROJECT['version']}/daemon/deb/postinst" in members.getnames()
    tree = tmp_path / "tree"
    subprocess.run(["dpkg-deb", "--extract", deb, tree], check=True)
    for path in (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()):
        assert str(TOP).encode() not in path.read_bytes(), path
    if Path("/usr/bin/python3.11").exists():
        release = (tree / "opt/epmstore/newest").read_text().strip()
        programs = tree / "opt/epmstore/releases" / release / "bin"
        command = [f"{programs}/python3", "-I", f"{programs}/epmstore", "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"epmstore {PROJECT['version']}\n"
    needs("lintian")
    lintian = ["lintian", "--allow-root", "--fail-on", "error", str(deb)]
    done = subprocess.run(lintian, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
