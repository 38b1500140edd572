"""Places elsewhere that bytes can be put to and got from; what lies there is a depot (sync/).

- checked.py        objects, checked: every read of a remote that is relied upon goes through here
- credentials.py    what this host shows to a server, and where that is found
- folder_errors.py  what an operating system says, as the errors of remotes
- folder_remote.py  a remote that is a folder, of a disk or of a mounted file server
- memory_remote.py  a remote in memory, whose faults are knobs
- metered.py        a remote that counts
- names.py          names of objects on a remote: what may be one
- object_errors.py  what an object store says, as the errors of remotes
- object_keys.py    the access key of an object store, and where that is found
- objects_remote.py  a remote that is a bucket of an object store
- place.py          where a remote is, and how one gets in there
- probing.py        what a remote really does, tried on one object
- remote.py         what the rest of epmstore asks of a remote
- resuming.py       writing that goes on where it was cut off
- retry.py          a remote that tries again: what may be otherwise in a while, and nothing else
- sftp_channel.py   the requests of SFTP, many on their way at once
- sftp_connection.py  who a server is, who we are, and connections that are used again
- sftp_errors.py    what an SFTP server says, as the errors of remotes
- sftp_remote.py    a remote that is a folder of an SFTP server
- throttle.py       a remote at a limited rate
- web_remote.py     a remote that any web server can be; nothing is written
"""
