"""epmstore: what is on this host, where each file came from, and how to get back.

- api.py         all that users of the library import
- atomic.py      files that are complete or not there
- background.py  work that goes on in a thread while its caller does something else
- child.py       processes of our own program that share a piece of work
- clock.py       time as a parameter: what is asked wherever a record needs to say when
- codec.py       zstandard, and nothing else: the only file that imports a zstd library
- compact.py     many entries in little memory: a sixth of what they take as objects
- config.py      the settings of a store: one schema for the file, the environment and flags
- digest.py      identity of contents: the SHA-1 address, the SHA-256 witness, the size
- entryform.py   an entry as a JSON object and back
- errorform.py   errors as JSON, and foreign errors as ours
- errors.py      every error that epmstore raises on purpose, as one tree
- filestat.py    what `stat` says of a file, as a value of our own
- fsio.py        system calls that change files, one function each
- given.py       what a caller may give for a path, a version or a list
- limited.py     what comes from elsewhere is read by a process with limits
- limits.py      limits of this process and host, and the errors that tell of them
- locks.py       advisory locks: `flock` on files that are never deleted
- measures.py    durations, sizes and shares as people write them: `2s`, `1d12h`, `10GiB`, `3%`
- owned.py       whose a place is: what only we and root can have written
- pack_table.py  a group: some sealed frames
- places.py      where things lie that are outside of a store, or have a name that others rely on
- prefetch.py    calls that a thread makes ahead of the caller that takes their results, in order
- progress.py    what long work tells an observer: one method per event, silent by default
- reckon.py      reckoned time: the time that may be relied upon for what cannot be undone
- relpath.py     paths relative to a root: what is allowed, how they sort, how they look in JSON
- rescue.py      epmstore-rescue: recorded files without epmstore and its index
- seal.py        the seal: a 64-byte header that lets every stored record vouch for itself
- sqlite.py      opening SQLite the way that epmstore needs it
- sqlitecopy.py  a database that is read without writing anything: a copy of it in memory
- tree.py        one path as wanted or found, and the sum that a whole tree of them has
- wording.py     names, counts and sizes in what people read
"""

__version__ = "0.1.0"
