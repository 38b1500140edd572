"""One store, opened: its parts, the doors by which it grows, and what follows a crash or damage.

- adopt.py           frames of others come into a store by its one door
- before_rebuild.py  what the index knows and catalogs lost is written back first
- catalog_repair.py  bringing a catalog back from everything that still knows of it
- commit.py          the one way by which anything becomes part of a store's history
- dedup.py           which contents are new, for all readers of one job together
- deposit.py         the one door by which new contents come into a store
- identity.py        the file FORMAT: what says that a folder is a store
- newest.py          the newest version that each catalog had: a further witness
- reckoned.py        the reckoned time of a store, and its file
- replay.py          bringing the index up to the truth
- reserve.py         space that is given up when the disk is full
- reverse_deltas.py  what versions replaced, as differences to what replaced it
- seeking.py         what a seeker is: contents that a store lacks, sought elsewhere
- soundness.py       whether a catalog may be appended to: nothing ever goes behind damage
- source.py          where the contents of a store are, for another process of ours that opens it
- staging.py         which folders in a root are staging folders of this store
- store.py           one store, opened: where its files lie, what reads them, and who may write
"""
