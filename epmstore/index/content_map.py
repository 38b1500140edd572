"""The rows of very many contents in little memory: a third of what a dict takes of each."""

from epmstore.digest import Sha256

PLAIN = 1 << 17
"""Contents that are held in a dict, which is quicker: 17 MB."""
STEP = 1 << 12
"""Those that are packed at a time, beyond."""
_WITNESS = 32
_NUMBER = 6
_RECORD = _WITNESS + _NUMBER


class ContentMap:
    """A number of each content, by witness; only grows."""

    def __init__(self) -> None:
        self._plain: dict[bytes, int] = {}
        self._room = PLAIN
        self._packed: list[bytearray] = []
        """Records of a witness and its number, by the first two bytes of the witness."""

    def get(self, witness: Sha256) -> int | None:
        found = self._plain.get(witness)
        if found is None and self._packed:
            return _find(self._packed[_shelf(witness)], witness)
        return found

    def add(self, witness: Sha256, number: int) -> None:
        """Of a content that has none so far. Raises OverflowError beyond 48 bits."""
        self._plain[witness] = number
        if len(self._plain) > self._room:
            self._pack()

    def _pack(self) -> None:
        if not self._packed:
            self._packed = [bytearray() for _ in range(1 << 16)]
        for witness, number in self._plain.items():
            self._packed[_shelf(witness)] += witness + number.to_bytes(_NUMBER, "little")
        self._plain, self._room = {}, STEP


def _shelf(witness: bytes) -> int:
    return witness[0] << 8 | witness[1]


def _find(records: bytearray, witness: bytes) -> int | None:
    at = records.find(witness)
    while at % _RECORD:  # nowhere, or across two records
        if at < 0:
            return None
        at = records.find(witness, at + 1)
    return int.from_bytes(records[at + _WITNESS : at + _RECORD], "little")
