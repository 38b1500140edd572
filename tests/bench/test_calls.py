"""Reading what strace counted."""

from benchmarks.calls import read_table

TABLE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 40.00    0.000400           4       100        10 openat
 30.00    0.000300           3        90           read
 20.00    0.000200         100         2           fsync
 10.00    0.000100         100         1           syncfs
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           5       193        10 total
"""


def test_all_calls_and_those_that_sync() -> None:
    assert read_table(TABLE) == (193, 3)
