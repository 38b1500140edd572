"""What breaks rules today and is known: such a kind is counted by the campaign and fails no test.
It is empty, or each line says what is not yet as it should be.
"""

import re
from typing import Final

from tests.worlds.world import Broken

KNOWN: Final[tuple[tuple[int, str, str], ...]] = ()
"""Rules, regular expressions of what is said, and why."""


def is_known(broken: Broken) -> bool:
    return any(broken.rule == rule and re.search(says, broken.what) for rule, says, _ in KNOWN)
