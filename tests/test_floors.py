"""The shape of the whole project, read from its syntax trees: who imports whom, who may do what.

Imports go down the floors only. A .py file directly in epmstore/ is ground floor; a folder is one
subsystem, on the floor that FLOORS names; files of one folder import each other without cycles.
"""

import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Folders that are not there yet have their floor, too.
FLOORS = {
    "epmstore": 0,
    "epmstore.index": 1, "epmstore.remotes": 1,
    "epmstore.blobs": 2, "epmstore.catalog": 2, "epmstore.scan": 2,
    "epmstore.store": 3,
    "epmstore.record": 4,
    "epmstore.checkout": 5,
    "epmstore.care": 6, "epmstore.refcat": 6,
    "epmstore.package": 7, "epmstore.sync": 7,
    "epmstore.publish": 8,
    "epmstore.workspace": 9,
    "epmstore.cli": 10, "epmstore.testing": 10,
    "epmstored": 11,
}  # fmt: skip
LIBRARY_BELOW = FLOORS["epmstore.cli"]  # synchronous, silent, no ambient input

# One file that is copied to hosts without epmstore: it shares nothing, and may be longer.
STANDALONE = "epmstore.rescue"

# Ways into the house, not ground floor: the program, and what users of the library import.
DOORS = {"epmstore.__main__": "epmstored", "epmstore.api": "epmstore.cli"}

# Pairs that the floors would allow.
FORBIDDEN = {("epmstored", "epmstore.cli"), ("epmstored", "epmstore.testing")}

# What makes contents part of a store, and who may: the door of new ones, and who writes anew what
# is there already.
ENTRANCES = {
    "epmstore.store.commit.store_groups": {"epmstore.store.deposit"},
    "epmstore.blobs.pack.publish_pack": {
        "epmstore.store.commit", "epmstore.care.heal", "epmstore.care.gc", "epmstore.care.purge",
    },
}  # fmt: skip

# What a module whose docstring says "Pure" never imports: it decides, and touches no disk, network,
# clock or event loop.
PURE = re.compile(r"\bPure\b(?!,? but)")
EFFECTS = {
    "asyncio", "fcntl", "io", "mmap", "multiprocessing", "pathlib", "select", "selectors", "shutil",
    "socket", "sqlite3", "subprocess", "tempfile", "threading", "time",
}  # fmt: skip
HARMLESS_OS = {
    "os", "os.fsencode", "os.fsdecode", "os.fspath", "os.PathLike", "os.path", "os.path.basename",
}  # fmt: skip

# Libraries (or parts of the standard one) and the modules or folders that alone import them.
OWNERS = {
    "zstandard": {"epmstore.codec", STANDALONE},
    "backports.zstd": {"epmstore.codec"},
    "compression.zstd": {"epmstore.codec"},
    "pysequoia": {"epmstore.refcat.signature"},
    "resolvelib": {"epmstore.package.search"},
    "click": {"epmstore.cli"},
    "rich": {"epmstore.cli"},
    "logging": {"epmstored"},
    "obstore": {"epmstore.remotes.object_errors", "epmstore.remotes.objects_remote"},
    "paramiko": {
        "epmstore.remotes.sftp_channel",
        "epmstore.remotes.sftp_connection",
        "epmstore.remotes.sftp_errors",
        "epmstore.remotes.sftp_remote",
    },
    "psycopg": {"epmstore.publish.postgresrecords"},
    "asyncio": {"epmstored"},
    "aiofiles": {"epmstored"},
    "watchdog": {"epmstored"},
}

# What changes a file system goes through epmstore/fsio.py, so that one file knows every such call.
MUTATING = {
    "os": {
        "chflags", "chmod", "chown", "copy_file_range", "fchmod", "fchown", "fdatasync", "fsync",
        "ftruncate", "lchmod", "lchown", "link", "makedirs", "mkdir", "mkfifo", "mknod",
        "posix_fallocate", "pwrite", "pwritev", "remove", "removedirs", "removexattr", "rename",
        "renames", "replace", "rmdir", "sendfile", "setxattr", "symlink", "sync", "truncate",
        "unlink", "utime", "write", "writev",
        "O_APPEND", "O_CREAT", "O_RDWR", "O_TMPFILE", "O_TRUNC", "O_WRONLY",
    },
    "shutil": {"*"},
    "tempfile": {"*"},
}  # fmt: skip
# Methods of pathlib.Path whose names nothing else has.
MUTATING_METHODS = {"hardlink_to", "symlink_to", "touch", "write_bytes", "write_text"}
BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert,
    ast.match_case,
)  # fmt: skip
AMBIENT = {
    "os.environ", "os.environb", "os.getenv", "os.getenvb", "os.path.expanduser",
    "os.path.expandvars", "Path.home", "pathlib.Path.home", "sys.stdout", "sys.stderr", "sys.stdin",
    "sys.argv",
}  # fmt: skip


