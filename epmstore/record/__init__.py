"""Looking at a root, and recording what is there.

- change.py            a change that is made to a root on purpose, recorded as one
- collisions.py        whether two of very many contents seem to have one address
- deltas.py            storing contents that were read, as differences where that pays
- doubt.py             what no stat shows: whether what is read may change unseen
- file_reader.py       reading paths of a root: contents to a writer, the rest comes back
- ingest.py            reading what changed: candidates in, entries out
- keeping.py           paths whose content is stored because it is about to go
- observe.py           what of a root has to be looked at
- observed_changes.py  what came, changed and went, against the newest version
- recorder.py          looking at a root and recording it: status, snapshot
- result.py            what an operation did: the `result` of docs/json.md
- root.py              the directory that an app lives in, opened and checked
- rows.py              the rows that the stat cache is to hold after a look
- status.py            what a root differs in from its newest version
- unseen.py            what a look did not see
- worker.py            a reader in a process of its own, told by its parent what to read
"""
