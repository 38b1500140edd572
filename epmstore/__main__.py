"""`python -m epmstore` is the command `epmstore`."""

import sys

from epmstore.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
