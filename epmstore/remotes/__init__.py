"""Places elsewhere that bytes can be put to and got from; what lies there is a depot (sync/).

- checked.py        objects, checked: every read of a remote that is relied upon goes through here
- folder_errors.py  what an operating system says, as the errors of remotes
- folder_remote.py  a remote that is a folder, of a disk or of a mounted file server
- memory_remote.py  a remote in memory, whose faults are knobs
- metered.py        a remote that counts
- names.py          names of objects on a remote: what may be one
- remote.py         what the rest of epmstore asks of a remote
- retry.py          a remote that tries again: what may be otherwise in a while, and nothing else
- throttle.py       a remote at a limited rate
- web_remote.py     a remote that any web server can be; nothing is written
"""
