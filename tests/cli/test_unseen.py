"""What a look did not see is named by everybody who tells of it, in the same words."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_json import check
from tests.cli.test_odd_facts import OddKernel
from tests.kit.mounts import tmpfs

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

LISTS = ("skipped", "unstable", "unobserved")
TELLING = (
    ("status", "--scan"), ("diff", "latest..now"), ("diff", "now..0"), ("diff", "0", "--exit-code"),
    ("snapshot",), ("checkout", "0", "--dry-run"), ("checkout", "0"),
)  # fmt: skip


@pytest.fixture
def gaps(
    cli: "Cli", crm: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, list[tuple[str, str]]]]:
    """A version 0, and then one of everything that is not seen."""
    for folder in ("covered/deep", "free"):
        (crm / folder).mkdir(parents=True)
    for path in ("covered/deep/f", "heavy", "file"):
        (crm / path).write_bytes(b"as recorded")
    cli.ok("snapshot")
    os.mkfifo(crm / "fifo")
    kernel = OddKernel(monkeypatch)
    kernel.attributes[os.lstat(crm / "heavy").st_ino] = {"user.much": bytes(1 << 20)}
    os.chmod(crm / "heavy", 0o640)
    with tmpfs(crm.parent / "other", "size=1m") as other:
        mounted = [crm / "covered", crm / "free"]
        (other / "inside").write_bytes(b"not ours")
        for where in mounted:
            subprocess.run(["mount", "--bind", str(other), str(where)], check=True)
        subprocess.run(["mount", "--bind", str(other / "inside"), str(crm / "file")], check=True)
        try:
            yield {
                "skipped": [("fifo", "special"), ("free", "mount")],
                "unstable": [],
                "unobserved": [
                    ("covered", "covered"), ("file", "covered"), ("heavy", "unreadable"),
                ],
            }  # fmt: skip
        finally:
            for where in (*mounted, crm / "file"):
                subprocess.run(["umount", str(where)], check=True)


def lists_of(shape: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    named = {key: shape[key] for key in LISTS}
    return {
        key: sorted((one["path"], one["kind"]) for one in found) if key != "unstable" else found
        for key, found in named.items()
    }


@pytest.mark.root
@pytest.mark.slow
def test_all_tell_the_same(cli: "Cli", gaps: dict[str, list[tuple[str, str]]]) -> None:
    for words in TELLING:
        found = cli("--json", *words)
        assert found.code == 3, (words, found)
        shape = found.shapes[-1]
        check(shape)
        assert lists_of(shape) == gaps, words
        found = cli(*words)
        assert found.code == 3
        for path, kind in gaps["unobserved"]:
            said = found.out + found.err
            assert path in said and (kind != "covered" or "mounted over" in said), (words, said)
        assert "nothing has changed" not in found.out


@pytest.mark.root
def test_mounts_before_the_first_version_are_skipped(cli: "Cli", crm: Path) -> None:
    with tmpfs(crm / "data", "size=1m"):
        for words in (("status",), ("snapshot",), ("status",)):
            found = cli(*words, "--json")
            assert found.code in (0, 1), found
            assert lists_of(found.shapes[-1])["skipped"] == [("data", "mount")]
    os.rmdir(crm / "data")


@pytest.mark.root
def test_mounts_over_empty_folders_are_named_and_no_gap(cli: "Cli", recorded: Path) -> None:
    (recorded / "free").mkdir()
    cli.ok("snapshot")
    with tmpfs(recorded / "data", "size=1m"):
        subprocess.run(["mount", "--bind", recorded / "data", recorded / "free"], check=True)
        for words in (("status",), ("snapshot",), ("diff", "latest"), ("checkout", "latest")):
            found = cli.ok(*words, "--json").shapes[-1]
            assert lists_of(found)["skipped"] == [("data", "mount"), ("free", "mount")], words
        subprocess.run(["umount", recorded / "free"], check=True)
    os.rmdir(recorded / "data")
