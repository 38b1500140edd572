"""What the API says, over a real store."""

import asyncio
import hashlib
import os
import re
import threading
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from epmstore.atomic import temporary_name
from epmstore.cli.main import main
from epmstore.workspace import Workspace
from epmstore.workspace.vendors import Source
from epmstored.api import answers
from epmstored.api.connection import ConnectionLimits
from epmstored.api.core import NoProofs
from epmstored.app_state import WatchPhase
from epmstored.gauge import Doing

if TYPE_CHECKING:
    from tests.daemon.api.conftest import Server, Start


async def test_health(server: "Server") -> None:
    found = await server.get("/v1/health")
    assert found.status == 200
    assert found.headers["epmstore-protocol"] == "1"
    assert found.shape["ok"] is True and found.shape["apps"] == 1
    [app] = found.shape["applications"]
    assert (app["app"], app["ok"], app["reason"]) == ("crm", True, None)


@pytest.mark.parametrize("phase", get_args(WatchPhase))
async def test_health_is_one_answer_in_every_place(server: "Server", phase: WatchPhase) -> None:
    """The status of HTTP, what the body says, the reasons and the metrics: for `curl -f`, for a
    person and for Prometheus.
    """
    is_well = phase not in ("starting", "gone", "error")
    server.core.set("crm", phase=phase, error=None if is_well else "the disk is on fire")
    found = await server.get("/v1/health")
    assert found.status == (200 if is_well else 503)
    assert found.shape["ok"] is is_well
    [app] = found.shape["applications"]
    assert (app["app"], app["state"], app["ok"]) == ("crm", phase, is_well)
    assert bool(app["reason"]) is not is_well
    assert bool(found.shape["reasons"]) is not is_well
    if phase in ("gone", "error"):
        assert found.shape["reasons"] == ["crm: the disk is on fire"]
    lines = (await server.get("/metrics")).body.decode().splitlines()
    assert f"epmstored_healthy {int(is_well)}" in lines
    assert f'epmstored_app_healthy{{app="crm"}} {int(is_well)}' in lines
    phases = [line for line in lines if line.startswith("epmstored_app_phase{")]
    assert len(phases) == len(get_args(WatchPhase))
    assert [line for line in phases if line.endswith(" 1")] == [
        f'epmstored_app_phase{{app="crm",phase="{phase}"}} 1'
    ]


async def test_a_clock_that_leapt_is_said_in_every_place(start: "Start") -> None:
    proofs = NoProofs()
    async with start(proofs=proofs) as server:
        found = (await server.get("/v1/health")).shape
        assert found["ok"] and found["clock_ahead"] is None
        assert "epmstored_clock_leap_seconds 0" in (await server.get("/metrics")).body.decode()
        proofs.leap = -90_000.4
        reply = await server.get("/v1/health")
        assert (reply.status, reply.shape["clock_ahead"]) == (503, -90_000)
        [reason] = reply.shape["reasons"]
        assert "the clock leapt: it is 1d1h behind" in reason
        lines = (await server.get("/metrics")).body.decode().splitlines()
        assert {"epmstored_clock_leap_seconds -90000.4", "epmstored_healthy 0"} <= {*lines}


async def test_metrics_are_named_as_prometheus_wants_it(server: "Server") -> None:
    """https://prometheus.io/docs/practices/naming"""
    server.core.set(
        "crm", version=1, recorded="2026-01-01T00:00:00Z", looked="2026-01-01T00:00:00Z",
        doing=Doing("recording", 5, None, 7, None),
    )  # fmt: skip
    kinds: dict[str, str] = {}
    seen = set()
    for line in (await server.get("/metrics")).body.decode().splitlines():
        words = line.split(" ", 3)
        if words[:2] == ["#", "TYPE"]:
            assert words[2] not in kinds, "one family is one block"
            kinds[words[2]] = words[3]
        elif words[0] != "#":
            sample = line.rpartition(" ")[0]
            assert sample not in seen
            seen.add(sample)
            assert sample.partition("{")[0] == [*kinds][-1], "samples follow their own family"
    for name, kind in kinds.items():
        assert re.fullmatch(r"(epmstored|process)_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|minutes|kb|mb|percent)(_|$)", name), name
    assert {"process_open_fds", "process_max_fds", "process_start_time_seconds"} <= set(kinds)
    assert kinds["epmstored_app_progress_files"] == "gauge"


