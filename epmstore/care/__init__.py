"""Looking after a store as a whole: checks, repair, retention, collection, copies.

- collection.py     what a collection would do to which pack file
- copy.py           `store copy`: a consistent copy of a store, brought up to date
- damage.py         what a check of a store found, as values: the `finding` of docs/json.md
- doctor.py         whether this host and this store are in order
- drill.py          the restore drill
- forget.py         forgetting: the contents of versions may go, the facts stay
- fsck.py           checking a store
- gc.py             collecting: the space of what no version needs is given back
- heal.py           repairing what a check found
- inspect.py        looking into pack files, frame by frame
- ledger.py         what care remembers: what was done, proven, checked, and when
- leftovers.py      what will never be asked for again, beside contents
- live_sources.py   a seeker: the live files of any registered application
- marks.py          what a collection must not take
- pack_tables.py    the tables of all packs and pack logs, read from the files
- purge.py          purging: a content is gone, the fact stays
- recall.py         contents that lack are brought back where they are needed
- references.py     which versions need which contents, by the catalogs alone
- replace_packs.py  replacing pack files by others: the one place where a pack is ever removed
- restore.py        `store restore`: a store
- stats.py          how much is stored: the `stats` of docs/json.md
- superseded.py     releases whose contents a host needs no more
"""
