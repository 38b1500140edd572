"""Buckets as users have them: added, pushed to, pulled from, and who is not let in."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.remotes.s3server import KEY, S3Handler, S3Shop, serving

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def shop() -> Iterator[S3Shop]:
    with serving() as found:
        yield found


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(
        f"[default]\naws_access_key_id={KEY.name}\naws_secret_access_key={KEY.secret}\n"
    )
    path.chmod(0o600)
    return path


def ways(shop: S3Shop, key: Path) -> tuple[str, ...]:
    url = ("s3://depots/site", "--endpoint", shop.endpoint)
    return ("remote", "add", "pool", *url, "--credentials", str(key))


def test_hosts_share_a_bucket(
    cli: "Cli", recorded: Path, shop: S3Shop, key: Path, tmp_path: Path
) -> None:
    cli.ok(*ways(shop, key))
    cli.ok("push", "pool", "--yes")
    (recorded / "new").write_text("x")
    cli.ok("snapshot")
    cli.ok("push")
    assert all(name.startswith("site/") for name in shop.objects)
    other = ("--store", str(tmp_path / "other"))
    cli.ok("init", *other)
    cli.ok(*ways(shop, key), *other)
    assert "crm version 1" in cli.ok("pull", *other).out
    assert "nothing new" in cli.ok("sync", "--yes", *other).out
    cli.ok("remote", "check", "pool")
    for path in cli.store.rglob("*"):
        assert not path.is_file() or KEY.secret.encode() not in path.read_bytes(), path


def test_variables_are_enough(
    cli: "Cli", recorded: Path, shop: S3Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", shop.endpoint)
    refused = cli("remote", "add", "pool", "s3://depots/site", "--json")
    assert refused.code == 12 and "AWS_ACCESS_KEY_ID" in refused.error["hint"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.name)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.secret)
    cli.ok("remote", "add", "pool", "s3://depots/site")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    cli.ok("push", "pool", "--yes")


def test_a_refused_key_is_tried_once_until_a_person_says_again(
    cli: "Cli", recorded: Path, shop: S3Shop, key: Path
) -> None:
    cli.ok(*ways(shop, key))
    right = key.read_text()
    key.write_text(right.replace(KEY.secret, "wrong"))
    shop.calls.clear()
    for _ in range(3):
        refused = cli("push", "pool", "--yes")
        assert refused.code == 12 and "SignatureDoesNotMatch" in refused.err
    assert len(shop.calls) == 1
    assert "not on pool" in cli("status").out
    key.write_text(right)
    cli.ok("remote", "check", "pool")
    cli.ok("push", "pool", "--yes")


def test_a_bucket_that_is_not_there_is_named(
    cli: "Cli", recorded: Path, shop: S3Shop, key: Path
) -> None:
    words = [word.replace("s3://depots/", "s3://nothing/") for word in ways(shop, key)]
    refused = cli(*words)
    assert refused.code == 12 and "no bucket" in refused.err
    shop.objects["site/letter"] = b"dear"
    assert cli(*ways(shop, key)).code == 2


def test_a_missing_library_is_named_with_what_installs_it(
    cli: "Cli", recorded: Path, shop: S3Shop, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("objects_remote", "object_errors"):
        monkeypatch.delitem(sys.modules, f"epmstore.remotes.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    refused = cli(*ways(shop, key), "--json")
    assert refused.code == 12 and "obstore" in refused.error["message"]
    assert refused.error["hint"].startswith("pip install 'epmstore[s3]'")


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_killed_push_is_gone_on_with(
    cli: "Cli", recorded: Path, shop: S3Shop, key: Path, at: int
) -> None:
    cli.ok(*ways(shop, key))
    reached, ended = threading.Event(), threading.Event()
    left = [True] * at

    def hold(handler: S3Handler) -> bool:
        if handler.command == "PUT" and not reached.is_set():
            if left:
                left.pop()
            else:
                reached.set()
                ended.wait(60)
                handler.close_connection = True
                return True
        return False

    shop.answer = hold
    command = [sys.executable, "-m", "epmstore", "push", "pool", "--yes"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as push:
        assert reached.wait(60)
        push.send_signal(signal.SIGKILL)
    ended.set()
    cli.ok("push", "pool", "--yes")
    cli.ok("remote", "check", "pool")