async def test_status_of_all(server: "Server") -> None:
    server.core.set("crm", queue=3, lag=1.5, degraded=("no more watches",))
    [row] = (await server.get("/v1/status")).shape["apps"]
    assert (row["app"], row["state"], row["queue"], row["lag"]) == ("crm", "watching", 3, 1.5)
    assert row["degraded"] == ["no more watches"]


async def test_an_application_that_was_just_registered_is_looked_for(server: "Server") -> None:
    await server.get("/v1/status")
    assert server.core.reloads == 0
    other = server.root.parent / "erp"
    other.mkdir()
    with Workspace.open(server.store) as workspace:
        workspace.apps.add("erp", other)
    await server.get("/v1/status")
    assert server.core.reloads == 1


async def test_temporary_catalogs_are_not_counted(server: "Server") -> None:
    """It is gone as soon as it is one: between being listed and being looked at, perhaps."""
    (server.store / "catalogs" / temporary_name()).symlink_to("what is gone")
    assert (await server.get("/v1/apps/crm/status")).status == 200


async def test_status_says_what_a_scan_says(server: "Server") -> None:
    (server.root / "new").write_bytes(b"")
    found = (await server.get("/v1/apps/crm/status")).shape
    assert (found["clean"], found["added"], found["version"]) == (False, ["new"], 0)
    assert found["daemon"]["state"] == "watching"


async def test_a_known_status_is_not_scanned_for_again(server: "Server") -> None:
    assert (await server.get("/v1/apps/crm/status")).shape["clean"] is True
    (server.root / "new").write_bytes(b"")  # which this supervisor does not notice
    assert (await server.get("/v1/apps/crm/status")).shape["clean"] is True
    assert server.core.hints == []
    assert (await server.get("/v1/apps/crm/status?scan=true")).shape["clean"] is False
    assert server.core.hints == [("crm", {""})], "and it is told so"


@pytest.mark.parametrize(
    "change",
    [{"quiet": False}, {"phase": "polling"}, {"held": "run"}, {"error": "x"}, {"degraded": ("x",)}],
)
async def test_where_something_may_have_happened_it_is_looked_at(
    server: "Server", change: dict[str, object]
) -> None:
    assert (await server.get("/v1/apps/crm/status")).shape["clean"] is True
    (server.root / "new").write_bytes(b"")
    server.core.set("crm", **change)
    assert (await server.get("/v1/apps/crm/status")).shape["clean"] is False


async def test_a_version_that_somebody_else_recorded_is_noticed(server: "Server") -> None:
    assert (await server.get("/v1/apps/crm/status")).shape["version"] == 0
    (server.root / "new").write_bytes(b"")
    with Workspace.open(server.store) as workspace:
        workspace.app("crm").snapshot()
    assert (await server.get("/v1/apps/crm/status")).shape["version"] == 1


async def test_versions_come_in_pages(server: "Server") -> None:
    with Workspace.open(server.store) as workspace:
        for number in range(5):
            (server.root / "new").write_text(str(number))
            workspace.app("crm").snapshot(f"number {number}")
    first = (await server.get("/v1/apps/crm/versions?limit=4")).shape
    assert [v["version"] for v in first["versions"]] == [5, 4, 3, 2]
    second = (await server.get(f"/v1/apps/crm/versions?limit=4&before={first['next']}")).shape
    assert [v["version"] for v in second["versions"]] == [1, 0]
    assert second["next"] is None


