"""The SQLite cache over packs and catalogs.

- comparison.py   one catalog's newest version beside a version of another
- content_map.py  the rows of very many contents in little memory
- contents.py     which contents are stored, and where: the index side of packs and the pack log
- database.py     `index.sqlite`: its schema, and how it is opened, written and replaced
- entries.py      what every version of every app consisted of: the index side of the catalogs
- entryrows.py    rows of the entry tables, made of entries and read back
- links.py        which paths of the newest version are hard links of others
- lookup.py       where contents are, of any application and any catalog
- notes.py        what the index remembers of catalogs as files
- rowsum.py       sums over rows of the index
- stat_cache.py   what `stat` said of a root when it last equalled a version
"""
