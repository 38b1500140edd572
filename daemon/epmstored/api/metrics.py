"""Metrics in the text format of Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats

Written by hand: a client library keeps registries and threads' locks for what is asked once a
minute here, and takes longer to import than the rest of the API.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from epmstore import __version__
from epmstore.clock import from_rfc3339
from epmstore.limits import descriptors
from epmstored.app_state import AppState, WatchPhase
from epmstored.health import trouble_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(msgspec.Struct, frozen=True):
    labels: Mapping[str, str]
    value: float


class Family(msgspec.Struct, frozen=True):
    """One metric with all its samples."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]

    def lines(self) -> Iterable[str]:
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for sample in self.samples:
            labels = ",".join(f'{key}="{_escape(text)}"' for key, text in sample.labels.items())
            yield f"{self.name}{f'{{{labels}}}' if labels else ''} {_number(sample.value)}"


def render(families: Iterable[Family]) -> str:
    return "\n".join(line for family in families for line in family.lines()) + "\n"


def of_apps(
    states: Sequence[AppState], proven: Mapping[str, float], unexplained: Mapping[str, int]
) -> list[Family]:
    """`proven`: by application, when a version was last proven restorable (seconds since 1970);
    `unexplained`: changed files that no release accounts for.
    """

    def family(name: str, help: str, values: Mapping[str, float], kind: str = "gauge") -> Family:
        samples = [Sample({"app": app}, float(value)) for app, value in values.items()]
        return Family(f"epmstored_app_{name}", kind, help, samples)

    known = {s.app: s.version for s in states if s.version is not None}
    healthy = {s.app: float(trouble_of(s) is None) for s in states}
    return [
        _phases(states),
        family("healthy", "1 if it is recorded as it should be, or paused.", healthy),
        family(
            "recorded_timestamp_seconds", "When the newest version was recorded.",
            {s.app: from_rfc3339(s.recorded) for s in states if s.recorded},
        ),
        family(
            "looked_timestamp_seconds", "When everything was last looked at.",
            {s.app: from_rfc3339(s.looked) for s in states if s.looked},
        ),
        family(
            "progress_files", "Files done of a recording that takes long.",
            {s.app: s.doing.files for s in states if s.doing is not None},
        ),
        family("unstable_files", "Files that did not hold still.", _count(states, "unstable")),
        family("noisy_files", "Files recorded without content.", _count(states, "noisy")),
        family("version", "Newest version.", {app: float(v) for app, v in known.items()}),
        family("queue", "Folders that wait to be looked at.", {s.app: s.queue for s in states}),
        family("lag_seconds", "Age of the oldest unrecorded hint.", {s.app: s.lag for s in states}),
        family("watched", "Folders watched by the kernel.", {s.app: s.watched for s in states}),
        family("degraded", "1 if less is recorded than should be.", _degraded(states)),
        family(
            "drift_versions_total", "Drift versions recorded since the start.",
            {s.app: s.counters.drift_versions for s in states}, "counter",
        ),
        family(
            "overflows_total", "Times that events were lost, and all was looked at.",
            {s.app: s.counters.overflows for s in states}, "counter",
        ),
        family("proven_timestamp_seconds", "When a version was last proven restorable.", proven),
        family("unexplained_files", "Recorded changes that no release explains.", unexplained),
    ]  # fmt: skip


def _phases(states: Sequence[AppState]) -> Family:
    """One sample for each phase that there is: which are 0 is known, too."""
    samples = [
        Sample({"app": s.app, "phase": phase}, float(s.phase == phase))
        for s in states
        for phase in get_args(WatchPhase)
    ]
    return Family("epmstored_app_phase", "gauge", "1 for the phase that it is in.", samples)


def _count(states: Sequence[AppState], name: str) -> dict[str, float]:
    return {s.app: float(len(getattr(s, name))) for s in states}


def _degraded(states: Sequence[AppState]) -> dict[str, float]:
    return {s.app: float(bool(s.degraded or s.error or s.phase == "gone")) for s in states}


def of_process(
    store: Path,
    *,
    uptime: float,
    jobs: Mapping[str, int],
    requests: Counter[tuple[str, int]],
    damage: int,
    leap: float,
    healthy: bool,
) -> list[Family]:
    used = os.times()
    room = os.statvfs(store)
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    held = descriptors()
    return [
        _one("process_cpu_seconds_total", "Used.", used.user + used.system, kind="counter"),
        _one("process_resident_memory_bytes", "Memory.", resident),
        _one("process_start_time_seconds", "Since 1970.", time.time() - uptime),
        _one("process_open_fds", "Descriptors in use.", held.used),
        _one("process_max_fds", "Descriptors allowed.", held.soft),
        _one("epmstored_healthy", "1 if health says ok.", healthy),
        _one("epmstored_info", "The release that runs.", 1, version=__version__),
        _one("epmstored_uptime_seconds", "Since the start.", uptime),
        _one("epmstored_cpu_seconds_total", "Used.", used.user + used.system, kind="counter"),
        _one("epmstored_resident_bytes", "Memory.", resident),
        _one("epmstored_store_free_bytes", "Room beside the store.", room.f_bavail * room.f_frsize),
        _one("epmstored_store_damage", "Findings of the last check of the store.", damage),
        _one("epmstored_clock_leap_seconds", "How far the clock is ahead; 0: believed.", leap),
        Family(
            "epmstored_jobs", "gauge", "Jobs that are remembered.",
            [Sample({"state": state}, count) for state, count in jobs.items()],
        ),
        Family(
            "epmstored_requests_total", "counter", "Requests answered.",
            [
                Sample({"path": path, "status": str(status)}, count)
                for (path, status), count in sorted(requests.items())
            ],
        ),
    ]  # fmt: skip


def _one(name: str, help: str, value: float, *, kind: str = "gauge", **labels: str) -> Family:
    return Family(name, kind, help, [Sample(labels, float(value))])


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