@cache
def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name; a package stands for its __init__.py."""
    found: dict[str, Path] = {}
    for base, top in ((ROOT, "epmstore"), (ROOT / "daemon", "epmstored")):
        for path in sorted((base / top).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


@cache
def syntax(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported, wherever in the file it is."""
    for node in ast.walk(syntax(module)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            assert node.module is not None
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_within(name: str, owner: str) -> bool:
    return name == owner or name.startswith(owner + ".")


def folder(module: str) -> str:
    """The subsystem that a module belongs to: its folder, or the ground."""
    top, *rest = module.split(".")
    if top == "epmstored":
        return top
    is_folder = bool(rest) and (ROOT / top / rest[0]).is_dir()
    return f"{top}.{rest[0]}" if is_folder else top


def imported_module(target: str) -> str | None:
    """The module of ours that an imported name lives in."""
    while target and target not in modules():
        target = target.rpartition(".")[0]
    return target or None


def floor_owner(target: str) -> str | None:
    """The subsystem that an imported name belongs to, built or not; None for foreign names."""
    owners = [owner for owner in FLOORS if is_within(target, owner)]
    return max(owners, key=len, default=None)


def dotted(node: ast.expr) -> str:
    """`os.path.join` of an attribute chain; empty when it does not begin with a plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def names_used(module: str) -> Iterator[tuple[int, str]]:
    """Dotted names that a module imports or reaches through an imported module."""
    yield from imports(module)
    for node in ast.walk(syntax(module)):
        if isinstance(node, ast.Attribute):
            yield node.lineno, dotted(node)


def below_cli() -> list[str]:
    library = set(modules()) - {STANDALONE}
    return [name for name in library if FLOORS.get(folder(name), 0) < LIBRARY_BELOW]


def test_the_project_is_found() -> None:
    assert "epmstore" in modules()


def test_every_folder_has_a_floor() -> None:
    folders = {folder(name) for name in modules()}
    assert folders <= set(FLOORS), f"no floor: {sorted(folders - set(FLOORS))}"


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_down_only(name: str) -> None:
    here = DOORS.get(name, folder(name))
    for line, target in imports(name):
        there = floor_owner(target)
        if there is None or there == here:
            continue
        assert FLOORS[there] < FLOORS[here], f"{name}:{line} imports {target}: no lower floor"
        if name != "epmstore.__main__":
            assert (here, there) not in FORBIDDEN, f"{name}:{line} imports {target}"


def test_nobody_inside_comes_in_by_the_door_of_users() -> None:
    for name in modules():
        for line, target in imports(name):
            assert imported_module(target) != "epmstore.api", f"{name}:{line} imports {target}"


def test_no_cycles() -> None:
    graph = {
        name: {found for _, target in imports(name) if (found := imported_module(target))} - {name}
        for name in modules()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' > '.join(error.args[1])}")


@pytest.mark.parametrize(
    "name", [name for name in modules() if PURE.search(ast.get_docstring(syntax(name)) or "")]
)
def test_pure_modules_have_no_effects(name: str) -> None:
    for line, used in names_used(name):
        first = used.split(".")[0]
        assert first not in EFFECTS, f"{name}:{line}: {used}"
        assert first != "os" or used in HARMLESS_OS, f"{name}:{line}: {used}"


@pytest.mark.parametrize("library", OWNERS)
def test_library_is_imported_by_its_owner_only(library: str) -> None:
    for name in modules():
        if any(is_within(name, owner) for owner in OWNERS[library]):
            continue
        for line, target in imports(name):
            assert not is_within(target, library), f"{name}:{line} imports {target}"


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_contents_come_in_by_the_doors_there_are(entrance: str) -> None:
    users = {name for name in modules() if entrance in {found for _, found in imports(name)}}
    assert users == ENTRANCES[entrance]


def test_the_standalone_program_shares_nothing() -> None:
    for line, target in imports(STANDALONE):
        first = target.split(".")[0]
        allowed = first in sys.stdlib_module_names or first == "zstandard"
        assert allowed, f"{STANDALONE}:{line} imports {target}"
    for name in modules():
        assert STANDALONE not in {target for _, target in imports(name)}, name


def opens_for_writing(node: ast.AST) -> bool:
    """A call of open() or .open() with a mode that writes."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    is_method = isinstance(function, ast.Attribute) and function.attr == "open"
    if not is_method and not (isinstance(function, ast.Name) and function.id == "open"):
        return False
    modes = [*node.args[:2], *(word.value for word in node.keywords if word.arg == "mode")]
    return any(
        isinstance(mode, ast.Constant)
        and isinstance(mode.value, str)
        and set(mode.value) <= set("rwaxbt+")
        and set(mode.value) & set("wax+")
        for mode in modes
    )


@pytest.mark.parametrize("name", sorted(set(modules()) - {"epmstore.fsio", STANDALONE}))
def test_only_fsio_changes_files(name: str) -> None:
    for line, used in names_used(name):
        first, _, rest = used.partition(".")
        forbidden = MUTATING.get(first, set())
        assert not forbidden & {"*", rest}, f"{name}:{line}: {used} belongs in fsio"
    for node in ast.walk(syntax(name)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in MUTATING_METHODS, f"{name}:{node.lineno}: .{node.attr}"
        if isinstance(node, ast.Call):
            assert not opens_for_writing(node), f"{name}:{node.lineno}: opens for writing"


@pytest.mark.parametrize("name", sorted(below_cli()))
def test_library_takes_no_ambient_input(name: str) -> None:
    for line, used in names_used(name):
        assert used not in AMBIENT, f"{name}:{line}: {used}"


def complexity(function: ast.AST) -> int:
    """Ways through a function. Unlike ruff's C901 (at most 10) it counts conditions within one
    statement, too.
    """
    ways = 1
    for node in ast.walk(function):
        if isinstance(node, BRANCHES):
            ways += 1
        elif isinstance(node, ast.BoolOp):
            ways += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            ways += 1 + len(node.ifs)
    return ways


@pytest.mark.parametrize("name", sorted(modules()))
def test_sizes_stay_below_the_walls(name: str) -> None:
    lines = modules()[name].read_text(encoding="utf-8").count("\n")
    wall = 1050 if name == STANDALONE else 600
    assert lines <= wall, f"{name} has {lines} lines: split it by meaning"
    for node in ast.walk(syntax(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 50, f"{name}:{node.lineno}: {node.name} has {length} lines"
            ways = complexity(node)
            assert ways <= 20, f"{name}:{node.lineno}: {node.name} has {ways} ways through it"


def type_names(module: str) -> Iterator[str]:
    """Public classes and type aliases that a module defines."""
    for node in syntax(module).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and dotted(node.annotation) == "TypeAlias":
            yield dotted(node.target)


def test_a_type_name_means_one_thing() -> None:
    """One word per thing: no public type has the name of another one."""
    homes: dict[str, list[str]] = {}
    for module in sorted(set(modules()) - {STANDALONE}):
        for name in type_names(module):
            homes.setdefault(name, []).append(module)
    twice = {name: found for name, found in homes.items() if len(found) > 1 and name[0] != "_"}
    assert not twice, f"give each its own word (docs/design.md): {twice}"


# Basenames that several modules have, because each is about the same thing on another floor.
SAME_SUBJECT = {
    "__init__": "a folder",
    "__main__": "an entry point",
    "main": "entry points of two programs",
    "apps": "the applications of a host: the verbs, and the commands for them",
    "care": "looking after a store: the verbs, and the daemon's schedule of them",
    "catalogs": "reference catalogs: those of a store, and the verbs",
    "clock": "time as a parameter: for records, and for waiting, too",
    "config": "settings: the schema, and the command that shows them",
    "damage": "what a check of a store found: values, and their lines for people",
    "drill": "the restore drill, and its command",
    "history": "what was recorded: one catalog file, and the commands that look back",
    "obligations": "what a checkout owes: the file, the facet, the commands",
    "publish": "a candidate becomes a release: the use case, and its command",
    "purge": "purging, and its command",
    "remotes": "remotes of a store: the verbs, and the commands for them",
    "repair": "repairing a root, and its command",
    "report": "the report of an application, and its command",
    "salvage": "what can still be read of damaged files: packs, catalogs",
    "status": "what a root differs in, and its command",
    "store": "a store, opened, and the commands for it",
    "verify": "verification, and its command",
}  # fmt: skip


@pytest.mark.parametrize(
    "name", sorted(name for name in modules() if modules()[name].name == "__init__.py")
)
def test_the_docstring_of_a_folder_lists_its_files(name: str) -> None:
    listed = re.findall(r"^- (\w+\.py) ", ast.get_docstring(syntax(name)) or "", re.MULTILINE)
    there = [path.name for path in modules()[name].parent.glob("[!_]*.py")]
    assert sorted(listed) == sorted(there)


def test_a_module_name_means_one_thing() -> None:
    """A basename that two folders have must be about one subject: SAME_SUBJECT says which."""
    homes: dict[str, list[str]] = {}
    for module, path in modules().items():
        homes.setdefault(path.stem, []).append(module)
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert set(twice) - set(SAME_SUBJECT) == set(), twice
    stale = set(SAME_SUBJECT) - set(twice) - {"__main__"}
    assert not stale, f"no longer needed: {stale}"


# Docstrings and comments have subjects: the caller, a reader, no other process. And None is None.
VAGUE = re.compile(
    r"\b(?:whoever|(?:some|any|no|every)body|be had)\b|(?<!`)(?<!\bor )\bnull\b(?!`)", re.IGNORECASE
)


def said(module: str) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring and comment of a module."""
    for node in ast.walk(syntax(module)):
        body = getattr(node, "body", None)
        for one in body if isinstance(body, list) else ():
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
                yield one.lineno, str(one.value.value)
    with modules()[module].open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


@pytest.mark.parametrize("name", sorted(modules()))
def test_docstrings_and_comments_say_who(name: str) -> None:
    for line, text in said(name):
        found = VAGUE.search(text)
        assert found is None, f"{name}:{line}: {found}"


def test_names_of_tests_say_the_behaviour() -> None:
    """`rollback_keeps_files_added_by_hand`: who does what, so that a red line can be read alone."""
    pattern = re.compile(r"def (test_what_\w+)")
    for path in sorted((ROOT / "tests").rglob("*.py")):
        found = pattern.findall(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found}"
