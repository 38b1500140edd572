"""Work that goes on in a thread while its caller does something else. It pays for what needs no
interpreter: SQLite at work on one long statement, say.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """`work` is done in another thread while the block runs, and has ended when the block is left,
    come what may: what it works on may be taken from it then. Raises what `work` raised, unless the
    block itself failed.
    """
    thread = _Thread(work)
    thread.start()
    try:
        yield
    finally:
        thread.await_end()
    if thread.error is not None:
        raise thread.error


class _Thread(threading.Thread):
    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error

    def await_end(self) -> None:
        """Raises what interrupted the waiting, but not before the end."""
        interrupt: BaseException | None = None
        while self.is_alive():
            try:
                self.join()
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt
