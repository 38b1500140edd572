"""The daemon as a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

STARTS = [sys.executable, "-c", "import sys; from epmstored.main import main; sys.exit(main())"]


class Daemon:
    """Runs until `stop` or `kill`; what it says is kept line by line."""

    def __init__(
        self, store: Path, *before: str, starts: Sequence[str] = STARTS, **environ: str
    ) -> None:
        """`before` is a command that is given ours, `starts`."""
        self.lines: list[str] = []
        self._more = threading.Condition()
        self.process = subprocess.Popen(
            [*before, *starts, "run", "--store", str(store)],
            stderr=subprocess.PIPE,
            env={**os.environ, **environ},
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, pattern: str, *, after: int = 0, timeout: float = 60) -> int:
        """The number of lines up to the first that matches, from line `after` on."""

        def found() -> int | None:
            for number, line in enumerate(self.lines[after:], after + 1):
                if re.search(pattern, line):
                    return number
            return None

        with self._more:
            self._more.wait_for(lambda: found() or not self._reader.is_alive(), timeout)
        number = found()
        assert number, f"no {pattern!r} in {self.lines[after:]}"
        return number

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        self.process.kill()
        self._ended()

    def _ended(self) -> int:
        code = self.process.wait(60)
        self._reader.join()
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._more:
                    self.lines.append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            self._more.notify_all()


@contextmanager
def running(store: Path, *before: str, **environ: str) -> Iterator[Daemon]:
    """A daemon that is ready; killed at the end if it still runs."""
    daemon = Daemon(store, *before, **environ)
    try:
        daemon.wait_for("INFO: ready")
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
