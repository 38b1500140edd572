"""What epmstore keeps on remotes: depots, and what goes to them and comes from them.

- access.py           who can read what lies on a remote, in words
- adopting.py         what another host recorded becomes this one's own
- connecting.py       from the settings of a remote to the remote itself
- depot.py            what says that a place is a depot, and how its objects are called
- depotseeker.py      contents that are missing here, sought in the depot of a remote
- depottables.py      what lies where in the packs of a depot
- headchild.py        what examines keys and heads from elsewhere in a process of its own
- heads.py            the head of a writer
- judging.py          what a head is, held against what is remembered of it
- locating.py         where contents lie in the packs of a depot, and in which order they are read
- mirroring.py        what hosts have in one place of a depot comes to another
- needed.py           which contents may go to a depot, and have to
- own_ahead.py        what this host had pushed before its store came back from a backup
- pack_plan.py        what goes into which pack
- packbuild.py        how a pack for a depot is made
- pulling.py          what other hosts recorded comes from a depot
- pushed_contents.py  what kept versions need goes to a depot
- pushing.py          what a host recorded goes to a depot
- registry.py         the remotes of a store, and what it remembers of each
- segmentchild.py     what examines segments from elsewhere in a process of its own
- segments.py         how a history is cut into segments
"""