async def test_diff_comes_in_pages(server: "Server") -> None:
    for name in ("a", "b", "c"):
        (server.root / name).write_bytes(b"")
    first = (await server.get("/v1/apps/crm/diff?limit=2")).shape
    assert [c["path"] for c in first["changes"]] == ["a", "b"]
    assert (first["added"], first["clean"], first["to"]) == (3, False, "now")
    second = (await server.get(f"/v1/apps/crm/diff?limit=2&after={first['next']}")).shape
    assert [c["path"] for c in second["changes"]] == ["c"]


async def test_verify_says_what_each_path_is_to_the_vendor(server: "Server") -> None:
    assert (await server.get("/v1/apps/crm/verify")).shape["error"] == "not_found"
    store = ("--store", str(server.store), "--quiet")
    assert main(["release", "init", "crm", *store]) == 0
    assert main(["release", "add", "crm", str(server.root), *store]) == 0
    [refcat] = (server.store / "catalogs").glob("*.refcat.zst")
    with Workspace.open(server.store) as workspace:
        workspace.apps.bind("crm", refcat.name.partition(".")[0])
    found = await server.get("/v1/apps/crm/verify")
    assert found.status == 200, found.body
    assert found.shape["clean"] is True
    for name in ("a", "b", "c"):
        (server.root / name).write_bytes(b"nobody's")
    first = (await server.get("/v1/apps/crm/verify?limit=2")).shape
    assert (first["clean"], first["release"], first["counts"]["unknown"]) == (False, 0, 3)
    second = (await server.get(f"/v1/apps/crm/verify?limit=2&after={first['next']}")).shape
    both = [*first["findings"], *second["findings"]]
    assert [(one["path"], one["class"]) for one in both] == [(n, "unknown") for n in "abc"]
    assert second["next"] is None
    assert (await server.get("/v1/apps/crm/verify?release=9")).status == 404


async def test_a_content(server: "Server") -> None:
    data = (server.root / "bin" / "crmd").read_bytes()
    found = await server.get(f"/v1/blobs/{hashlib.sha1(data).hexdigest()}")
    assert (found.status, found.body) == (200, data)
    assert found.headers["content-disposition"] == "attachment"
    assert os.listdir(server.store / "scratch") == []


async def test_a_large_content_comes_in_pieces(server: "Server") -> None:
    data = os.urandom(9 << 20)
    (server.root / "large").write_bytes(data)
    with Workspace.open(server.store) as workspace:
        workspace.app("crm").snapshot()
    found = await server.get(f"/v1/blobs/{hashlib.sha1(data).hexdigest()}")
    assert found.body == data


