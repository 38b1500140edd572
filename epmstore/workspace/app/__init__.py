"""One application: the handle that `workspace.app(key)` gives, in facets.

- context.py: what all of them share
- reading.py: what was recorded: versions, trees, differences, single paths
- comparing.py: what leads from one tree to another
- exporting.py: a tree as a folder elsewhere
"""
