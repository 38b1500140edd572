"""What is given to hosts, made from this tree: `python -m deb.build FOLDER`, or `make dist`.

The wheel, the source archive, and `epmstore_VERSION_amd64.deb` for Debian 12. One commit makes the
same bytes wherever and whenever they are made: times are the commit's (or SOURCE_DATE_EPOCH), modes
and owners are set, and nothing says where it was built. docs/adr/0034 has why it is made this way.
"""

import email
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deb.locked import runtime
from deb.papers import changelog, control, copyright_of, debian_version
from deb.wheels import fetch, unpack

HERE: Final = Path(__file__).resolve().parent
TOP: Final = HERE.parents[1]
PREFIX: Final = "/opt/epmstore"
CURRENT: Final = f"{PREFIX}/current"
"""The link to the release that is run. It is not in the package: its scripts set it."""
NEWEST: Final = f"{PREFIX}/newest"
"""Names the release that was unpacked last."""
SITE: Final = "lib/python3.11/site-packages"
INTERPRETER: Final = "/usr/bin/python3.11"
SCRIPTS: Final = ("postinst", "prerm", "postrm")
COMPLETIONS: Final = {
    "bash": "usr/share/bash-completion/completions/epmstore",
    "zsh": "usr/share/zsh/vendor-completions/_epmstore",
    "fish": "usr/share/fish/vendor_completions.d/epmstore.fish",
}


def main(args: list[str]) -> int:
    """Make all three; the exit code."""
    if len(args) != 1:
        sys.stderr.write("usage: python -m deb.build FOLDER\n")
        return 2
    out = Path(args[0]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch())
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    sys.stdout.writelines(f"{path}\n" for path in python_packages(out, project))
    if shutil.which("dpkg-deb") is None:
        sys.stderr.write("dpkg-deb is not here, so there is no .deb\n")
        return 1
    sys.stdout.write(f"{deb_package(out, project)}\n")
    return 0


def epoch() -> int:
    """The time that everything has. Raises SystemExit where it is not given, and there is no commit
    that has it.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        return int(given)
    command = ["git", "-C", str(TOP), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit("what time is it to have? Set SOURCE_DATE_EPOCH")
    return int(done.stdout)


def python_packages(out: Path, project: dict[str, Any]) -> tuple[Path, Path]:
    """The wheel and the source archive."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d"]
    subprocess.run([*command, str(out)], cwd=TOP, stdout=subprocess.DEVNULL, check=True)
    name = f"{project['name']}-{project['version']}"
    return out / f"{name}-py3-none-any.whl", out / f"{name}.tar.gz"


def deb_package(out: Path, project: dict[str, Any]) -> Path:
    """The Debian package, of the wheel that is in `out`. Raises CalledProcessError, ValueError."""
    version = debian_version(project["version"])
    target = out / f"epmstore_{version}_amd64.deb"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "wheels").mkdir()
        wheels = fetch(runtime((TOP / "requirements.lock").read_text()), work / "wheels")
        own = out / f"{project['name']}-{project['version']}-py3-none-any.whl"
        tree = work / "tree"
        unpack([*wheels, own], work / "site")
        release = f"{version}-{identity(work / 'site')}"
        home = add_programs(tree, project["scripts"], release)
        shutil.move(work / "site", tree / home[1:] / SITE)
        add_units(tree)
        add_papers(tree, version, tree / home[1:] / SITE)
        shutil.copytree(HERE / "etc", tree / "etc/epmstore")
        (tree / "etc/epmstore/apps.d").mkdir()
        add_control(tree, version)
        settle(tree)
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build"]
        subprocess.run([*command, tree, target], stdout=subprocess.DEVNULL, check=True)
    return target


