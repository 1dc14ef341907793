"""`python -m josh` runs the command line."""

import sys

from josh.cli import main

if __name__ == "__main__":
    sys.exit(main())
