"""What breaks rules today and is known: such a kind is counted by the campaign and fails no test.
The list is to become empty; each line says what is not yet as it should be.
"""

import re
from typing import Final

from tests.worlds.world import Broken

KNOWN: Final[tuple[tuple[int, str, str], ...]] = (
    (1, r"\.epm-|\(of a killed", "names like ours are hidden and removed, whoever made them"),
    (1, "in no version", "a named file of class state is overwritten unrecorded"),
    (1, "was (ignore|state|secret) when", "what a version could not see is taken for absent"),
    (1, "was not observed by version", "the same"),
    (2, "", "a file system mounted over recorded files, a FIFO in a wanted file's place"),
    (3, "log ends with 6", "an unsteady root is recorded as a path that no reader takes"),
    (3, "no content with the SHA", "a content that was secret is taken for stored"),
    (4, r"\.epm-", "names like ours are hidden"),
    (5, "contents of release", "a dry run does not ask whether contents are to be had"),
    (5, "the dry run keeps", "the plan of a release does not name what it keeps"),
    (5, "never had|changed since|its folder is not there", "a dry run asks less than the run"),
    (6, "and the plan has", "a database is recorded by a look at the plan, and not by the dry run"),
    (7, "gained a privilege", "a mode or owner is set in place"),
    (9, "unforget", "the hint names no version"),
    (9, "unable to open database", "no descriptors are left, and the index is called damaged"),
)
"""Rules, regular expressions of what is said, and why."""


def is_known(broken: Broken) -> bool:
    return any(broken.rule == rule and re.search(says, broken.what) for rule, says, _ in KNOWN)
