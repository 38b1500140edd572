"""Who is measured, and with which commands: data only.

A command runs in the contestant's root. `$root` is what is recorded, `$home` an empty folder of its
own, `$older` the older release, `$out` an empty folder. Stages: see stages.py. A contestant takes
part in the stages that it has a command for. Peers run with their defaults but for what is shown:
what a default syncs is synced, and what it compresses is compressed.
"""

import re
import shlex
import shutil
import subprocess
from typing import NamedTuple


class Contestant(NamedTuple):
    """`stored` names what counts as its store, as globs below `$home`, part by part. What is done
    `before` and `after` a stage is not measured.

    Its `costly` stages are measured over smaller trees only (see stages.SLOW_FROM).
    """

    name: str
    install: str
    stages: dict[str, str]
    setup: str = ""
    before: dict[str, str] = {}  # noqa: RUF012
    after: dict[str, str] = {}  # noqa: RUF012 (a NamedTuple's default; nobody changes it)
    env: dict[str, str] = {}  # noqa: RUF012
    stored: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
    version: str = "--version"
    verified: bool = False
    program: str = ""
    note: str = ""
    costly: frozenset[str] = frozenset()

    def is_installed(self) -> bool:
        return shutil.which(self.program or self.name) is not None

    def version_line(self) -> str:
        """The first line that the program prints about its version."""
        command = [self.program or self.name, self.version]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return " ".join((done.stdout or done.stderr).split("\n\n")[0].split())[:70]

    @property
    def owns_root(self) -> bool:
        """Whether it works on a copy of the tree, because a stage changes it."""
        return "patch" in self.stages


EPMSTORE = Contestant(
    name="epmstore",
    install="make setup",
    env={"EPMSTORE_STORE": "$home/store"},
    setup="epmstore init && epmstore app add tree $root",
    stages={
        "cold": "epmstore snapshot -m cold",
        "again": "epmstore snapshot",
        "status": "epmstore status",
        "patch": "epmstore snapshot -m patch",
        "touched": "epmstore snapshot -m touched",
        "back": "epmstore checkout 0",
        "full": "epmstore checkout 0 --target $out",
        "tenth": "epmstore snapshot -m cold",
        "huge": "epmstore snapshot -m huge",
        "random": "epmstore snapshot -m random",
        "ahead": "epmstore snapshot -m ahead",
        "before": "epmstore snapshot -m before",
        "behind": "epmstore snapshot -m behind",
        "start": "exec epmstore --version",
    },
    stored={
        "packs": ("store/packs",),
        "catalogs": ("store/catalogs",),
        "index": ("store/index.sqlite*",),
        "stat cache": ("store/live",),
    },
    verified=True,
)


def earlier(program: str) -> Contestant:
    """Another release of epmstore, by the path of its program: what a change costs is its ratio to
    this one in one run.
    """
    quoted = shlex.quote(program)

    def by_it(command: str) -> str:
        return re.sub(r"\bepmstore (?=init|app|snapshot|status|checkout|--)", f"{quoted} ", command)

    stages = {stage: by_it(command) for stage, command in EPMSTORE.stages.items()}
    setup = by_it(EPMSTORE.setup)
    return EPMSTORE._replace(name="earlier", program=program, stages=stages, setup=setup)


TAR = Contestant(
    name="zstd",
    install="apt install zstd",
    stages={
        "cold": "tar -cf - . | zstd -q -3 -T2 -o $home/cold.tar.zst",
        "full": "zstd -q -dc $home/cold.tar.zst | tar -xf - -C $out",
    },
    stored={"archive": ("cold.tar.zst",)},
)

CP = Contestant(
    name="cp",
    install="",
    stages={"cold": "cp -a $root $home/copy", "full": "cp -a $older/. $out"},
)

RSYNC = Contestant(
    name="rsync",
    install="apt install rsync",
    stages={
        "cold": "rsync -a $root/ $home/copy/",
        "again": "rsync -a $root/ $home/copy/",
        "patch": "rsync -a --delete $root/ $home/copy/",
        "back": "rsync -a --delete $older/ $root/",
    },
)

GIT = Contestant(
    name="git",
    install="apt install git",
    env={"GIT_DIR": "$home/git", "GIT_WORK_TREE": "$root", "GIT_CONFIG_NOSYSTEM": "1"},
    setup="git init -q && git config gc.auto 0 && git config user.name bench"
    " && git config user.email bench@localhost",
    stages={
        "cold": "git add -A -f .",
        "again": "git status --porcelain",
        "patch": "git add -A -f .",
        "back": "git checkout -q -f cold",
        "full": "GIT_WORK_TREE=$out git checkout -q -f cold -- .",
    },
    after={
        "cold": "git commit -q -m cold && git tag cold",
        "patch": "git commit -q -m patch && git tag patch",
    },
    stored={"objects": ("git/objects",)},
)

