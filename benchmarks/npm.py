"""Fetch the node_modules folders of three applications, in two releases of each, as one tree: tens
of thousands of small files, many of them several times.

    python -m benchmarks.npm

Needs npm and a registry. Nothing of what is fetched is run (`--ignore-scripts`).
"""

import json
import shutil
import sys
from pathlib import Path

from benchmarks.trees import CACHE, MissingTreeError, run

Apps = dict[str, dict[str, str]]
OLDER: Apps = {
    "shop": {"react-scripts": "5.0.0", "react": "18.2.0", "react-dom": "18.2.0"},
    "admin": {"webpack": "5.88.0", "jest": "29.5.0", "eslint": "8.40.0", "typescript": "5.0.4"},
    "site": {"vite": "4.3.0", "jest": "29.5.0", "eslint": "8.40.0", "lodash": "4.17.20"},
}
NEWER: Apps = {
    "shop": {"react-scripts": "5.0.1", "react": "18.3.1", "react-dom": "18.3.1"},
    "admin": {"webpack": "5.89.0", "jest": "29.7.0", "eslint": "8.57.0", "typescript": "5.0.4"},
    "site": {"vite": "4.5.0", "jest": "29.7.0", "eslint": "8.57.0", "lodash": "4.17.21"},
}
INSTALL = ("install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def fetch() -> tuple[Path, Path]:
    """The older and the newer tree, made when they are not here. Raises MissingTreeError."""
    if shutil.which("npm") is None:
        raise MissingTreeError("npm is needed to fetch node_modules")
    return _install("node_modules-1", OLDER), _install("node_modules-2", NEWER)


def _install(name: str, apps: Apps) -> Path:
    target = CACHE / name
    if target.is_dir():
        return target
    work = CACHE / f".{name}.partial"
    shutil.rmtree(work, ignore_errors=True)
    for app, wanted in apps.items():
        print(f"installing {name}/{app}", file=sys.stderr, flush=True)
        folder = work / app
        folder.mkdir(parents=True)
        package = {"name": app, "version": "1.0.0", "private": True, "dependencies": wanted}
        (folder / "package.json").write_text(json.dumps(package))
        run("npm", *INSTALL, cwd=folder)
    work.rename(target)
    return target


if __name__ == "__main__":
    print(*fetch(), sep="\n")
