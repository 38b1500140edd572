"""Ceph's object store on one host: a monitor, a disk in memory, and the gateway that speaks S3."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.remotes.object_keys import AccessKey
from tests.servers.started import CEPH, Pool, answers, free_port, make_bucket, running

LIBRARIES = CEPH / "usr/lib/x86_64-linux-gnu"
KEYS = {
    "mon.": ("mon", "allow *"), "client.admin": ("mon", "allow *", "osd", "allow *"),
    "osd.0": ("mon", "allow *", "osd", "allow *"),
}  # fmt: skip


@contextlib.contextmanager
def ceph(folder: Path) -> Iterator[Pool]:
    if "EPM_TEST_CEPH" not in os.environ:
        pytest.skip("needs Ceph: tests/servers/fetch_ceph.sh, and EPM_TEST_CEPH")
    for name in ("mon", "osd", "rgw", "run"):
        (folder / name).mkdir()
    gateway, cluster = free_port(), str(uuid.uuid4())
    ports = free_port(), free_port()
    (folder / "ceph.conf").write_text(_settings(folder, cluster, gateway, ports))
    environ = {
        "PATH": f"{CEPH}/usr/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{LIBRARIES}:{LIBRARIES}/ceph",
        "PYTHONPATH": f"{CEPH}/usr/lib/python3/dist-packages",
        "CEPH_CONF": str(folder / "ceph.conf"),
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            words, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    ring, monitors = str(folder / "keyring"), str(folder / "monmap")
    for at, (name, rights) in enumerate(KEYS.items()):
        kinds = zip(rights[::2], rights[1::2], strict=True)
        caps = [word for kind, may in kinds for word in ("--cap", kind, may)]
        made = ["--create-keyring"] if not at else []
        run("ceph-authtool", *made, ring, "--gen-key", "-n", name, *caps)
    addresses = f"[v2:127.0.0.1:{ports[0]},v1:127.0.0.1:{ports[1]}]"
    run("monmaptool", "--create", "--addv", "a", addresses, "--fsid", cluster, monitors)
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", ring)
    disk = str(uuid.uuid4())
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(["ceph-mon", "-f", "-i", "a"], folder=folder, env=environ))
        run("/usr/bin/python3", f"{CEPH}/usr/bin/ceph", "osd", "new", disk)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        stack.enter_context(running(["ceph-osd", "-f", "-i", "0"], folder=folder, env=environ))
        radosgw = ["radosgw", "-f", "-n", "client.admin"]
        stack.enter_context(running(radosgw, folder=folder, env=environ))
        pool = Pool(f"http://127.0.0.1:{gateway}", AccessKey("AK", "SK"))
        answers(pool.endpoint)
        user = ("--uid", "t", "--display-name", "t", "--access-key", "AK", "--secret-key", "SK")
        run("radosgw-admin", "user", "create", *user)
        make_bucket(pool)
        yield pool


def _settings(folder: Path, cluster: str, gateway: int, ports: tuple[int, int]) -> str:
    found = {
        "fsid": cluster,
        "mon host": f"[v2:127.0.0.1:{ports[0]},v1:127.0.0.1:{ports[1]}]",
        "auth cluster required": "cephx", "auth service required": "cephx",
        "auth client required": "cephx", "osd pool default size": "1",
        "osd pool default min size": "1", "osd pool default pg num": "4",
        "osd pool default pgp num": "4", "osd pool default pg autoscale mode": "off",
        "osd crush chooseleaf type": "0", "mon allow pool size one": "true",
        "mon max pg per osd": "1000", "public network": "127.0.0.0/8", "public addr": "127.0.0.1",
        "cluster addr": "127.0.0.1", "log file": f"{folder}/$name.log", "run dir": f"{folder}/run",
        "admin socket": f"{folder}/run/$name", "pid file": f"{folder}/run/$name.pid",
        "erasure code dir": f"{LIBRARIES}/ceph/erasure-code", "plugin dir": f"{LIBRARIES}/ceph",
        "osd class dir": f"{LIBRARIES}/rados-classes", "mon data": f"{folder}/mon",
        "osd data": f"{folder}/osd", "rgw data": f"{folder}/rgw", "osd objectstore": "memstore",
        "memstore device bytes": "1073741824", "keyring": f"{folder}/keyring",
        "mon cluster log file": f"{folder}/cluster.log",
        "rgw frontends": f"beast endpoint=127.0.0.1:{gateway}", "rgw dns name": "127.0.0.1",
        "rgw thread pool size": "32",
    }  # fmt: skip
    return "[global]\n" + "".join(f"{key} = {value}\n" for key, value in found.items())
