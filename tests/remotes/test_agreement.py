"""Whatever is done to them, a remote in memory and one that is a folder say the same."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from epmstore.errors import RemoteError
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.memory_remote import MemoryRemote
from epmstore.remotes.remote import Remote
from tests.remotes.contract import everything, put

T = TypeVar("T")
NAMES = st.sampled_from(["a/b", "a/c-1", "a-b", "a.b/x", "a/d/e", "z", "../z", "a/"])
DATA = st.binary(max_size=40)


class Agreement(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.remotes: list[Remote] = [MemoryRemote(), FolderRemote(Path(self.folder))]

    def both(self, call: Callable[[Remote], object]) -> None:
        first, second = (self.outcome(call, remote) for remote in self.remotes)
        assert first == second

    @staticmethod
    def outcome(call: Callable[[Remote], object], remote: Remote) -> object:
        try:
            return call(remote)
        except RemoteError as error:
            return type(error)

    @rule(name=NAMES, data=DATA)
    def write(self, name: str, data: bytes) -> None:
        self.both(lambda remote: put(remote, name, data))

    @rule(name=NAMES, data=DATA, expected=st.none() | DATA)
    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        self.both(lambda remote: remote.replace(name, data, expected))

    @rule(name=NAMES, data=DATA)
    def replace_what_is_there(self, name: str, data: bytes) -> None:
        def swap(remote: Remote) -> None:
            remote.replace(name, data, b"".join(remote.read(name)))

        self.both(swap)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.both(lambda remote: remote.delete(name))

    @rule(name=NAMES, start=st.integers(0, 50), length=st.none() | st.integers(0, 50))
    def read(self, name: str, start: int, length: int | None) -> None:
        self.both(lambda remote: b"".join(remote.read(name, start, length)))

    @rule(prefix=st.sampled_from(["", "a/", "a/d/", "z/", "q/"]))
    def list_below(self, prefix: str) -> None:
        self.both(lambda remote: list(remote.list(prefix)))

    @invariant()
    def hold_the_same(self) -> None:
        self.both(everything)

    def teardown(self) -> None:
        folder = self.remotes[1]
        assert isinstance(folder, FolderRemote)
        folder.close()
        shutil.rmtree(self.folder)


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
