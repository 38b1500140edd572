"""Two real releases as packages: what a host is found to be, and how its upgrades are explained.

Parts of the kernel's sources, 6.1.170-3 and 6.1.190-1, as `make bench` keeps them.
"""

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

SOURCES = Path(__file__).resolve().parents[2] / "benchmarks" / ".cache"
OLD, NEW = SOURCES / "linux-6.1.170-3", SOURCES / "linux-6.1.190-1"
PARTS = ("kernel", "mm", "fs/ext4", "net/core", "drivers/iio/imu/inv_icm42600")
CONTROL = "Package: part\nVersion: {}\nArchitecture: all\nMaintainer: n <n@n>\nDescription: part\n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (OLD.exists() and NEW.exists()), reason="needs the trees of make bench"),
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb"),
]


def package(sources: Path, place: Path, version: str) -> Path:
    """A .deb of the parts."""
    tree = place / f"tree-{version}"
    for part in PARTS:
        shutil.copytree(sources / part, tree / "src" / part, symlinks=True)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(CONTROL.format(version))
    deb = place / f"part_{version}.deb"
    build = ["dpkg-deb", "-Znone", "--root-owner-group", "-b", str(tree), str(deb)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return deb


def unpack(deb: Path, root: Path) -> list[str]:
    return ["dpkg-deb", "-x", str(deb), str(root)]


class Host:
    """A host whose application `part` is at the old release, with a catalog of both."""

    def __init__(self, cli: "Cli", place: Path) -> None:
        self.cli, self.root = cli, place / "root"
        self.old, self.new = package(OLD, place, "1"), package(NEW, place, "2")
        self.root.mkdir()
        subprocess.run(unpack(self.old, self.root), check=True)
        cli.ok("init")
        cli.ok("app", "add", "part", str(self.root))
        [app] = cli.ok("app", "show", "part", "--json").shapes
        cli.ok("release", "init", "part", "--uuid", app["uuid"])
        cli.ok("release", "add", "part", str(self.old), "--label", "6.1.170-3")
        cli.ok("release", "add", "part", str(self.new), "--label", "6.1.190-1")
        cli.ok("snapshot", "-m", "as delivered")

    def findings(self, *args: str) -> dict[str, tuple[str, int | None]]:
        shapes = self.cli("verify", "--json", *args).shapes[:-1]
        return {shape["path"]: (shape["class"], shape["release"]) for shape in shapes}

    def explanation(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cli.ok("log", "--json").shapes[0]["explanation"]
        return found


@pytest.fixture
def host(cli: "Cli", tmp_path: Path) -> Host:
    return Host(cli, tmp_path)


def changed_parts() -> list[str]:
    """Paths below src that both releases have, with different contents."""
    found = []
    for part in PARTS:
        for path in sorted((OLD / part).rglob("*")):
            new = NEW / path.relative_to(OLD)
            if path.is_file() and new.is_file() and path.read_bytes() != new.read_bytes():
                found.append(f"src/{path.relative_to(OLD)}")
    return found


def test_each_deviation_is_found_and_nothing_else(host: Host) -> None:
    assert host.findings() == {}
    src, newer = host.root / "src", changed_parts()[:2]
    for path in newer:
        shutil.copyfile(NEW / path.removeprefix("src/"), host.root / path)
    with (src / "kernel/fork.c").open("a") as file:
        file.write("/* tampered */\n")
    (src / "mm/slab.c").rename(src / "mm/slab-old.c")
    (src / "mm/Makefile").chmod(0o600)
    (src / "kernel/new.c").write_text("/* nobody shipped this, and it is not tiny */\n" * 3)
    (src / "fs/ext4/namei.c").unlink()
    expected = {
        **{path: ("ahead", 1) for path in newer},
        "src/kernel/fork.c": ("local", None),
        "src/mm/slab-old.c": ("moved", 0),
        "src/mm/Makefile": ("meta", 0),
        "src/kernel/new.c": ("unknown", None),
        "src/fs/ext4/namei.c": ("missing", None),
    }
    assert host.findings() == expected
    host.cli.ok("snapshot")
    assert host.findings() == expected
    assert host.cli("repair", "--exact", "--yes").code == 0
    assert host.findings() == {}
    subprocess.run(["diff", "-r", str(OLD / "kernel"), str(src / "kernel")], check=True)


def test_an_upgrade_by_a_package_is_one_explained_version(host: Host) -> None:
    host.cli.ok("run", "-m", "upgrade", "--", *unpack(host.new, host.root))
    found = host.explanation()
    assert (found["kind"], found["from"], found["to"]) == ("upgrade", 0, 1)
    assert (found["rest"], found["unexplained"]) == (0, [])
    # unpacking removes nothing: what the new release has no more is left over
    left = host.findings()
    assert left and set(left.values()) == {("stale", 0)}
    assert found["total"] - found["done"] == found["left_over"] == len(left)
    assert not found["partial"]
    label = f"upgrade (upgrade 0 -> 1, {len(left)} left over)"
    assert host.cli.ok("log").out.splitlines()[0].endswith(label)
    for path in left:
        (host.root / path).unlink()
    host.cli.ok("snapshot", "-m", "tidied up")
    assert host.explanation()["kind"] == "restored"
    assert host.cli.ok("log", "--unexplained").out == ""


def test_half_an_upgrade_is_partial_with_the_counts(host: Host) -> None:
    paths = changed_parts()
    for path in paths[: len(paths) // 2]:
        shutil.copyfile(NEW / path.removeprefix("src/"), host.root / path)
    host.cli.ok("snapshot", "-m", "power cut")
    found = host.explanation()
    assert (found["kind"], found["partial"], found["rest"]) == ("upgrade", True, 0)
    assert found["done"] == len(paths) // 2 < found["total"]
