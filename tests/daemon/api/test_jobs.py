"""Jobs: begun, followed, failed, cancelled; and never two at once that want the same."""

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from epmstore import locks
from epmstore.catalog.hooks import Hooks
from epmstore.errors import DamagedError
from epmstore.places import DAEMON_LOCK
from epmstore.workspace import Workspace
from epmstored.api.forms import Checkout, JobSpec
from epmstored.api.jobs import WAITING
from epmstored.api.work import Work, options_of

if TYPE_CHECKING:
    from tests.daemon.api.conftest import Server, Start


async def test_a_snapshot(server: "Server") -> None:
    (server.root / "new").write_bytes(b"")
    found = await server.job({"kind": "snapshot", "app": "crm", "label": "by hand"})
    assert found["state"] == "done"
    assert (found["result"]["version"], found["result"]["added"]) == (1, 1)
    with Workspace.open(server.store) as workspace:
        newest = workspace.app("crm").versions()[-1]
    assert (newest.label, newest.record.actor["via"]) == ("by hand", "api")  # type: ignore[index]


async def test_a_checkout(server: "Server") -> None:
    (server.root / "crm.conf").write_text("port = 2\n")
    found = await server.job(
        {"kind": "checkout", "app": "crm", "version": "0", "paths": ["crm.conf"]}
    )
    assert found["state"] == "done", found
    assert (server.root / "crm.conf").read_text() == "port = 1\n"
    assert found["result"]["verified"] is True


async def test_a_checkout_runs_hooks_unless_told_not_to(server: "Server", tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with Workspace.open(server.store) as workspace:
        workspace.apps.set("crm", hooks=Hooks(stop=("touch", str(ran))))
    (server.root / "crm.conf").write_text("port = 2\n")
    spec = {"kind": "checkout", "app": "crm", "version": "0", "config": "restore"}
    found = await server.job({**spec, "no_hooks": True})
    assert (found["state"], ran.exists()) == ("done", False), found
    (server.root / "crm.conf").write_text("port = 3\n")
    found = await server.job(spec)
    assert (found["state"], ran.exists()) == ("done", True), found


async def test_a_checkout_can_ask_to_be_confirmed(server: "Server") -> None:
    (server.root / "crm.conf").write_text("port = 2\n")
    spec = {"kind": "checkout", "app": "crm", "version": "0", "config": "restore", "confirm": 300}
    found = await server.job(spec)
    assert found["error"]["message"].startswith("nobody would undo it"), "there is no daemon"
    with locks.hold(server.store / "locks", DAEMON_LOCK):
        found = await server.job(spec)
    assert found["state"] == "done", found
    with Workspace.open(server.store) as workspace:
        pending = workspace.app("crm").obligations.pending
    assert pending is not None and 200 < pending.seconds <= 300


def test_a_unit_is_given_the_same_options() -> None:
    spec = Checkout(app="crm", version="0", live=True, no_hooks=True, confirm=90)
    assert options_of(spec) == ["--live", "--no-hooks", "--confirm", "90.000s"]
    assert options_of(Checkout(app="crm", version="0")) == []


async def test_fsck_and_gc(server: "Server") -> None:
    found = await server.job({"kind": "fsck", "read_data": 1})
    assert found["result"]["clean"] is True and found["result"]["frames"] > 0
    assert (await server.job({"kind": "gc", "dry_run": True}))["result"]["dry_run"] is True


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"kind": "checkout", "app": "crm", "version": "77"}, "version_not_found"),
        ({"kind": "checkout", "app": "crm", "version": "0", "paths": ["../x"]}, "invalid_name"),
        ({"kind": "checkout", "app": "crm", "version": "0", "paths": ["/etc"]}, "invalid_name"),
    ],
)
async def test_a_job_that_fails_says_why(
    server: "Server", spec: dict[str, Any], error: str
) -> None:
    found = await server.job(spec)
    assert (found["state"], found["error"]["error"]) == ("failed", error)
    assert found["result"] is None
    [listed] = (await server.get("/v1/jobs")).shape["jobs"]
    assert listed == found


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"kind": "frob"},
        {"kind": "snapshot"},
        {"kind": "snapshot", "app": ""},
        {"kind": "snapshot", "app": "crm", "root": "/etc"},
        {"kind": "fsck", "read_data": 2},
        {"kind": "fsck", "read_data": -1},
        {"kind": "checkout", "app": "crm", "version": "0", "config": "frob"},
        {"kind": "checkout", "app": "crm", "version": "0", "paths": [""]},
        {"kind": "checkout", "app": "crm", "version": 0},
        {"kind": "checkout", "app": "crm", "version": "0", "confirm": 1},
        {"kind": "checkout", "app": "crm", "version": "0", "no_hooks": "yes"},
    ],
    ids=str,
)
async def test_malformed_jobs_are_refused(server: "Server", spec: dict[str, Any]) -> None:
    found = await server.post("/v1/jobs", spec)
    assert (found.status, found.shape["error"]) == (400, "usage")
    assert (await server.get("/v1/jobs")).shape["jobs"] == []


@pytest.mark.parametrize("app", ["erp", "../x"])
@pytest.mark.parametrize(
    "spec", [{"kind": "snapshot"}, {"kind": "checkout", "version": "0"}], ids=str
)
async def test_an_application_that_is_not_there_gets_no_job(
    server: "Server", spec: dict[str, Any], app: str
) -> None:
    found = await server.post("/v1/jobs", {**spec, "app": app})
    assert (found.status, found.shape["error"]) == (404, "app_not_found")
    assert (await server.get("/v1/jobs")).shape["jobs"] == []


