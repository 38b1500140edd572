"""The release pipeline: from a vendor's build to a payload on a remote, by way of a spool.

- build.py          a build of the pipeline, as a value
- buildlocks.py     locks of the spool: for preparing, and for one build
- buildrecords.py   what the pipeline asks of whatever keeps its records
- candidates.py     builds that are candidates of packages, and what numbers them
- desk.py           what people do with the builds of a spool
- lifecycle.py      the states of a build, and what leads from one to the next
- numbering.py      a candidate becomes a release, once
- payload.py        the one file that is uploaded, made of a build
- postgresrecords.py  records of builds in PostgreSQL
- prepare.py        what one run of the preparer does
- sidecars.py       small files beside a payload, for people and other programs
- spoolfolder.py    the working space that hosts share: whose it is, and whether it can lock
- sqliterecords.py  records of builds in SQLite, in the spool
- sqlrecords.py     records of builds in tables, of either
- transactions.py   the transaction log as JSON Lines
- transfer.py       one payload on its way to the remote
- upload.py         what one run of an uploader does
- watchedfolders.py folders in which builds appear
- watchedremote.py  a remote whose every piece is counted, and that can be stopped
"""
