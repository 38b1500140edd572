"""`racer.py ONE TWO`: two names swap what they name, as fast as can be, until a line comes in."""

import ctypes
import os
import select
import sys

_EXCHANGE = 2
_AT_FDCWD = -100
BATCH = 1000


def main() -> None:
    one, two = map(os.fsencode, sys.argv[1:3])
    swap = ctypes.CDLL(None, use_errno=True).renameat2
    swaps = 0
    sys.stdout.write("running\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0)[0]:
        for _ in range(BATCH):
            swaps += swap(_AT_FDCWD, one, _AT_FDCWD, two, _EXCHANGE) == 0
    sys.stdout.write(f"{swaps}\n")


if __name__ == "__main__":
    main()
