"""The web console: pages about the applications of this host, for people.

- addresses.py    addresses of the console's pages
- appfacts.py     what the page of one application reads
- appview.py      the page of one application
- browsergate.py  what a request of a browser must be like before anything of it is looked at
- changefacts.py  what the pages of a version and of a file in it read
- changeview.py   the pages of a version, and of one file in it
- entrances.py    where browsers come in: a port of this host, a socket for a proxy
- histories.py    the histories that pages are made of
- hostfacts.py    what the host page has to know of each application
- hostview.py     the host page: one row for each application
- pages.py        the pages: what each is asked with, reads and shows
- pathfacts.py    what the page of one path reads, and what is searched for
- pathview.py     the pages of one path, and of what was searched for
- phrases.py      times and counts as the pages show them
- principals.py   who a user is to the console
- serving.py      the console in the life of the daemon
- sessions.py     who is in the console: links that are good once, and sessions
- sidebyside.py   two texts side by side, as rows
- site.py         the console as a web application
- standings.py    how the roots stand beside what they should be
- tcpowner.py     who is at the other end of a TCP connection within this host
- templating.py   pages as HTML: templates, values that are all escaped
- timeline.py     the line of time of an application
- troubleview.py  what a person has to know of an application, the most urgent first
- versionrows.py  what one version is to a person, in a row
"""
