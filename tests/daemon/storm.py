"""A storm: files and folders are made, written, renamed, moved and removed as fast as one process
can. Run as `python storm.py ROOT SECONDS SEED`; prints how many operations it did in how long.

It keeps its own book of what is there, so that it need not look.
"""

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

FOLDERS = 200
FILES = 4000


class Storm:
    """Works in `root`, which it expects to be empty or as another storm left it."""

    def __init__(self, root: Path, seed: int) -> None:
        os.chdir(root)
        self._random = random.Random(seed)
        self._count = seed * 10_000_000
        self._folders = [str(p) for p in sorted(Path().rglob("*")) if p.is_dir()]
        self._files = [str(p) for p in sorted(Path().rglob("*")) if not p.is_dir()]
        self.operations = 0

    def run(self, seconds: float) -> float:
        """How long it took."""
        start = time.monotonic()
        end = start + seconds
        while time.monotonic() < end:
            for _ in range(200):
                self.act()
        return time.monotonic() - start

    def act(self) -> None:
        self.operations += 1
        chance = self._random.random()
        if chance < 0.002 or len(self._folders) < 3:
            self._make_folder() if len(self._folders) < FOLDERS else self._remove_folder()
        elif chance < 0.003 and len(self._folders) > 3:
            self._move_folder()
        elif chance < 0.30 or len(self._files) < 50:
            self._create() if len(self._files) < FILES else self._remove()
        elif chance < 0.65:
            self._write()
        elif chance < 0.80:
            self._rename()
        elif chance < 0.85:
            os.chmod(self._random.choice(self._files), self._random.choice([0o600, 0o640, 0o644]))
        else:
            self._remove()

    def _name(self) -> str:
        self._count += 1
        return f"n{self._count}"

    def _make_folder(self) -> None:
        shallow = [f for f in self._random.choices(self._folders or [""], k=3) if f.count("/") < 4]
        above = shallow[0] if shallow else ""
        path = f"{above}/{self._name()}" if above else self._name()
        os.mkdir(path)
        self._folders.append(path)

    def _move_folder(self) -> None:
        """Some of them into another one, some to the top."""
        old = self._random.choice(self._folders)
        above = self._random.choice(self._folders)
        inside = above == old or above.startswith(f"{old}/") or above.count("/") > 4
        new = self._name() if inside else f"{above}/{self._name()}"
        os.rename(old, new)
        self._folders = [_moved(path, old, new) for path in self._folders]
        self._files = [_moved(path, old, new) for path in self._files]

    def _remove_folder(self) -> None:
        old = self._random.choice(self._folders)
        shutil.rmtree(old)
        self._folders = [path for path in self._folders if _moved(path, old, "") == path]
        self._files = [path for path in self._files if _moved(path, old, "") == path]

    def _create(self) -> None:
        folder = self._random.choice(self._folders)
        path = f"{folder}/{self._name()}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, path.encode() * self._random.randrange(1, 20))
        os.close(fd)
        self._files.append(path)

    def _write(self) -> None:
        fd = os.open(self._random.choice(self._files), os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"%d" % self.operations)
        os.close(fd)

    def _rename(self) -> None:
        number = self._random.randrange(len(self._files))
        new = f"{self._random.choice(self._folders)}/{self._name()}"
        os.rename(self._files[number], new)
        self._files[number] = new

    def _remove(self) -> None:
        number = self._random.randrange(len(self._files))
        os.unlink(self._files[number])
        self._files[number] = self._files[-1]
        self._files.pop()


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if path == old or path.startswith(f"{old}/") else path


if __name__ == "__main__":
    storm = Storm(Path(sys.argv[1]), int(sys.argv[3]))
    took = storm.run(float(sys.argv[2]))
    sys.stdout.write(
        json.dumps(
            {"operations": storm.operations, "seconds": took, "rate": storm.operations / took}
        )
    )
