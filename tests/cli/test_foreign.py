"""What root believes: places that others on the host own, or may write in.

Each attack says what a program does that believes it. All is done as root, to whom every file is
open; the attacker is a user who owns what the attack gives him.
"""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore import owned, rescue
from epmstore.cli.daemon_client import Daemon
from epmstore.errors import ConflictError, ForeignError
from epmstore.workspace import Workspace
from tests.cli.conftest import Cli

pytestmark = pytest.mark.root

FOREIGN = 7
MALLORY = 65534


def give(path: Path) -> None:
    """All of it belongs to somebody else."""
    for place in [path, *path.rglob("*")]:
        os.chown(place, MALLORY, MALLORY, follow_symlinks=False)


def whole_store(store: Path, secret: Path) -> None:
    """The hooks of its applications are run with our rights."""
    give(store)


def store_folder(store: Path, secret: Path) -> None:
    """He puts a journal there between two of our commands, and the next one carries it out."""
    os.chown(store, MALLORY, MALLORY)


def appcat(store: Path, secret: Path) -> None:
    """He gives an application /etc for a root, and commands for hooks."""
    os.chown(store / "catalogs/appcat.json", MALLORY, MALLORY)


def journal(store: Path, secret: Path) -> None:
    """Recovery ends a checkout that nobody began: it writes what he likes where he likes."""
    path = store / "journals/mine.journal"
    path.write_bytes(b"")
    os.chown(path, MALLORY, MALLORY)


def journals(store: Path, secret: Path) -> None:
    """The same: he can put one there at any time."""
    os.chown(store / "journals", MALLORY, MALLORY)


def wal_as_hard_link(store: Path, secret: Path) -> None:
    """SQLite takes a file of ours for its log, and writes over it."""
    (store / "index.sqlite-wal").unlink(missing_ok=True)
    os.link(secret, store / "index.sqlite-wal")


def wal_as_link(store: Path, secret: Path) -> None:
    """The same by a symlink."""
    (store / "index.sqlite-wal").unlink(missing_ok=True)
    (store / "index.sqlite-wal").symlink_to(secret)
    os.chown(store / "index.sqlite-wal", MALLORY, MALLORY, follow_symlinks=False)


def lock_as_hard_link(store: Path, secret: Path) -> None:
    """Who takes the lock cuts the file off and writes his name into it."""
    (store / "locks/write").unlink(missing_ok=True)
    os.link(secret, store / "locks/write")


def live_cache(store: Path, secret: Path) -> None:
    """What changed is told to be as it was."""
    path = next((store / "live").iterdir())
    path.chmod(0o666)


def identity(store: Path, secret: Path) -> None:
    """Another store's name: the index is thrown away as that of another."""
    os.chown(store / "FORMAT", MALLORY, MALLORY)


def trust(store: Path, secret: Path) -> None:
    """His key vouches for catalogs."""
    (store / "trust").mkdir()
    os.chown(store / "trust", MALLORY, MALLORY)


def packs_elsewhere(store: Path, secret: Path) -> None:
    """Packs vanish when he likes, and what is written lies with him to read."""
    theirs = store.parent / "theirs"
    (store / "packs").rename(theirs)
    (store / "packs").symlink_to(theirs)
    os.chown(theirs, MALLORY, MALLORY)


def pack_log(store: Path, secret: Path) -> None:
    """What is appended goes to a file that he may read and cut off."""
    (store / "packs/log").chmod(0o777)


def everybody(store: Path, secret: Path) -> None:
    """Anybody puts a journal there."""
    store.chmod(0o777)


def sticky(store: Path, secret: Path) -> None:
    """A sticky bit keeps ours from being removed, and does not keep new ones out."""
    store.chmod(0o1777)


def group(store: Path, secret: Path) -> None:
    """Every member of a group puts a catalog there."""
    (store / "catalogs").chmod(0o770)


def parent(store: Path, secret: Path) -> None:
    """He renames our store, and puts his in its place when we have looked."""
    os.chown(store.parent, MALLORY, MALLORY)


def parent_of_everybody(store: Path, secret: Path) -> None:
    """The same, by anybody."""
    store.parent.chmod(0o777)


