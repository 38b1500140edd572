"""What is recorded of a root that is not as planned is a tree, whatever was found."""

from hypothesis import given
from hypothesis import strategies as st

from epmstore.checkout.found import as_tree
from epmstore.relpath import RelPath, parents
from epmstore.tree import Entry

Kinds = dict[str, str]

paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
kinds = st.sampled_from(["file", "directory", "symlink"])


def entry(path: str, kind: str) -> Entry:
    assert kind in ("file", "directory", "symlink")
    return Entry(path=RelPath(path), kind=kind, mode=0o755, uid=0, gid=0)  # type: ignore[arg-type]


def tree_of(found: Kinds) -> Kinds:
    """Without what lies in no folder, all folders made."""
    made: Kinds = {}
    for path in sorted(found):
        if all(made.get(folder, "directory") == "directory" for folder in parents(path)):
            made |= dict.fromkeys(parents(path), "directory")
            made.setdefault(path, found[path])
    return made


def is_tree(found: Kinds) -> bool:
    return all(found.get(folder) == "directory" for path in found for folder in parents(path))


trees = st.dictionaries(paths, kinds, max_size=8).map(tree_of)


@given(recorded=trees, wanted=trees, there=trees, unread=st.sets(paths, max_size=3))
def test_found_entries_are_recorded_as_a_tree(
    recorded: Kinds, wanted: Kinds, there: Kinds, unread: set[str]
) -> None:
    """A part of what is there: of a plan between two trees, somebody else's third tree was found;
    some paths are not in the plan, and history has them.
    """
    changed = sorted(
        {path for path in {*recorded, *there} if recorded.get(path) != there.get(path)}
    )
    folders = {path for path, kind in there.items() if kind == "directory"}
    changes = {
        RelPath(path): entry(path, there[path]) if path in there else None
        for path in changed
        if path not in unread or path not in recorded
    }
    base = {RelPath(path): entry(path, kind) for path, kind in recorded.items()}
    made_there = {*folders, *_folders(wanted)} - unread
    planned = {RelPath(p): entry(p, "directory") for p in made_there}

    def below(folder: RelPath) -> list[Entry]:
        return [one for path, one in base.items() if path.startswith(f"{folder}/")]

    made = as_tree(changes, base, planned, below)

    after: Kinds = {**recorded}
    for path, one in made.items():
        if one is None:
            after.pop(path, None)
        else:
            after[path] = one.kind
    assert is_tree(after)
    lost = [p for p, one in changes.items() if one is not None and after.get(p) != one.kind]
    assert all(_is_folder_now(after, path) or _lies_nowhere(after, path) for path in lost)


def _folders(tree: Kinds) -> set[str]:
    return {path for path, kind in tree.items() if kind == "directory"}


def _lies_nowhere(after: Kinds, path: str) -> bool:
    """Of a folder above it nobody could say what it is: the next look will."""
    return any(after.get(folder) != "directory" for folder in parents(path))


def _is_folder_now(after: Kinds, path: str) -> bool:
    """What is found below it is known to be in a folder."""
    return after.get(path) == "directory"
