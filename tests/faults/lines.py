"""What campaigns write: one JSON line for each thing tried, in a file where they go on later, or on
standard output.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


class Lines:
    """Of a campaign of these `facts`, which are in every line of it with the commit that is tried.
    `known`: those that are in the file already.
    """

    def __init__(self, path: Path | None, **facts: object) -> None:
        self._path = path
        self._beside = {**facts, "code": code()}
        self.known: list[dict[str, Any]] = []
        if path is not None and path.exists():
            found = map(json.loads, path.read_text().splitlines())
            self.known = [x for x in found if all(x.get(n) == facts[n] for n in facts)]

    def add(self, **line: object) -> None:
        text = json.dumps({**self._beside, **line}) + "\n"
        if self._path is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            with self._path.open("a") as file:
                file.write(text)


def code() -> str:
    """The commit that is tried; with a plus if there is more than was committed."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + "+" * bool(_git("status", "--porcelain", "-uno"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True)
    return done.stdout.strip()
