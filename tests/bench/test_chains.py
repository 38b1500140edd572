"""Chains of stages: who takes part, what is left of it, and rounds that are added to others."""

import os
import shutil
import threading
from pathlib import Path

import msgspec
import pytest

from benchmarks.chains import Bench
from benchmarks.contestants import EPMSTORE, Contestant, earlier
from benchmarks.results import About, Results
from benchmarks.scratch import Scratch
from benchmarks.stages import compare_releases, make_small, make_tenth

COPY = Contestant(
    name="copy",
    install="",
    stages={"cold": "cp -a $root $home/copy", "full": "cp -a $home/copy/. $out"},
    stored={"copy": ("copy",)},
    verified=True,
)
LOSSY = COPY._replace(name="lossy", stages={**COPY.stages, "full": "cp -r $home/copy/part1 $out"})
BRIEF = COPY._replace(name="brief", stages={"cold": "true"}, stored={})


def run(tmp_path: Path, contestants: list[Contestant], rounds: int = 1) -> Results:
    older, newer = make_small(tmp_path)
    results = Results("small", (older.name, newer.name), 500, 1 << 20, About.now())
    bench = Bench(contestants, older, compare_releases(older, newer), results)
    for number in range(rounds):
        bench.run_chain("main", number)
    assert not list((tmp_path / "work").iterdir())
    return results


def test_each_round_is_a_sample(tmp_path: Path) -> None:
    results = run(tmp_path, [COPY, BRIEF], rounds=2)
    assert not results.failures
    assert results.rounds == 2
    assert {stage: {*of} for stage, of in results.stages.items()} == {
        "cold": {"copy", "brief"},
        "full": {"copy"},
    }
    assert len(results.of("full", "copy").samples) == 2
    assert results.of("cold", "copy").stored["copy"] > 1 << 19


def test_a_checkout_that_is_not_the_original_is_a_failure(tmp_path: Path) -> None:
    results = run(tmp_path, [LOSSY])
    assert [failure.partition(":")[0] for failure in results.failures] == ["lossy, full"]
    assert results.find("full", "lossy") is None


def test_a_part_of_a_tree_is_compared_without_what_it_never_had(tmp_path: Path) -> None:
    older, newer = make_small(tmp_path)
    tenth = make_tenth(older, tmp_path / "tenth")
    (tenth / "gone").write_bytes(b"")
    found = compare_releases(tenth, newer, added=False)
    assert found.changed and len(found.changed) < 50
    assert all((tenth / path).exists() for path in found.changed)
    assert found.removed == ["gone"]


def test_rounds_are_added_to_those_of_the_same_program_only() -> None:
    one = Results("linux", ("a", "b"), 5, 6, About("abc", "then", "2 cores", "3.11"))
    later = msgspec.structs.replace(one, about=About("abc", "now", "2 cores", "3.11"))
    other = msgspec.structs.replace(one, about=About("abd", "then", "2 cores", "3.11"))
    assert one.is_like(later)
    assert not one.is_like(other)


@pytest.mark.root
def test_scratch_files_are_cached_once(tmp_path: Path) -> None:
    if shutil.which("mkfs.ext4") is None or not os.path.exists("/dev/loop-control"):
        pytest.skip("no loop devices")
    scratch = Scratch(tmp_path / "work", 1 << 30)
    with scratch as folder:
        if scratch.written() is None:
            pytest.skip("nothing can be mounted here")
        (folder / "file").write_bytes(bytes(1 << 20))
        begun = scratch.written()
        (folder / "other").write_bytes(os.urandom(1 << 20))
        ended = scratch.written()
        assert begun is not None and ended is not None and 1 << 20 <= ended - begun < 4 << 20
        name = Path(os.path.realpath(f"/sys/dev/block/{_device(folder)}")).name
        assert Path(f"/sys/block/{name}/loop/dio").read_text().strip() == "1"
    assert not folder.exists() and not (tmp_path / "work.img").exists()
    assert not os.path.exists(f"/sys/block/{name}/loop")


def _device(folder: Path) -> str:
    found = folder.stat().st_dev
    return f"{os.major(found)}:{os.minor(found)}"


@pytest.mark.root
def test_a_reader_does_not_keep_a_file_system_from_being_removed(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "work", 1 << 30)
    with scratch as folder:
        if scratch.kind == "one file system for all":
            pytest.skip("no file system can be made here")
        reader = os.open(folder, os.O_RDONLY)
        leaving = threading.Timer(0.3, os.close, (reader,))
        leaving.start()
    leaving.join()
    assert not [*tmp_path.iterdir()]


def test_an_earlier_release_is_called_by_its_path_alone() -> None:
    one = earlier("/old one/epmstore")
    commands = [one.setup, *one.stages.values()]
    assert len(commands) == len(EPMSTORE.stages) + 1
    assert all("'/old one/epmstore' " in command for command in commands)
    assert all(" epmstore " not in f" {command}" for command in commands)
