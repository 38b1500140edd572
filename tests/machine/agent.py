"""Runs inside the machine: carries out what comes over the second serial line, one JSON object a
line, and answers in the same way. Needs Python alone.

Asked {"id", "words", "timeout"}, it says {"id", "code", "out", "err"}; commands run side by side.
"""

import json
import os
import subprocess
import sys
import threading
import tty
from pathlib import Path
from typing import Any

LINE = "/dev/ttyS1"
GONE = 124
"""The exit code of what took too long, as `timeout` has it."""


def carry_out(asked: dict[str, Any]) -> dict[str, Any]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            asked["words"], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/",
            errors="replace", env=environment, timeout=asked["timeout"], check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"code": GONE, "out": "", "err": "timed out"}
    except OSError as error:
        return {"code": 127, "out": "", "err": str(error)}
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


class Line:
    """The serial line; answers do not mix."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd)
        self._lock = threading.Lock()

    def say(self, **answer: object) -> None:
        data = json.dumps(answer).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]

    def __iter__(self) -> "Line":
        return self

    def __next__(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            line += os.read(self._fd, 4096)
        return bytes(line)


def main() -> int:
    line = Line(LINE)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    line.say(hello=boot)

    def work(asked: dict[str, Any]) -> None:
        line.say(id=asked["id"], **carry_out(asked))

    for text in line:
        for one in text.splitlines():
            threading.Thread(target=work, args=(json.loads(one),), daemon=True).start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
