"""Packages: a release on the move. The file, how it is made and how one from elsewhere is read; how
versions are compared, and what is needed is solved.
"""
