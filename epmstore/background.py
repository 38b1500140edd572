"""Work that goes on in a thread while its caller does something else. It pays for what needs no
interpreter: SQLite at work on one long statement, say.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[None]:
    """`work` is done in another thread while the block runs, and has ended when the block is left,
    come what may: what it works on may be taken from it then. Raises what `work` raised, unless the
    block itself failed.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        _await_end(thread)
    for error in failed:
        raise error


def _await_end(thread: threading.Thread) -> None:
    """Raises what interrupted the waiting, but not before the end."""
    interrupt: BaseException | None = None
    while thread.is_alive():
        try:
            thread.join()
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
