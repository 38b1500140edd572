"""Having things done by units of systemd: to change a root needs more rights than to record it.

Under its own unit the daemon sees every root read-only. Whether that is so is asked of the kernel,
and not of a setting: a daemon that an ordinary user runs in a terminal does everything itself.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from epmstore.atomic import make_directories, read_file, remove_file, replace_file, replace_read
from epmstore.checkout.planfile import decode_plan, encode_plan
from epmstore.checkout.request import Prepared
from epmstore.errorform import error_from_form
from epmstore.errors import EpmError

SYSTEMD: Final = Path("/run/systemd/system")
"""There where systemd is what runs the host."""
SECONDS: Final = 30.0
APPLY: Final = "epmstore-apply@{}.service"
PLANS: Final = Path("/run/epmstore/apply")
"""Where that unit looks for its plan, and leaves what came of it."""
LIMIT: Final = 64 << 20


class SystemdJobError(EpmError):
    """What the command that a unit ran ended with: its code, its exit code."""


class SystemdJobs(Protocol):
    def is_needed(self, root: str) -> bool:
        """Whether this process cannot change the root, and systemd can have it done."""
        ...

    def start(self, unit: str, *, wait: bool) -> None:
        """Start a unit, and wait for the end of a oneshot. Raises EpmError."""
        ...


class Systemd:
    """The real one."""

    def is_needed(self, root: str) -> bool:
        if not SYSTEMD.is_dir():
            return False
        try:
            return bool(os.statvfs(root).f_flag & os.ST_RDONLY)
        except OSError:
            return False

    def start(self, unit: str, *, wait: bool) -> None:
        command = ["systemctl", "start", *([] if wait else ["--no-block"]), "--", unit]
        limit = None if wait else SECONDS
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EpmError(f"{unit} could not be started: {error}") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise EpmError(
                f"{unit} failed: {said or f'exit status {done.returncode}'}",
                hint=f"`systemctl status {unit}`",
            )


def apply_by_systemd(
    plan: Prepared, systemd: SystemdJobs, options: Sequence[str] = (), *, folder: Path = PLANS
) -> dict[str, Any]:
    """Have a plan carried out by a unit, with options of `epmstore apply`: the `result` of
    docs/json.md. Raises EpmError, OSError.
    """
    job = secrets.token_hex(8)
    make_directories(folder)
    files = {kind: folder / f"{job}.{kind}" for kind in ("env", "plan", "out", "err")}
    try:
        replace_file(files["env"], f"OPTIONS={' '.join(options)}\n".encode())
        replace_read(files["plan"], encode_plan(plan), decode_plan)
        failure: EpmError | None = None
        try:
            systemd.start(APPLY.format(job), wait=True)
        except EpmError as error:
            failure = error
        result = _last_object(files["out"], "result")
        if result is not None:  # exit code 3 fails a unit, and is a result
            return result
        said = _last_object(files["err"], "error")
        if said is not None:
            raise error_from_form(said, SystemdJobError)
        raise failure or EpmError(f"{APPLY.format(job)} said nothing")
    finally:
        for path in files.values():
            remove_file(path)


def _last_object(path: Path, kind: str) -> dict[str, Any] | None:
    """The last line of a file that is a JSON object of this type."""
    try:
        lines = read_file(path, LIMIT).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("type") == kind:
            return found
    return None
