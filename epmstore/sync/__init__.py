"""What epmstore keeps on remotes: depots, and what goes to them and comes from them.

- depot.py         what says that a place is a depot, and how its objects are called
- heads.py         the head of a writer
- segmentchild.py  what examines segments from elsewhere in a process of its own
- segments.py      how a history is cut into segments
"""
