"""The daemon: watches the roots of a host's applications and records what changes in them.

Built on `epmstore.workspace`. asyncio lives here and nowhere else.

- aftermath.py     undoes what was not confirmed in time, ends what a crash left
- alarm.py         runs a command when something changed that no release explains, or in trouble
- app_report.py    what is said of one application, to others and to the log
- app_state.py     what the daemon knows of each application, as a value
- appcatwatch.py   noticing that the appcat changed: `epmstore app add` must not need a signal
- apprecorder.py   one application: its root is watched
- bridge.py        the one bridge from the event loop to threads
- cancellation.py  ending a long recording early: a Progress that stops what reports to it
- care.py          looking after the store on schedule
- caretasks.py     the tasks of care, each in a process of its own
- clock.py         the time of records, and the one that waiting is measured in
- control.py       the control API in the life of the daemon: its threads, its start and its end
- debounce.py      when what changed is to be looked at
- gauge.py         how far a recording is: a Progress that can be asked
- halfdone.py      whether what is about to be recorded is still being written
- health.py        what is wrong with the daemon
- inotify.py       a watcher on the kernel's events, by the low level of watchdog
- kernelqueue.py   the kernel's queue of events, one for all roots, and who is told what of it
- late.py          folders in which a mapped file may change without an event
- logs.py          what the daemon says to its log: one line for each thing, as text or as JSON
- main.py          where the daemon begins: `epmstored run [--store DIR]`, in the foreground
- memory.py        memory goes back to the system when a piece of work is done
- noisy_files.py   which files change again and again, without end
- notify.py        what systemd is told
- outcome.py       what one recording came to, as little as the daemon needs of it
- pauses.py        which applications are paused
- polling.py       a watcher for roots of which the kernel tells nothing
- priority.py      work that has time gives way
- recovery.py      ending a checkout that was killed while its root is watched
- room.py          how much room the store has, and what that means for recording
- rootwatch.py     what watches the root of one application, and whether that still is its root
- schedule.py      which care is due
- service.py       the daemon itself: what is started in which order, and how it ends
- supervisor.py    all applications of the appcat: a recorder for each, as many as there are now
- systemd_jobs.py  having things done by units of systemd, which have more rights
- timing.py        how often the daemon does what
- unstable.py      what did not hold still when it was read, and when it is looked at again
- watcher.py       who tells the daemon that a root changed: the Watcher protocol
- watching.py      choosing what watches a root: the kernel's events, or looking
"""
