"""The standard streams, before anything is read or written."""

import io
import os
import sys

COMPLETE = "_EPMSTORE_COMPLETE"
BROKEN_PIPE = 141
"""128 + SIGPIPE: what a shell shows for any tool whose reader went away."""


def prepare_streams() -> None:
    """No file of a store may ever get the number of a closed standard stream."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
    sys.stdout = sys.stdout or io.TextIOWrapper(io.BytesIO())
    sys.stderr = sys.stderr or io.TextIOWrapper(io.BytesIO())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_output_broken() -> bool:
    """Whether it is standard output that cannot be written: what is left in it still cannot. It is
    thrown away then, so that it is not tried again at the end.
    """
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = io.StringIO()
        return True
    return False
