"""Packages: a release on the move. The file, how it is made and how one from elsewhere is read; how
versions are compared, and what is needed is solved.

- clauses.py         the words that a problem of needs is written in
- content_tables.py  what a package from elsewhere says that it holds
- derive.py          why there is no solution, as an object and as text: because, so, therefore
- draft.py           a package in the making
- file_format.py     the tables of a package, and how its file begins
- fitting.py         whether a release meets a need
- from_release.py    a release of a store as a package
- from_spec.py       from a spec to a candidate
- inspection.py      looking at a package without a store
- known.py           what a store knows when needs are solved
- messages.py        what is said between who reads a package and who asked for it
- named.py           products and their releases as people name them where something is installed
- options.py         what may be in each slot, and what is left out
- package_reader.py  a package from elsewhere, read by that process
- packagechild.py    what reads a package from elsewhere, in a process of its own
- packing.py         contents on their way from a store into a package
- parts.py           parts of a package as patterns
- patch_base.py      what a patch package goes on from, in a store
- patching.py        what leads from one release to another
- publish.py         a candidate becomes a release of its product
- queries.py         why something is installed, and who has what
- ranges.py          needs as vendors write them, and as they are shown
- refute.py          proving that nothing meets a request, and keeping why; or finding what does
- rules.py           what must hold once something is installed, changed or removed
- search.py          finding values that hold all clauses, by resolvelib
- solution.py        what a request comes to, as values
- solve.py           what a request comes to on a host, with the least change
- spec.py            the file that says how a package is built: TOML, in the vendor's repository
- table_check.py     whether the tables for people say what the lines say
- tables.py          what the tables for people say of a release: rows, in the order of their keys
- taking.py          a package from elsewhere comes into a store
- universe.py        what is known when needs are solved, as values
- versions.py        how versions are compared
- workshop.py        a store that lasts as long as a piece of work
- writing.py         the file of a package, while it is written
"""
