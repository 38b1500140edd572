"""`marked.py ARGS...`: `epmstore ARGS`, which looks for the file `/epm-call/NAME` before each
mutating call, so that a trace of its system calls shows which of them `fsio` knows of.
"""

import contextlib
import os
import sys

from epmstore import fsio
from epmstore.cli.program import run

MARK = "/epm-call/"


def mark(call: str, arguments: tuple[object, ...]) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.stat(MARK + call)


if __name__ == "__main__":
    fsio.install_fault(mark)
    sys.exit(run(sys.argv[1:]))
