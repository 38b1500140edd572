"""Calls that a thread makes ahead of the caller that takes their results, in order. It pays for
large pieces of work that need no interpreter: compression, digests.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NoReturn, TypeVar

_Result = TypeVar("_Result")


def prefetch(calls: Iterable[Callable[[], _Result]]) -> Generator[_Result, None, None]:
    """The results of calls, in order. The next call is asked for while one is made, and no more
    than two wait to be taken: each holds a piece of work in memory. Raises what they raise, and
    what `calls` raises, after the results of all before; close it to leave it early, and no call is
    being made any more.
    """
    before: Future[_Result] | None = None
    with ThreadPoolExecutor(1) as pool:
        for call in _to_the_end(calls):
            now = pool.submit(call)
            if before is not None:
                yield before.result()
            before = now
        if before is not None:
            yield before.result()


def _to_the_end(calls: Iterable[Callable[[], _Result]]) -> Iterator[Callable[[], _Result]]:
    """An error of theirs becomes one more call: results that are still to come are not lost."""
    try:
        yield from calls
    except Exception as error:
        yield partial(_fail, error)


def _fail(error: Exception) -> NoReturn:
    raise error