async def test_no_byte_of_a_damaged_content_is_sent(server: "Server") -> None:
    data = (server.root / "bin" / "crmd").read_bytes()
    for pack in (server.store / "packs").rglob("*"):
        if pack.is_file():
            flip(pack)
    found = await server.get(f"/v1/blobs/{hashlib.sha1(data).hexdigest()}")
    assert found.status == 500
    assert (found.shape["error"], found.shape["exit_code"]) == ("damaged", 6)
    assert b"program" not in found.body
    assert os.listdir(server.store / "scratch") == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_content_that_comes_too_late_leaves_nothing(
    start: "Start", monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, go_on, fetched = answers.fetch_blob, threading.Event(), threading.Event()

    def slowly(workspace: Workspace, digest: str) -> FileIO:
        go_on.wait(10)
        try:
            return fetch(workspace, digest)
        finally:
            fetched.set()

    monkeypatch.setattr(answers, "fetch_blob", slowly)
    async with start(limits=ConnectionLimits(request=0.05)) as server:
        data = (server.root / "bin" / "crmd").read_bytes()
        found = await server.get(f"/v1/blobs/{hashlib.sha1(data).hexdigest()}")
        assert found.shape["error"] == "timeout"
        go_on.set()
        assert await asyncio.to_thread(fetched.wait, 10)
        assert os.listdir(server.store / "scratch") == []


def flip(pack: Path) -> None:
    """One bit in every 16 bytes: whatever is read of it is damaged."""
    data = bytearray(pack.read_bytes())
    for place in range(8, len(data), 16):
        data[place] ^= 1
    pack.write_bytes(data)


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        (f"/v1/blobs/{'0' * 40}", 404, "blob_not_found"),
        ("/v1/blobs/xyz", 400, "usage"),
        ("/v1/blobs/..%2f..%2fetc%2fpasswd", 400, "usage"),
        ("/v1/apps/erp/status", 404, "app_not_found"),
        ("/v1/apps/erp/versions", 404, "app_not_found"),
        ("/v1/apps/crm/diff?from=77", 404, "version_not_found"),
        ("/v1/apps/crm/diff?from=%20", 400, "usage"),
        ("/v1/apps/crm/versions?limit=0", 400, "usage"),
        ("/v1/apps/crm/versions?limit=100000", 400, "usage"),
        ("/v1/apps/crm/versions?frob=1", 400, "usage"),
        ("/v1/apps/crm/versions?limit=1&limit=2", 400, "usage"),
        ("/v1/jobs/zzz", 404, "job_not_found"),
        ("/v1/nothing", 404, "no_such_path"),
        ("/", 404, "no_such_path"),
    ],
)
async def test_errors_have_one_shape(server: "Server", path: str, status: int, error: str) -> None:
    found = await server.get(path)
    assert (found.status, found.shape["error"]) == (status, error)
    assert set(found.shape) == {"type", "app", "error", "exit_code", "message", "hint", "data"}


async def test_pause_and_resume(server: "Server") -> None:
    [row] = (await server.post("/v1/pause", {"app": "crm"})).shape["apps"]
    assert row["state"] == "paused"
    [row] = (await server.post("/v1/resume", {})).shape["apps"]
    assert row["state"] == "watching"
    assert (await server.post("/v1/pause", {"app": "erp"})).status == 404


async def test_metrics(server: "Server") -> None:
    server.core.set("crm", version=7, queue=2)
    await server.get("/v1/health")
    found = await server.get("/metrics")
    lines = found.body.decode().splitlines()
    assert 'epmstored_app_version{app="crm"} 7' in lines
    assert 'epmstored_app_queue{app="crm"} 2' in lines
    assert 'epmstored_requests_total{path="/v1/health",status="200"} 1' in lines
    for line in lines:
        assert (
            line.startswith("# ")
            or line.rpartition(" ")[2].replace(".", "").replace("e+", "").isdigit()
        ), line


async def test_only_what_no_release_explains_is_in_the_metric(
    server: "Server", recorded: tuple[Path, Path]
) -> None:
    store, root = recorded

    async def unexplained() -> list[str]:
        lines = (await server.get("/metrics")).body.decode().splitlines()
        return [line for line in lines if line.startswith("epmstored_app_unexplained_files{")]

    assert await unexplained() == []  # without a catalog nobody can say
    with Workspace.open(store) as workspace:
        app = workspace.apps.get("crm").uuid
        workspace.vendors.init("crm")
        workspace.vendors.add("crm", Source(app=app, version=0))
    assert await unexplained() == ['epmstored_app_unexplained_files{app="crm"} 0']
    (root / "nobodys").write_bytes(b"shipped by nobody")
    with Workspace.open(store) as workspace:
        workspace.app("crm").snapshot()
    assert await unexplained() == ['epmstored_app_unexplained_files{app="crm"} 1']


async def test_metrics_can_be_off(start: "Start") -> None:
    async with start(with_metrics=False) as server:
        assert (await server.get("/metrics")).status == 404


async def test_events_tell_of_changes(server: "Server") -> None:
    reader, writer = await server.connect()
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    assert b'"state":"watching"' in await reader.readuntil(b"\n\n")
    server.core.set("crm", phase="paused")
    async with asyncio.timeout(20):
        while b'"state":"paused"' not in await reader.readuntil(b"\n\n"):
            pass
    writer.close()