class Gate:
    """Work that waits in the middle until it is let through."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.leave = threading.Event()
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()

    def perform(self, spec: JobSpec, workspace: Workspace) -> dict[str, Any]:
        progress = workspace._progress
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.entered.release()
        try:
            progress.begin("waiting", files=2)
            self.leave.wait(20)
            progress.advance(files=1)
            return Work().perform(spec, workspace)
        finally:
            with self._lock:
                self.inside -= 1


async def until(server: "Server", job: str, state: str) -> dict[str, Any]:
    """The job as it is when it has come to a state."""
    reader, writer = await server.connect()
    writer.write(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(20):
        while f'"state":"{state}"'.encode() not in await reader.readuntil(b"\n\n"):
            pass
    writer.close()
    return (await server.get(f"/v1/jobs/{job}")).shape


async def test_two_jobs_for_one_application_run_one_after_the_other(start: "Start") -> None:
    gate = Gate()
    async with start(perform=gate.perform) as server:
        jobs = [
            (await server.post("/v1/jobs", {"kind": "snapshot", "app": "crm"})).shape["id"]
            for _ in range(4)
        ]
        assert await asyncio.to_thread(gate.entered.acquire, timeout=20)
        states = {job["state"] for job in (await server.get("/v1/jobs")).shape["jobs"]}
        assert states == {"running", "queued"}
        gate.leave.set()
        for job in jobs:
            await until(server, job, "done")
        assert gate.most == 1


async def test_progress_can_be_followed(start: "Start") -> None:
    gate = Gate()
    async with start(perform=gate.perform) as server:
        job = (await server.post("/v1/jobs", {"kind": "gc"})).shape["id"]
        await asyncio.to_thread(gate.entered.acquire, timeout=20)
        reader, writer = await server.connect()
        writer.write(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(20):
            while b'"what":"waiting","files":0,"files_total":2' not in await reader.readuntil(
                b"\n\n"
            ):
                pass
            gate.leave.set()
            assert b'"state":"done"' in await reader.read()
        writer.close()


async def test_a_job_that_waits_is_cancelled_at_once(start: "Start") -> None:
    gate = Gate()
    async with start(perform=gate.perform) as server:
        await server.post("/v1/jobs", {"kind": "snapshot", "app": "crm"})
        waiting = (await server.post("/v1/jobs", {"kind": "snapshot", "app": "crm"})).shape["id"]
        found = await server.post(f"/v1/jobs/{waiting}/cancel", {})
        assert found.shape["state"] == "cancelled"
        gate.leave.set()


async def test_a_job_that_runs_is_stopped_where_that_is_safe(start: "Start") -> None:
    gate = Gate()
    async with start(perform=gate.perform) as server:
        job = (await server.post("/v1/jobs", {"kind": "gc"})).shape["id"]
        await asyncio.to_thread(gate.entered.acquire, timeout=20)
        assert (await server.post(f"/v1/jobs/{job}/cancel", {})).status == 200
        gate.leave.set()
        assert (await until(server, job, "cancelled"))["error"] is None


async def test_a_checkout_that_runs_is_not_stopped(start: "Start") -> None:
    gate = Gate()
    async with start(perform=gate.perform) as server:
        spec = {"kind": "checkout", "app": "crm", "version": "0"}
        job = (await server.post("/v1/jobs", spec)).shape["id"]
        await asyncio.to_thread(gate.entered.acquire, timeout=20)
        refused = await server.post(f"/v1/jobs/{job}/cancel", {})
        assert (refused.status, refused.shape["error"]) == (409, "conflict")
        gate.leave.set()
        assert (await until(server, job, "done"))["result"]["version"] == 0


async def test_no_more_wait_than_fit(start: "Start") -> None:
    gate = Gate()
    async with start(perform=gate.perform) as server:
        for _ in range(WAITING + 1):
            await server.post("/v1/jobs", {"kind": "gc"})
            gate_entered = (await server.get("/v1/jobs")).shape["jobs"][-1]["state"]
        assert gate_entered == "running"
        found = await server.post("/v1/jobs", {"kind": "gc"})
        assert (found.status, found.headers["retry-after"]) == (503, "1")
        gate.leave.set()


async def test_unexpected_errors_fail_only_their_job(start: "Start") -> None:
    def broken(spec: JobSpec, workspace: Workspace) -> dict[str, Any]:
        if isinstance(spec, Checkout):
            raise DamagedError("a pack is damaged", file="x")
        raise ZeroDivisionError

    async with start(perform=broken) as server:
        found = await server.job({"kind": "gc"})
        assert (found["state"], found["error"]["error"]) == ("failed", "unexpected")
        spec = {"kind": "checkout", "app": "crm", "version": "0"}
        assert (await server.job(spec))["error"]["exit_code"] == 6


async def test_a_daemon_that_stops_lets_a_job_end_and_begins_no_other(start: "Start") -> None:
    gate = Gate()
    async with start(perform=gate.perform) as server:
        first = (await server.post("/v1/jobs", {"kind": "gc"})).shape["id"]
        second = (await server.post("/v1/jobs", {"kind": "gc"})).shape["id"]
        await asyncio.to_thread(gate.entered.acquire, timeout=20)
        gate.leave.set()
    assert server.api.jobs.get(second).state == "cancelled"
    assert server.api.jobs.get(first).has_ended or server.api.jobs.get(first).meter.stop.is_set()
    assert gate.most == 1