RESTIC = Contestant(
    name="restic",
    install="apt install restic",
    env={
        "RESTIC_REPOSITORY": "$home/repository",
        "RESTIC_PASSWORD": "bench",
        "RESTIC_CACHE_DIR": "$home/cache",
    },
    setup="restic init -q",
    stages={
        "cold": "restic backup -q --tag cold .",
        "again": "restic backup -q .",
        "patch": "restic backup -q .",
        "touched": "restic backup -q .",
        "huge": "restic backup -q .",
        "random": "restic backup -q .",
        "ahead": "restic backup -q .",
        "before": "restic backup -q .",
        "behind": "restic backup -q .",
        "back": "restic restore -q latest --tag cold --target $root",
        "full": "restic restore -q latest --tag cold --target $out",
    },
    # this release cannot write a symlink where there is one
    before={"back": "find $root -type l -delete"},
    stored={"repository": ("repository",)},
    version="version",
)

BORG = Contestant(
    name="borg",
    install="apt install borgbackup",
    env={
        "BORG_REPO": "$home/repository",
        "BORG_BASE_DIR": "$home/base",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
    },
    setup="borg init -e none",
    stages={
        "cold": "borg create -C zstd,1 ::cold .",
        "again": "borg create -C zstd,1 ::again .",
        "patch": "borg create -C zstd,1 ::patch .",
        "touched": "borg create -C zstd,1 ::touched .",
        "huge": "borg create -C zstd,1 ::huge .",
        "random": "borg create -C zstd,1 ::random .",
        "ahead": "borg create -C zstd,1 ::ahead .",
        "before": "borg create -C zstd,1 ::before .",
        "behind": "borg create -C zstd,1 ::behind .",
        "full": "cd $out && borg extract ::cold",
    },
    stored={"repository": ("repository",)},
)

OSTREE = Contestant(
    name="ostree",
    install="apt install ostree",
    setup="ostree --repo=$home/repo init --mode=bare-user",
    stages={
        "cold": "ostree --repo=$home/repo commit -b cold --tree=dir=$root -s cold",
        "again": "ostree --repo=$home/repo commit -b again --tree=dir=$root -s again",
        "patch": "ostree --repo=$home/repo commit -b patch --tree=dir=$root -s patch",
        "full": "ostree --repo=$home/repo checkout -U -C cold $out/tree",
    },
    stored={"repo": ("repo",)},
    note="mode bare-user: stores files as they are, and could check out by hard links; fsync on",
)

OSTREE_ARCHIVE = OSTREE._replace(
    name="ostree-archive",
    program="ostree",
    setup="ostree --repo=$home/repo init --mode=archive",
    note="mode archive: a gzip file for each content; fsync on",
    costly=frozenset({"again", "full"}),
)

CASYNC = Contestant(
    name="casync",
    install="apt install casync",
    stages={
        "cold": "casync make --cache=$home/cache --store=$home/s.castr $home/cold.caidx $root",
        "again": "casync make --cache=$home/cache --store=$home/s.castr $home/2.caidx $root",
        "patch": "casync make --cache=$home/cache --store=$home/s.castr $home/3.caidx $root",
        "back": "casync extract --store=$home/s.castr $home/cold.caidx $root",
        "full": "casync extract --store=$home/s.castr $home/cold.caidx $out",
    },
    stored={"chunks": ("s.castr", "*.caidx")},
    note="default chunks, zstd; with its encoder cache; no fsync",
)

BUP = Contestant(
    name="bup",
    install="apt install bup",
    env={"BUP_DIR": "$home/bup"},
    setup="bup init",
    stages={
        "cold": "bup index -u . && bup save -q -n cold --strip .",
        "again": "bup index -u . && bup save -q -n again --strip .",
        "patch": "bup index -u . && bup save -q -n patch --strip .",
        "full": "bup restore -q -C $out /cold/latest/.",
    },
    stored={"repository": ("bup/objects",)},
    note="index and save, zlib -1, and the index of the files not counted as store",
    costly=frozenset({"full"}),
)

PYTHON = Contestant(
    name="python",
    install="",
    stages={"start": "exec python -c pass"},
)

ALL = (
    EPMSTORE,
    TAR,
    CP,
    RSYNC,
    GIT,
    RESTIC,
    BORG,
    OSTREE,
    OSTREE_ARCHIVE,
    CASYNC,
    BUP,
    PYTHON,
)
