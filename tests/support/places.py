"""Where the repository lies, and the data beside it, whichever folder a test is in."""

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
DATA = ROOT.parent / "shared" / "data"