def reached_by_link(store: Path, secret: Path) -> None:
    """Where the link leads is his to say, at any moment."""
    there = store.with_name("there")
    store.rename(there)
    store.symlink_to(there)
    os.chown(store, MALLORY, MALLORY, follow_symlinks=False)


ATTACKS = [
    whole_store, store_folder, appcat, journal, journals, wal_as_hard_link, wal_as_link,
    lock_as_hard_link, live_cache, identity, trust, packs_elsewhere, pack_log, everybody, sticky,
    group, parent, parent_of_everybody, reached_by_link,
]  # fmt: skip
COMMANDS = [
    ("log",),
    ("status",),
    ("snapshot",),
    ("recover",),
    ("checkout", "0"),
    ("doctor",),
    ("rebuild",),
    ("store", "adopt", "--moved"),
    ("fsck",),
    ("app", "list"),
]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"root's alone\n")
    return path


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_command_believes_what_others_may_have_written(
    cli: Cli, recorded: Path, secret: Path, attack: Callable[[Path, Path], None]
) -> None:
    mark = recorded.parent / "mark"
    cli.ok("app", "set", "crm", "--start", f"touch {mark}")
    attack(cli.store, secret)
    for command in COMMANDS:
        found = cli(*command)
        assert found.code == FOREIGN, (command, found)
        first, hint, *rest = found.err.splitlines()
        assert "is not believed" in first and hint.startswith("  hint: ") and not rest, found
        assert "`safe_stores` in /etc/epmstore/config.toml" in hint
        if not found.err.count("sudo -u"):
            assert any(word in hint for word in ("chmod go-w", "name the place", "cp -p")), hint
    assert secret.read_bytes() == b"root's alone\n"
    assert not mark.exists()


def test_the_remedies_work(cli: Cli, recorded: Path, secret: Path) -> None:
    give(cli.store)
    assert f"chown -R 0 {cli.store}" in cli("log").err
    for place in [cli.store, *cli.store.rglob("*")]:
        os.chown(place, 0, 0)
    cli.ok("log")
    cli.store.chmod(0o770)
    assert f"chmod go-w {cli.store}" in cli("log").err
    cli.store.chmod(0o700)
    locked = cli.store / "locks/write"
    other = cli.store.parent / "other"
    os.link(locked, other)
    assert f"cp -p {locked} {locked}.new" in cli("log").err
    shutil.copy2(locked, f"{locked}.new")
    Path(f"{locked}.new").rename(locked)
    cli.ok("snapshot")


def test_two_names_of_a_file_within_a_store_are_its_own(cli: Cli, recorded: Path) -> None:
    """A power cut may leave both names that a file was moved between, as to the quarantine."""
    (log,) = (cli.store / "packs/log").iterdir()
    os.link(log, cli.store / "quarantine" / log.name)
    cli.ok("log")
    os.link(log, cli.store.parent / "outside")
    (cli.store / "also").symlink_to("quarantine")
    assert cli("log").code == FOREIGN


