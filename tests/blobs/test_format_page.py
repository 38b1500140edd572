"""docs/formats/pack.md is right: its script reads what we write, with nothing of ours."""

import json
import subprocess
import sys
from pathlib import Path

import zstandard

from epmstore.blobs import footer
from epmstore.blobs.packlog import PackLog
from epmstore.digest import identify
from tests.blobs.table import Shelf, group_of, noise, text

PAGE = Path(__file__).resolve().parents[2] / "docs/formats/pack.md"


def block(language: str) -> str:
    return PAGE.read_text().split(f"```{language}\n")[1].split("```")[0]


def rescue(folder: Path, file: Path) -> dict[str, bytes]:
    script, out = folder / "rescue.py", folder / f"out-{file.name}"
    script.write_text(block("python"))
    out.mkdir()
    subprocess.run([sys.executable, "-I", script, file, out], check=True, cwd=folder)
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_the_script_reads_a_pack_and_a_log(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    base = text(100)
    contents = [b"", b"one", base, noise(500), base + b"delta"]
    with shelf.writer(frame_size=600, part_size=300) as writer:
        for data in contents[:4]:
            writer.add(identify(data), data)
        assert writer.add_delta(identify(contents[4]), contents[4], identify(base).sha256, base)
        writer.add_large([noise(1000, 1)])
        pack = shelf.packs / shelf.publish(writer.finish())
    expected = {identify(data).digest.hex(): data for data in contents}
    assert rescue(tmp_path, pack) == expected
    log = PackLog(shelf.packs, shelf.quarantine)
    log.append([group_of(shelf.packs, data) for data in contents])
    assert rescue(tmp_path, shelf.packs / log.file) == expected


def test_the_table_has_the_columns_drawn() -> None:
    drawn = json.loads(block("json"))
    frame = footer.encode([], [])
    real = json.loads(zstandard.ZstdDecompressor().decompress(frame.body))
    assert drawn.keys() == real.keys()
    for part in ("frames", "blobs"):
        assert drawn[part].keys() == real[part].keys()
