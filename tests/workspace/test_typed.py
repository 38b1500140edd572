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

from epmstore.api import Actor, Result, Status, UsageError, Workspace

actor: Actor = {"user": "deploy", "via": "pipeline"}
with Workspace.open(Path("store"), actor=actor) as workspace:
    crm = workspace.app("crm")
    reveal_type(crm.snapshot("label").version)
    result: Result = crm.checkout(0, ["bin/tool", Path("lib")])
    status: Status = crm.status()
    reveal_type(status.interrupted)
    workspace.app(7)
    crm.checkout(0.5)
    workspace.for_actor({"usr": "deploy"})
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
    lines = [
        line.replace("Union[builtins.int, None]", "int | None")
        for line in found.stdout.splitlines()
    ]
    assert [line.replace("builtins.", "").partition(" to ")[0] for line in lines] == [
        'use.py:8: note: Revealed type is "int | None"',
        'use.py:11: note: Revealed type is "bool"',
        "use.py:12: error: Argument 1",
        "use.py:13: error: Argument 1",
        'use.py:14: error: Extra key "usr" for TypedDict "Actor"  [typeddict-unknown-key]',
        "Found 3 errors in 1 file (checked 1 source file)",
    ], found
