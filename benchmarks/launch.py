"""Run one shell command; print seconds, seconds of CPU, peak memory in KiB and exit code.

A process of its own, started with `python -I -S`, because Linux counts the memory that a parent had
when it started a program towards that program's peak: this parent is small. The command's own
output goes to stderr.
"""

import os
import sys
import time


def main() -> None:
    command = sys.argv[1]
    start = time.perf_counter()
    files = [(os.POSIX_SPAWN_DUP2, 2, 1)]
    child = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ, file_actions=files)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    cpu = usage.ru_utime + usage.ru_stime
    print(seconds, cpu, usage.ru_maxrss, os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
