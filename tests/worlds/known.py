"""What breaks rules today and is known: such a kind is counted by the campaign and fails no test.
The list is to become empty; each line says what is not yet as it should be.
"""

import re
from typing import Final

from tests.worlds.world import Broken

KNOWN: Final[tuple[tuple[int, str, str], ...]] = (
    (2, "as secret file", "a secret in a folder of state, named, is recorded by its digest"),
    (2, "status says|mounted over", "what lies below another file system is not listed"),
    (2, "as in version", "what is not as wanted at the end is not named"),
    (7, "gained a privilege", "a mode or owner is set in place"),
)
"""Rules, regular expressions of what is said, and why."""


def is_known(broken: Broken) -> bool:
    return any(broken.rule == rule and re.search(says, broken.what) for rule, says, _ in KNOWN)
