"""Brings about the bug that EPM_TEST_BUG names, in every process of Python that is started with
this folder in PYTHONPATH, before anything else of epmstore is imported.
"""

import os

if os.environ.get("EPM_TEST_BUG"):
    from breaks import BREAKS  # type: ignore[import-not-found]

    BREAKS[os.environ["EPM_TEST_BUG"]].make()
