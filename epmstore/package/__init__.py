"""Packages: a release on the move. How versions are compared, and what is needed is solved."""
