"""The clock of a daemon under test."""


class FakeDaemonClock:
    """Moves only when told to, for tests."""

    def __init__(self, start: float = 1_790_000_000.0) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> float:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed

    def advance(self, seconds: float) -> None:
        self._passed += seconds
