"""The control API of the daemon.

- answers.py     what is read for clients: values and shapes out of a workspace
- connection.py  one connection of one client, and its limits
- core.py        what the API needs of the daemon around it, and what it is given to work with
- forms.py       what clients send, as values
- gate.py        what a request must be like before its content is looked at
- handlers.py    what each path of the table does
- hub.py         events for listeners, each with a queue of its own
- jobs.py        jobs: long work that clients asked for, done one after the other where it must be
- listening.py   the socket: made, and taken over from a daemon that died
- metrics.py     metrics in the text format of Prometheus
- openapi.py     the OpenAPI document, made from the routes and their types
- peers.py       who is at the other end of the socket, and what that one may do
- planned.py     a checkout of which a person has seen the plan, as a job
- readers.py     reading the store for clients: few threads, bounded waiting
- refusals.py    errors that only the API has, and which HTTP status an error becomes
- routes.py      every path of the API, as data
- server.py      the control API: everything between a byte and a handler
- streams.py     answers that last: contents, and events as they happen (text/event-stream)
- work.py        what each kind of job does
"""
