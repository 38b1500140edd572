"""A command that is run and recorded: in this process's terminal, with what it leaves to be seen.

Knows nothing of an application: `recording.py` records around it.
"""

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from epmstore import limits
from epmstore.errors import UsageError
from epmstore.record import change


def as_label(command: Sequence[str]) -> str:
    """What log shows of a command that has no label. A catalog holds no text but UTF-8."""
    return os.fsencode(" ".join(change.shortened(command))).decode(errors="replace")


def check_startable(command: Sequence[str]) -> None:
    """Raises FileNotFoundError or PermissionError, as starting it would."""
    if not command:
        raise UsageError("a command has one word at least")
    folders = [""] if "/" in command[0] else os.get_exec_path()
    names = [os.path.join(folder, command[0]) for folder in folders]
    if any(os.path.isfile(name) and os.access(name, os.X_OK) for name in names):
        return
    is_there = os.path.dirname(command[0]) != "" and os.path.exists(command[0])
    number = errno.EACCES if is_there else errno.ENOENT
    raise OSError(number, os.strerror(number), command[0])


def run_command(command: Sequence[str]) -> int:
    """Run a command with this process's terminal; its exit status, 128 + n if a signal ended it.

    Ctrl-C is the command's: it gets the signal, too, and what it leaves behind is to be recorded.
    """
    with _interrupts_ignored():
        process = subprocess.Popen(command, umask=limits.umask_as_before())
        limits.allow_as_before(process.pid)
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """By this process alone: a handler, unlike SIG_IGN, is not inherited by a command."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted, and only it may say how
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
