"""`killer.py SIGNAL N FILE ARGS...`: `epmstore ARGS`, which gets SIGNAL before its N-th mutating
call.

With N = 0 it gets none, and writes how many such calls it made to FILE. What SQLite writes by
itself is not counted: kills at random times are for that.
"""

import itertools
import os
import signal
import sys
from pathlib import Path

from epmstore import fsio
from epmstore.cli.program import run


def main() -> int:
    number = signal.Signals[sys.argv[1]]
    last, report = int(sys.argv[2]), Path(sys.argv[3])
    calls = itertools.count(1)
    made = 0

    def fault(call: str, arguments: tuple[object, ...]) -> None:
        nonlocal made
        made = next(calls)
        if made == last:
            os.kill(os.getpid(), number)

    fsio.install_fault(fault)
    code = run(sys.argv[4:])
    fsio.install_fault(None)
    report.write_text(str(made))
    return code


if __name__ == "__main__":
    sys.exit(main())
