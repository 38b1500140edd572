"""The daemon: watches the roots of a host's applications and records what changes in them.

Built on `epmstore.workspace`. asyncio lives here and nowhere else.
"""
