"""What of requirements.lock the program itself needs, on Debian 12. Pure.

The lock is one for everything: the program, its tests and tools, all systems. Its `# via` comments
say who wants a package; whatever the program wants, directly or not, is what the .deb has in it.
"""

import re
from typing import Final

from packaging.markers import Marker

TARGET: Final = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.2",
    "python_version": "3.11",
    "sys_platform": "linux",
}
_PROGRAM: Final = "epmstore (pyproject.toml)"
_PIN: Final = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]*\S))? \\\n")
_HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def runtime(lock: str) -> str:
    """The requirements of the program alone, each pinned and with its hashes, in order.

    Raises ValueError if a line of the lock is not of the form that `make lock` writes.
    """
    pins, wanted_by = {}, {}
    for block in re.split(r"^(?=[^\s#])", lock, flags=re.MULTILINE):
        match = _PIN.match(block)
        if match is None:
            if block.strip():
                raise ValueError(f"requirements.lock: no pin: {block.splitlines()[0]}")
            continue
        if match["marker"] and not Marker(match["marker"]).evaluate(TARGET):
            continue
        hashes = " \\\n    ".join(_HASH.findall(block))
        pins[match["name"]] = f"{match['name']}=={match['version']} \\\n    {hashes}\n"
        wanted_by[match["name"]] = _wanting(block)
    return "".join(pins[name] for name in sorted(_closure(wanted_by)))


def _wanting(block: str) -> set[str]:
    """Who wants a package, by the comment below its hashes."""
    _, _, comment = block.partition("# via")
    return {line.strip("# ") for line in comment.splitlines()} - {""}


def _closure(wanted_by: dict[str, set[str]]) -> set[str]:
    """All packages that the program wants, and those that these want."""
    found: set[str] = set()
    while True:
        more = {name for name, who in wanted_by.items() if who & (found | {_PROGRAM})}
        if more == found:
            return found
        found = more
