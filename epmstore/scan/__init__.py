"""Looking at a live root, and setting what is recorded of its paths.

- compare.py       the stats of one folder as bytes, and how they are compared
- databases.py     databases in a tree, by what they look like
- detect.py        what looks like data of the running application
- folders.py       getting to the folders of a root
- fsclock.py       the clock of a file system
- holders.py       which processes hold files: open for writing or reading, mapped, or running
- holes.py         files with holes: writing them again without filling the holes
- mapped.py        which files a process has mapped, and may change unseen
- metadata.py      everything that is recorded of a path except its content
- mounts.py        what is mounted where, as the kernel's mount table tells it
- hidden.py        owners that a user namespace does not know
- privilege.py     what this process will not be allowed to set of a path
- problem.py       what a look at a live root could not see, or may not record
- scope.py         which directories of a root a walk goes into, asked one at a time
- set_metadata.py  putting recorded metadata back onto a path: the inverse of metadata.py
- staging_mark.py  the mark by which stores know each other's staging folders
- steady.py        reading files that may change while they are read
- walk.py          looking at every folder of a live root
- writers.py       which files below a folder a process has open for writing, by /proc
- xattrs.py        extended attributes: recorded, read and put back
"""
