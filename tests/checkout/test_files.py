"""Many files at once: made by children of ours, of which each may die, as may their parent."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore import fsio
from epmstore.checkout import files
from epmstore.checkout.stage import make_stage, remove_stage
from epmstore.child import Child
from epmstore.errors import DamagedError, EpmError
from epmstore.progress import SILENT
from epmstore.relpath import RelPath
from epmstore.store.staging import StageProof
from epmstore.workspace import Workspace
from tests.kit.bench import Bench, File, Link, Nodes, Same, picture

COUNT = 400


def tree(word: str) -> Nodes:
    """Few distinct contents, many, and one that is cut into parts."""
    nodes: Nodes = {
        **{f"d{n % 9}/f{n}": File(f"{word} {n % 300}\n".encode() * (n % 7)) for n in range(COUNT)},
        "large": File(random.Random(word).randbytes(300_000), 0o600),
        "link": Link("large"),
        "same": Same("large"),
    }
    return nodes


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    """Those that were started; it takes little until they are."""
    monkeypatch.setattr(files, "POOL_FROM_FILES", 10)
    monkeypatch.setattr(files, "PART_FILES", 50)
    monkeypatch.setattr(files, "cores", lambda limit: min(limit, 2))
    for module in (files, sys.modules["epmstore.record.file_reader"]):
        monkeypatch.setattr(module, "PART_THRESHOLD", 100_000)
    started: list[Child] = []
    start: Callable[..., None] = Child.__init__

    def noted(child: Child, *arguments: object) -> None:
        start(child, *arguments)
        started.append(child)

    monkeypatch.setattr(Child, "__init__", noted)
    return started


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_they_make_what_one_process_makes(
    bench: Bench, children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench:
        wanted = bench.recorded(tree("old"))
        bench.live.export("0", bench.base / "there")
        assert len(children) == 2
        monkeypatch.setattr(files, "WORKERS", 1)
        bench.live.export("0", bench.base / "here")
        assert len(children) == 2
    assert picture(bench.base / "there") == picture(bench.base / "here") == wanted


def test_they_bring_a_root_back(bench: Bench, children: list[Child]) -> None:
    with bench:
        wanted = bench.recorded(tree("old"))
        bench.recorded(tree("new"))
        result = bench.live.checkout("0")
        assert children
        assert result.verified
        assert bench.picture() == wanted
        assert bench.leftovers() == []


def test_durable_files_are_made_in_this_process(
    bench: Bench, children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Children sync nothing, whatever their parent was asked for."""
    synced: list[int] = []
    monkeypatch.setattr(fsio, "sync_file", lambda fd: synced.append(os.fstat(fd).st_ino))
    stage = os.open(bench.base, os.O_RDONLY)
    with bench:
        bench.recorded(tree("old"))
        found = bench.store.entries.tree(bench.app.uuid, 0)
        entries = [entry for entry in found if entry.content is not None]
        wanted = [files.NewFile(RelPath(str(n)), entry) for n, entry in enumerate(entries)]
        done = files.make_files(
            stage, wanted, bench.store, privileged=False, syncs=True, progress=SILENT
        )
    os.close(stage)
    assert len(done) > COUNT
    assert {made.inode for _, made in done} <= set(synced)
    assert not children


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_one_that_dies_changes_nothing(
    bench: Bench, children: list[Child], end: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(child: Child, message: object) -> None:
        send(child, message)
        if isinstance(message, list):
            os.kill(child._process.pid, end)

    send = Child._send
    monkeypatch.setattr(Child, "_send", kill)
    with bench:
        bench.recorded(tree("old"))
        newer = bench.recorded(tree("new"))
        with pytest.raises(EpmError, match="died"):
            bench.live.checkout("0")
        with pytest.raises(EpmError, match="died"):
            bench.live.export("0", bench.base / "there")
        assert bench.picture() == newer
        assert bench.leftovers() == []
    assert sorted(os.listdir(bench.base)) == ["root", "store"]
    assert len(children) == 4
    assert all(child._process.returncode is not None for child in children)


def test_errors_of_children_are_those_of_one_process(bench: Bench, children: list[Child]) -> None:
    with bench:
        bench.recorded(tree("old"))
        [log] = [path for path in bench.store.packs.rglob("*") if path.is_file()]
        log.rename(bench.base / "elsewhere")
        with pytest.raises(DamagedError, match="cannot be read: 'large'"):
            bench.live.export("0", bench.base / "there")
        assert len(children) == 2
    assert sorted(os.listdir(bench.base)) == ["elsewhere", "root", "store"]


def test_a_staging_folder_goes_when_its_writers_are_gone(tmp_path: Path) -> None:
    """Their parent is dead, and its lock of the application is free."""
    root = os.open(tmp_path, os.O_RDONLY)
    stage = make_stage(root, ".epm-x")
    proof = StageProof.of(os.fstat(stage))
    assert files._lock(stage)
    orphan = subprocess.Popen(
        [sys.executable, "-c", "input(); open('.epm-x/7', 'w')"],
        stdin=subprocess.PIPE,
        pass_fds=(stage,),
        cwd=tmp_path,
    )
    os.close(stage)
    removal = threading.Thread(target=remove_stage, args=(root, ".epm-x", proof))
    removal.start()
    removal.join(0.3)
    assert removal.is_alive()
    orphan.communicate(b"\n")
    removal.join()
    os.close(root)
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_parent_that_is_killed_leaves_nobody_who_writes(tmp_path: Path) -> None:
    """Whoever recovers right after that finds the old tree or makes the new one."""
    root, store = tmp_path / "root", tmp_path / "store"
    command = [sys.executable, "-m", "epmstore", "checkout", "0", "--app", "crm", "--yes"]
    environment = {**os.environ, "EPMSTORE_STORE": str(store)}

    def fill(word: str) -> None:
        for n in range(files.POOL_FROM_FILES + 500):
            path = root / f"d{n % 40}" / f"f{n}"
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(f"{word} {n}\n" * 20)

    fill("old")
    with Workspace.init(store) as workspace:
        workspace.apps.add("crm", root)
        workspace.app("crm").snapshot()
        pictures = [picture(root)]
        fill("new")
        workspace.app("crm").snapshot()
        pictures.append(picture(root))
    staged = 0
    for seed in range(6):
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and not any(root.glob(".epm-*/1*")):
                time.sleep(0.002)
            time.sleep(random.Random(seed).random() * 0.1)
            process.kill()
        staged += any(root.glob(".epm-*"))
        with Workspace.open(store) as workspace:
            workspace.app("crm").recover()
        assert not any(root.glob(".epm-*"))
        assert picture(root) in pictures
        if picture(root) == pictures[0]:
            with Workspace.open(store) as workspace:
                workspace.app("crm").checkout("1")
    assert staged, "somebody was killed while there was a staging folder"
