"""Having things done by units of systemd: to change a root needs more rights than to record it.

Under its own unit the daemon sees every root read-only. Whether that is so is asked of the kernel,
and not of a setting: a daemon that an ordinary user runs in a terminal does everything itself.
"""

import os
import subprocess
from pathlib import Path
from typing import Final, Protocol

from epmstore.errors import EpmError

SYSTEMD: Final = Path("/run/systemd/system")
"""There where systemd is what runs the host."""
SECONDS: Final = 30.0


class Elsewhere(Protocol):
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
