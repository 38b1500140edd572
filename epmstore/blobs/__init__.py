"""Contents: frames, packs, the pack log.

- blob_store.py  stored contents by identity: packs and the pack log
- erase.py       contents out of pack files for good
- footer.py      the footer of a group: its table as JSON, in columns
- foreign.py     sealed frames that came from elsewhere, held to what is said of them
- frames.py      the frames of packs and pack logs: what stands between a seal and the next
- interface.py   what is asked of stored contents, and of the index
- merge.py       packs out of packs: merged, without what is dead, in good order
- pack.py        the one door through which bytes become stored blobs
- packlog.py     the pack log: `packs/log/<n>`, where the groups of small snapshots are appended
- reader.py      frames out of pack files: checked reads, a small cache
- records.py     the sealed records of a pack or pack log
- salvage.py     what a pack holds whose tables cannot be read
- spool.py       where a group goes while it is made: memory, then a file
"""
