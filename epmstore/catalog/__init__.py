"""History: records, versions, selecting, forgetting.

- appcat.py         the appcat: the applications of this host, in one small checksummed file
- appowners.py      who owns an application: users and groups
- classes.py        the class of a path, from an application's patterns
- config_policy.py  what upgrades do with configuration that both sides changed
- diff.py           in what trees differ
- fold.py           the tree of a version from the records that lead to it
- format.py         catalog lines: records as JSON, sealed; drawn in docs/formats/catalog.md
- history.py        one catalog file: appending records durably, reading them back
- hooks.py          what is to be run around a checkout of an application, and what came of it
- install_notes.py  notes of a history, until they are acknowledged
- installed.py      what is installed in an application: the set of products that its history says
- linear.py         expressions of patterns that never try twice
- model.py          what a catalog records, as values
- operations.py     what versions say of what was done, and what follows from it
- packaging.py      the packaging of a release: what the key `package` of its first line says
- parameters.py     what the parameters of an application are set to, as its history says
- retention.py      which versions may be forgotten
- rootfacts.py      what a version says of the root directory itself
- salvage.py        what can be read of a catalog that cannot be read whole
- sections.py       the entries of one catalog line, by what they are
- selector.py       how people name versions: `117`, `latest~1`, `now`, `@2026-10-03T14:00`, a tag
- state.py          what all records of a catalog come to
"""