def identity(site: Path) -> str:
    """Tells the files of two builds apart, also those of one version."""
    found = hashlib.sha256()
    for path in files(site):
        found.update(f"{path.relative_to(site)}\0{path.stat().st_size}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def add_programs(tree: Path, scripts: dict[str, str], release: str) -> str:
    """An environment as `venv` makes it, without what it says of the place where it is made; the
    programs in it, and links to them. Where it will be: each release has a place of its own.

    -I: neither variables nor a user's own packages change what root runs.
    """
    home = f"{PREFIX}/releases/{release}"
    (tree / home[1:] / "lib/python3.11").mkdir(parents=True)
    (tree / NEWEST[1:]).write_text(f"{release}\n")
    programs = tree / home[1:] / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(INTERPRETER)
    settings = f"home = {Path(INTERPRETER).parent}\ninclude-system-site-packages = false\n"
    (programs.parent / "pyvenv.cfg").write_text(f"{settings}version = 3.11\n")
    links = tree / "usr/bin"
    links.mkdir(parents=True)
    for name, where in scripts.items():
        module, _, function = where.partition(":")
        program = f"import sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"
        (programs / name).write_text(f"#!{home}/bin/python3 -I\n{program}")
        (programs / name).chmod(0o755)
        (links / name).symlink_to(f"{CURRENT}/bin/{name}")
    return home


def add_units(tree: Path) -> None:
    """Units that run the programs of this package, whatever else a host has of that name."""
    systemd = TOP / "daemon/systemd"
    units = tree / "lib/systemd/system"
    units.mkdir(parents=True)
    for unit in (systemd / "system").iterdir():
        text = unit.read_text().replace(
            "\nExecStart=epmstore", f"\nExecStart={CURRENT}/bin/epmstore"
        )
        (units / unit.name).write_text(text)
    for kind in ("sysusers.d", "tmpfiles.d"):
        shutil.copytree(systemd / kind, tree / "usr/lib" / kind)


def add_papers(tree: Path, version: str, site: Path) -> None:
    """Manual pages, completions, documents, and what lintian is to know."""
    pages = tree / "usr/share/man/man1"
    run("epmstore.cli.man", str(pages))
    for page in list(pages.iterdir()):
        compress(page, page.read_bytes())
        page.unlink()
    for shell, place in COMPLETIONS.items():
        (tree / place).parent.mkdir(parents=True)
        (tree / place).write_text(run("epmstore", "completion", shell))
    documents = tree / "usr/share/doc/epmstore"
    shutil.copytree(TOP / "docs", documents / "docs")
    (documents / "daemon").mkdir()
    for name in ("README.md", "daemon/README.md"):
        shutil.copyfile(TOP / name, documents / name)
    compress(documents / "CHANGELOG.md", (TOP / "CHANGELOG.md").read_bytes())
    compress(documents / "changelog", changelog(version, epoch()).encode())
    others = [
        (path.parent.name, email.message_from_string(path.read_text()))
        for path in sorted(site.glob("*.dist-info/METADATA"))
        if not path.parent.name.startswith("epmstore-")
    ]
    (documents / "copyright").write_text(copyright_of(others))
    overrides = tree / "usr/share/lintian/overrides"
    overrides.mkdir(parents=True)
    shutil.copyfile(HERE / "lintian-overrides", overrides / "epmstore")


def run(*words: str) -> str:
    """What a module of ours prints, as this tree has it."""
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def compress(path: Path, data: bytes) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))


def add_control(tree: Path, version: str) -> None:
    """What dpkg reads: fields, scripts, which files are the administrator's, and sums of all."""
    found = list(files(tree))
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}"
        f"  {path.relative_to(tree)}\n"
        for path in found
    ]
    folder = tree / "DEBIAN"
    folder.mkdir()
    size = sum(path.stat().st_size for path in found)
    (folder / "control").write_text(control(version, size))
    (folder / "md5sums").write_text("".join(sums))
    configuration = (f"/{path.relative_to(tree)}\n" for path in files(tree / "etc"))
    (folder / "conffiles").write_text("".join(configuration))
    for name in SCRIPTS:
        shutil.copyfile(HERE / name, folder / name)
        (folder / name).chmod(0o755)


def files(folder: Path) -> Iterator[Path]:
    """All plain files, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def settle(tree: Path) -> None:
    """Modes and times that depend on nothing: who may run a file may, and nobody may write."""
    times = (epoch(), epoch())
    for path in [*tree.rglob("*"), tree]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, times, follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
