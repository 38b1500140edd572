"""Who uses the library from an installed wheel has its types."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[2]
USE = """\
from pathlib import Path

from epmstore.workspace import Workspace

with Workspace.open(Path("store")) as workspace:
    reveal_type(workspace.app("crm").snapshot("label").version)
    workspace.app(7)
"""


@pytest.mark.slow
def test_types_are_those_of_the_wheel(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    [site] = (tmp_path / "env").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as made:
        assert {"epmstore/py.typed", "epmstored/py.typed"} <= set(made.namelist())
        made.extractall(site)
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (tmp_path / "use.py").write_text(USE)
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", "cache",
         "--python-executable", tmp_path / "env/bin/python", "use.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = found.stdout.splitlines()
    assert 'use.py:6: note: Revealed type is "int | None"' in [
        line.replace("Union[builtins.int, None]", "int | None").replace("builtins.", "")
        for line in lines
    ], found
    assert any(line.startswith("use.py:7: error: Argument 1") for line in lines), lines
    assert len(lines) == 3, lines