def test_root_says_which_stores_of_others_are_safe(
    cli: Cli, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    monkeypatch.setattr("epmstore.workspace.settings.SYSTEM_CONFIG", etc)
    give(cli.store)
    (etc / "config.toml").write_text(f'safe_stores = ["{cli.store.parent}"]\n')
    assert cli("log").code == FOREIGN, "another folder is named"
    (etc / "config.toml").write_text(f'safe_stores = ["{cli.store}/"]\n')
    cli.ok("log")
    cli.ok("snapshot")
    cli.ok("rebuild")
    (etc / "config.toml").write_text("safe_stores = 3\n")
    assert cli("log").code == 2
    (etc / "config.toml").write_text(f'safe_stores = ["{cli.store}"]\n')
    os.chown(etc / "config.toml", MALLORY, MALLORY)
    assert cli("log").code == 2, "he does not vouch for himself"


def test_no_store_vouches_for_itself(cli: Cli, recorded: Path) -> None:
    (cli.store / "config.toml").write_text(f'safe_stores = ["{cli.store}"]\n')
    assert "does not count here" in cli("config", "show").err
    give(cli.store)
    assert cli("log").code == FOREIGN


def test_a_user_says_it_in_a_file_of_his_own(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(MALLORY, MALLORY, MALLORY)
            os._exit(42 if owned.settings_file().startswith("~/") else 1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_where_there_is_no_store_that_is_said(cli: Cli, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    give(theirs)
    assert cli("--store", str(theirs), "log").code == 10
    assert cli("--store", str(theirs / "nothing"), "log").code == 10


@pytest.mark.parametrize("kind", ["his", "in his", "by his link", "for everybody"])
def test_no_store_is_made_where_others_could_put_another(
    cli: Cli, tmp_path: Path, kind: str
) -> None:
    """He makes the folders that we are about to make, and is the owner of what comes into them."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    place = theirs / "new"
    if kind == "for everybody":
        theirs.chmod(0o777)
    else:
        give(theirs)
    if kind == "his":
        place = theirs
    elif kind == "by his link":
        place = tmp_path / "link"
        place.symlink_to(theirs)
        os.chown(place, MALLORY, MALLORY, follow_symlinks=False)
    for arguments in (("init",), ("init", "--dry-run")):
        found = cli("--store", str(place), *arguments)
        assert found.code == FOREIGN, found
    assert not [*theirs.iterdir()]


def test_init_finds_folders_planted_meanwhile(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(path: Path) -> None:
        (path / "journals").mkdir(parents=True)
        os.chown(path / "journals", MALLORY, MALLORY)

    monkeypatch.setattr("epmstore.workspace.opening.prepare", prepare)
    assert cli("init").code == FOREIGN


def test_a_copy_is_not_made_where_others_may_write(cli: Cli, recorded: Path) -> None:
    theirs = recorded.parent / "theirs"
    theirs.mkdir()
    give(theirs)
    found = cli("store", "copy", str(theirs / "copy"))
    assert found.code == FOREIGN, found
    assert not [*theirs.iterdir()]


def test_a_catalog_is_not_cloned_by_opening_the_index_of_others(cli: Cli, crm: Path) -> None:
    cli.ok("release", "init", "crm")
    other = crm.parent / "other"
    shutil.copytree(cli.store, other)
    give(other)
    shutil.rmtree(cli.store)
    cli.ok("init")
    found = cli("catalog", "clone", str(other), "crm")
    assert found.code == FOREIGN, found


def his_link(link: Path, root: Path) -> None:
    link.symlink_to(root)
    os.chown(link, MALLORY, MALLORY, follow_symlinks=False)


def link_in_his_folder(link: Path, root: Path) -> None:
    link.symlink_to(root)
    os.chown(link.parent, MALLORY, MALLORY)


def link_for_everybody(link: Path, root: Path) -> None:
    link.symlink_to(root)
    link.parent.chmod(0o777)


def his_second_link(link: Path, root: Path) -> None:
    second = link.with_name("second")
    his_link(second, root)
    link.symlink_to("second")


def his_link_within(link: Path, root: Path) -> None:
    his_link(link.with_name("folder"), root.parent)
    link.symlink_to(f"folder/{root.name}")


@pytest.mark.parametrize(
    "attack", [his_link, link_in_his_folder, link_for_everybody, his_second_link, his_link_within]
)
def test_a_link_to_a_root_is_followed_only_if_it_is_ours(
    cli: Cli, tmp_path: Path, attack: Callable[[Path, Path], None]
) -> None:
    """He lets it lead to /etc, and reads what we record; or a checkout writes there."""
    root = tmp_path / "app"
    root.mkdir()
    (root / "file").write_text("content\n")
    links = tmp_path / "links"
    links.mkdir()
    link = links / "current"
    attack(link, root)
    cli.ok("init")
    found = cli("app", "add", "crm", str(link), "--follow")
    assert found.code == FOREIGN and "others may change" in found.err, found
    give(root)
    links.chmod(0o755)
    for place in [links, *links.iterdir()]:
        os.chown(place, 0, 0, follow_symlinks=False)
    cli.ok("app", "add", "crm", str(link), "--follow")
    cli.ok("snapshot")  # a root may be anybody's
    os.chown(link, MALLORY, MALLORY, follow_symlinks=False)
    assert cli("snapshot").code == FOREIGN


def test_sticky_folders_of_root_count_as_roots(cli: Cli, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    root = tmp_path / "app"
    root.mkdir()
    (shared / "link").symlink_to(root)
    cli.ok("--store", str(shared / "store"), "init")
    cli.ok("--store", str(shared / "store"), "app", "add", "crm", str(shared / "link"), "--follow")


@pytest.mark.parametrize("change", ["folder", "parent", "link", "file", "group"])
def test_settings_are_read_where_only_we_write(cli: Cli, crm: Path, change: str) -> None:
    """He renames the folder and puts his own there: an alert or a hook of his is run."""
    folder = cli.store / "apps.d"
    folder.mkdir()
    path = folder / "web.toml"
    (crm.parent / "web").mkdir()
    path.write_text(f'root = "{crm.parent / "web"}"\n')
    if change == "folder":
        os.chown(folder, MALLORY, MALLORY)
    elif change == "parent":
        folder.chmod(0o777)
    elif change == "link":
        elsewhere = crm.parent / "elsewhere"
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
        os.chown(path, MALLORY, MALLORY, follow_symlinks=False)
    elif change == "file":
        os.chown(path, MALLORY, MALLORY)
    else:
        path.chmod(0o664)
    found = cli("app", "apply")
    assert found.code != 0 and "others" in found.out + found.err, found
    assert "web" not in cli("app", "list").out


@pytest.mark.parametrize("change", ["owner", "mode"])
def test_a_plan_of_others_is_not_carried_out(cli: Cli, recorded: Path, change: str) -> None:
    """He writes another version and `exact` into it between our look and our `apply`."""
    (recorded / "bin/crmd").write_text("other\n")
    plan = recorded.parent / "plan"
    cli.ok("plan", "0", "-o", str(plan))
    if change == "owner":
        os.chown(plan, MALLORY, MALLORY)
    else:
        plan.chmod(0o666)
    found = cli("apply", str(plan))
    assert found.code == FOREIGN and "carried out" in found.err, found
    os.chown(plan, 0, 0)
    plan.chmod(0o644)
    cli.ok("apply", str(plan))


def test_the_rescue_tool_believes_no_others_either(
    cli: Cli, recorded: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A set-uid program of his is written out as root's."""
    target = str(recorded.parent / "out")
    order = ["extract", str(cli.store), "crm", "0", target]
    os.chown(next((cli.store / "catalogs").glob("*.syscat.zst")), MALLORY, MALLORY)
    assert rescue.main(order) == FOREIGN
    assert b"--owner 65534" in capfdbinary.readouterr().err
    assert not os.path.exists(target)
    assert rescue.main(["--owner", str(MALLORY), *order]) == 0


def test_root_believes_no_daemon_of_others(
    cli: Cli, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His daemon says that nothing has changed."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, MALLORY, MALLORY)
    child = os.fork()
    if child == 0:
        try:
            os.chdir(theirs)
            os.setresuid(MALLORY, MALLORY, MALLORY)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind("epmstored.sock")
                listener.listen()
                listener.settimeout(20)
                listener.accept()[0].close()
        finally:
            os._exit(0)
    try:
        while not (theirs / "epmstored.sock").exists():
            os.sched_yield()
        with pytest.raises(ConflictError, match="somebody else"):
            while True:
                try:
                    Daemon(theirs).get("/v1/status")
                except ConflictError:
                    raise
                except Exception:  # it does not listen yet
                    os.sched_yield()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_owners_that_a_container_does_not_know_are_said_to_be(
    cli: Cli, recorded: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uids = tmp_path / "uid_map"
    uids.write_text("0 1000 1\n")
    monkeypatch.setattr(owned, "UID_MAP", uids)
    os.chown(cli.store.parent, MALLORY, MALLORY)
    cli.ok("log")  # a folder on the way may be root's of the host, as /home is
    give(cli.store)
    with pytest.raises(ForeignError, match="not known in this user namespace") as caught:
        Workspace.open(cli.store)
    assert caught.value.hint is not None and "outside of the container" in caught.value.hint
