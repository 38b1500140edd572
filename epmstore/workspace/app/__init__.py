"""One application: the handle that `workspace.app(key)` gives, composed of facets.

The face, and what all facets share:

- handle.py      the face: the verbs that are asked for most, each of a facet
- context.py     store, application, actor; what is made when it is first asked for
- asked.py       what is asked of the facets that change a root, as values

Facets, each imported when it is first asked for:

- reading.py     what was recorded: versions, trees, differences, single paths
- recording.py   looking at the root, and recording it
- marking.py     names for versions, and which are kept for good
- restoring.py   bringing the root, or a folder elsewhere, to a tree; undoing that
- repairing.py   bringing the root to a release: `repair`, and `checkout release:N`
- installing.py  a release of a product comes into the root, and goes again; freezing; notes
- merging.py     configuration that was edited here and changed by its vendor as well
- parametering.py what parameters of what is installed are set to, and setting them
- verifying.py   the root beside what it should be
- explaining.py  what accounts for what was recorded
- obligations.py what comes after a checkout: recovering, confirming, holding

What they are made of:

- acting.py      what every change of the root goes through, from a request to its result
- comparing.py   what leads from one tree to another
- exporting.py   a tree as a folder elsewhere
- holding.py     what keeps automation from moving an application
- merged.py      what comes of a file of configuration that both sides changed
- needs.py       what releases need, and what of that is not there
- recovering.py  ending what a checkout has left
- rendered.py    the files that parameters are written into, as they are to be
- reporting.py   the report of docs/json.md
- results.py     what a checkout came to, as the Result that callers get
- supplying.py   contents that a plan needs and the store lacks: from where they come
- temporary.py   which applications have settings that last for a while only
- whole_release.py what a checkout of a whole release changes beside its files
- written_files.py the files that parameters were written into, as they were written last
- running.py     a command that is run and recorded
- transacting.py several applications that are moved, undone and recovered together

No facet holds another one: what two of them need is a function, or one of the last group.
"""
