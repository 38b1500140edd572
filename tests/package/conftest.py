"""Packages are read in this process, for it is quicker. What reads them where hosts do is tried by
`test_hostile.py`, and from the command line.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec
import pytest

from epmstore.package import package_reader, packagechild


class Direct:
    """In the place of the process with limits."""

    def __init__(
        self, module: str, setting: object, fds: object = (), limits: object = None, *, what: str
    ) -> None:
        self._setting = msgspec.msgpack.encode(setting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def messages(self) -> Iterator[bytes]:
        for message in packagechild._told(self._setting):
            yield msgspec.msgpack.encode(message)


@pytest.fixture(autouse=True)
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_reader, "LimitedReader", Direct)
