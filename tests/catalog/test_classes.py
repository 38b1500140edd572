"""Classes of paths: gitignore(5), with lists that have an order."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epmstore.catalog.classes import Class, Patterns, Rules
from epmstore.errors import UsageError


def ignored(patterns: list[str], path: str) -> bool:
    """`path` ends with a slash if it is a folder."""
    rules = Rules(Patterns(ignore=tuple(patterns)))
    return rules.classify(path.rstrip("/"), path.endswith("/")) == "ignore"


@pytest.mark.parametrize(
    ("patterns", "yes", "no"),
    [
        (["*.log"], ["a.log", "x/y/a.log", ".log", "a.log/", "a.log/x"], ["a.logs", "log"]),
        (["cache/"], ["cache/", "x/cache/", "x/cache/y"], ["cache", "x/cache"]),
        (["/cache"], ["cache", "cache/x"], ["x/cache"]),
        (["a/b"], ["a/b", "a/b/c"], ["x/a/b", "a", "b"]),
        (["**/a/b"], ["a/b", "x/a/b", "x/y/a/b/z"], ["a", "b"]),
        (["logs/**"], ["logs/a", "logs/a/b"], ["logs", "logs/", "x/logs/a"]),
        (["a/**/z"], ["a/z", "a/b/c/z"], ["z", "b/z"]),
        (["*.log", "!keep.log"], ["a.log"], ["keep.log", "x/keep.log"]),
        (["!keep.log", "*.log"], ["keep.log"], []),
        (["logs/", "!logs/keep"], ["logs/keep"], []),
        (["logs/*", "!logs/keep"], ["logs/a"], ["logs/keep", "logs/"]),
        (["file?.[ch]"], ["file1.c", "x/file2.h"], ["file10.c", "file1.d"]),
        (["\\!x", "\\#y"], ["!x", "#y"], ["x", "y"]),
        (["é*"], ["énorme"], ["e"]),
        (["*"], ["a", "b/c", "x/"], []),
        ([" a "], [" a"], ["a", "a "]),
        (["/a", "!a"], [], ["a/", "a/b"]),
    ],
)
def test_patterns_are_those_of_gitignore(
    patterns: list[str], yes: list[str], no: list[str]
) -> None:
    assert [path for path in yes if not ignored(patterns, path)] == []
    assert [path for path in no if ignored(patterns, path)] == []


def test_names_that_are_not_utf8_have_classes_too() -> None:
    assert ignored(["*.log"], "\udcff.log")
    assert ignored(["x/*.log"], "x/\udcff.log")
    assert not ignored(["*.log"], "\udcff")


ALL = Patterns(
    ignore=("*.tmp",), secret=("*.key", "vault/"), state=("data/", "*.db"), config=("etc/", "*.ini")
)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("bin/a", "program"),
        ("etc", "config"),
        ("etc/a/b", "config"),
        ("etc/a.tmp", "ignore"),
        ("etc/a.key", "secret"),
        ("etc/a.db", "state"),
        ("data/a.ini", "state"),
        ("data/vault/x", "secret"),
        ("vault/a.tmp/x", "ignore"),
    ],
)
def test_the_strongest_list_decides(path: str, wanted: Class) -> None:
    folders = path.count("/")
    assert Rules(ALL).classify(path, is_dir=folders == 0 and wanted != "program") == wanted


@given(st.lists(st.sampled_from(["a", "etc", "data", "x.tmp", "x.key"]), min_size=1, max_size=4))
def test_the_order_of_questions_does_not_matter(names: list[str]) -> None:
    walk = Rules(ALL)
    for depth in range(1, len(names)):
        walk.classify("/".join(names[:depth]), is_dir=True)
    path = "/".join(names)
    for is_dir in (False, True):
        assert walk.classify(path, is_dir) == Rules(ALL).classify(path, is_dir)


def test_very_deep_paths_are_no_trouble() -> None:
    assert Rules(ALL).classify("/".join(["etc"] * 1300)) == "config"


def test_without_patterns_all_is_program() -> None:
    rules = Rules(Patterns())
    assert rules.classify("etc/passwd") == rules.classify("x", is_dir=True) == "program"


@pytest.mark.parametrize("pattern", ["", " ", "#x", "!", "/", "a[", "a\\"])
def test_patterns_that_match_no_path_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        Rules(Patterns(state=("fine", pattern)))


def test_the_digest_tells_rules_apart() -> None:
    values = [
        Patterns(),
        Patterns(ignore=("a",)),
        Patterns(state=("a",)),
        Patterns(ignore=("a", "b")),
        Patterns(ignore=("b", "a")),
        Patterns(ignore=("ab",)),
    ]
    assert len({value.digest() for value in values}) == len(values)
    assert Rules(values[1]).digest() == Patterns(ignore=("a",)).digest()


GLOBS = st.lists(
    st.sampled_from(
        [
            *(
                "*.log",
                "a",
                "a/",
                "/a",
                "a/b",
                "b/*",
                "b/**",
                "**/b",
                "*",
                "?",
                "**",
                "a/**/",
                "x*",
            ),
            *(
                "!a",
                "!*.log",
                "!a/b",
                "!/a",
                "!b/",
                "!**/a",
                "!b/**",
                "!*",
                "a/**/b",
                "/*/",
                "!/*/",
            ),
        ]
    ),
    min_size=1,
    max_size=4,
)
NAMES = ["a", "b", "x.log"]
TREES = {"flat": NAMES, "deep": [f"{folder}/{name}" for folder in NAMES for name in NAMES]}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Repositories of which git sees what is a folder."""
    roots = {}
    for key, files in TREES.items():
        roots[key] = root = tmp_path_factory.mktemp(key)
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        for path in files:
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).touch()
    return roots


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")
@settings(max_examples=50)
@given(GLOBS)
def test_git_agrees(roots: dict[str, Path], patterns: list[str]) -> None:
    for key, root in roots.items():
        (root / ".git" / "info" / "exclude").write_text("\n".join(patterns) + "\n")
        paths = sorted({*NAMES, *TREES[key]})
        found = subprocess.run(
            ["git", "-C", str(root), "check-ignore", "--no-index", "-z", "--stdin"],
            input="\0".join(paths),
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split("\0")
        rules = Rules(Patterns(ignore=tuple(patterns)))
        ours = [path for path in paths if rules.classify(path, (root / path).is_dir()) == "ignore"]
        assert ours == found[:-1], key


@pytest.mark.parametrize("pattern", ["[[a]x", "/[[a]x", "b/[a[:b]x", "[a&&b]", "[a~~b]"])
@pytest.mark.filterwarnings("error")
def test_odd_classes_are_no_matter_for_a_warning(pattern: str) -> None:
    assert not ignored([pattern], "x")


@pytest.mark.parametrize("pattern", ["[b-a]", "[a--b]", "x/[!z-a]"])
def test_a_range_that_ends_before_it_begins_is_no_pattern(pattern: str) -> None:
    with pytest.raises(UsageError):
        Rules(Patterns(ignore=(pattern,)))
