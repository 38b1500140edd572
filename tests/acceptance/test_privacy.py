"""What others on the host may see: nothing of a store, whatever the umask and wherever it is made;
and a root comes back with the modes that it had, however strict or lax whoever restores it is.
"""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.program import PROGRAM, ProgramHost


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["open", "usual", "strict"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProgramHost]:
    """With a umask of whoever calls, which processes take over."""
    before = os.umask(request.param)
    yield ProgramHost(tmp_path)
    os.umask(before)


def visible(folder: Path) -> list[str]:
    """What is there that others than its owner may do anything with."""
    found = [folder, *folder.rglob("*")]
    return [str(path) for path in found if path.lstat().st_mode & 0o077]


def use(host: ProgramHost) -> None:
    (host.root / "open").mkdir()
    (host.root / "open/file").write_bytes(b"1")
    os.chmod(host.root / "open", 0o777)
    os.chmod(host.root / "open/file", 0o666)
    (host.root / "closed").mkdir()
    (host.root / "closed/file").write_bytes(b"2" * 200)
    os.chmod(host.root / "closed", 0o700)
    os.chmod(host.root / "closed/file", 0o600)
    host.set_up("--secret", "*.key")
    host.snapshot()


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "given"])
def test_a_store_is_private(host: ProgramHost, is_there: bool) -> None:
    if is_there:
        host.store.mkdir()
        os.chmod(host.store, 0o755)
    use(host)
    (host.root / "open/file").write_bytes(b"3")
    host.ok("checkout", "0", "--exact")
    host.ok("undo")
    host.ok("fsck", "--read-data")
    os.unlink(host.store / "index.sqlite")
    host.ok("rebuild")
    assert visible(host.store) == []
    host.ok("store", "copy", str(host.place / "copy"))
    assert visible(host.place / "copy") == []


def test_modes_come_back_whatever_the_umask(host: ProgramHost) -> None:
    use(host)
    for path in ("open/file", "closed/file"):
        (host.root / path).unlink()
    for path in ("open", "closed"):
        (host.root / path).rmdir()
    host.ok("checkout", "0")
    host.ok("checkout", "0", "--target", str(host.place / "exported"))
    for top in (host.root, host.place / "exported"):
        found = {
            str(path.relative_to(top)): stat.S_IMODE(path.stat().st_mode) for path in top.rglob("*")
        }
        assert found == {"open": 0o777, "open/file": 0o666, "closed": 0o700, "closed/file": 0o600}


def test_a_file_that_is_written_out_is_private_until_it_is_whole(tmp_path: Path) -> None:
    """What is staged lies in a folder that only its owner enters."""
    host = ProgramHost(tmp_path)
    use(host)
    staged = tmp_path / "staged"
    (host.root / "open/file").write_bytes(b"3")
    watcher = (
        "import os, sys; from epmstore import fsio; from epmstore.cli.program import run\n"
        "def fault(call, arguments):\n"
        "    for name in os.listdir(sys.argv[1]):\n"
        "        if name.startswith('.epm-'):\n"
        "            mode = os.stat(os.path.join(sys.argv[1], name)).st_mode\n"
        "            open(sys.argv[2], 'a').write('%o\\n' % (mode & 0o777))\n"
        "fsio.install_fault(fault)\n"
        "sys.exit(run(sys.argv[3:]))\n"
    )
    python = str(Path(PROGRAM).with_name("python"))
    command = [python, "-c", watcher, str(host.root), str(staged), "checkout", "0"]
    subprocess.run(command, env=host.environment, check=True, capture_output=True)
    assert set(staged.read_text().split()) == {"700"}
