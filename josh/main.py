"""`python josh/main.py` runs the command line from a clone, with or without installation."""

import sys
from importlib.util import find_spec
from pathlib import Path

# Python puts a script's folder first on the path; josh's modules there would hide packages of the same name.
HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
if find_spec("josh") is None:
    sys.path.append(str(HERE.parent))

from josh.cli import main  # noqa: E402 (needs the path set above)

if __name__ == "__main__":
    sys.exit(main())
