"""OpenStack Swift on one host, with its S3 interface: four processes, all in one folder."""

import contextlib
import getpass
import subprocess
from collections.abc import Iterator
from pathlib import Path

from epmstore.remotes.object_keys import AccessKey
from tests.servers.started import PROGRAMS, Pool, answers, free_port, make_bucket, needs, running

KINDS = ("account", "container", "object")
FILTERS = "catch_errors healthcheck listing_formats bulk s3api tempauth copy slo dlo symlink"


@contextlib.contextmanager
def swift(folder: Path) -> Iterator[Pool]:
    needs("swift-proxy-server", "swift-ring-builder")
    port = free_port()
    (folder / "devices/d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = test\nswift_hash_path_prefix = test\n"
        "[storage-policy:0]\nname = gold\ndefault = yes\n"
    )
    for kind in KINDS:
        _storage(folder, kind)
    _proxy(folder, port)
    commands = [
        [PROGRAMS / f"swift-{kind}-server", folder / f"{kind}.conf"] for kind in (*KINDS, "proxy")
    ]
    pool = Pool(f"http://127.0.0.1:{port}", AccessKey("test:tester", "testing"))
    with running(*commands, folder=folder):
        answers(f"{pool.endpoint}/healthcheck")
        make_bucket(pool)
        yield pool


def _common(folder: Path, port: int) -> str:
    return (
        f"[DEFAULT]\nswift_dir = {folder}\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\n"
        f"user = {getpass.getuser()}\nlog_level = WARNING\n"
    )


def _storage(folder: Path, kind: str) -> None:
    """A server of one kind, and the ring that leads to it."""
    port, builder = free_port(), folder / f"{kind}.builder"
    for words in (
        ["create", "6", "1", "1"],
        ["add", f"r1z1-127.0.0.1:{port}/d1", "1"],
        ["rebalance"],
    ):
        subprocess.run(
            [PROGRAMS / "swift-ring-builder", builder, *words],
            cwd=folder, stdout=subprocess.DEVNULL, check=words != ["rebalance"],
        )  # fmt: skip
    (folder / f"{kind}.conf").write_text(
        f"{_common(folder, port)}devices = {folder}/devices\nmount_check = false\n"
        f"disable_fallocate = true\n[pipeline:main]\npipeline = {kind}-server\n"
        f"[app:{kind}-server]\nuse = egg:swift#{kind}\nrecon_cache_path = {folder}\n"
    )


def _proxy(folder: Path, port: int) -> None:
    extra = {
        "s3api": "location = us-east-1\ns3_acl = false\ncheck_bucket_owner = false",
        "tempauth": f"user_test_tester = testing .admin http://127.0.0.1:{port}/v1/AUTH_test",
    }
    filters = "\n".join(
        f"[filter:{name}]\nuse = egg:swift#{name}\n{extra.get(name, '')}"
        for name in FILTERS.split()
    )
    (folder / "proxy.conf").write_text(
        f"{_common(folder, port)}[pipeline:main]\npipeline = {FILTERS} proxy-server\n{filters}\n"
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
    )
