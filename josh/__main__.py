"""`python -m josh` runs the command line."""

import sys

from josh.main import main

if __name__ == "__main__":
    sys.exit(main())
