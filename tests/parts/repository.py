"""Where the repository is that is tested, and whether all of a long matrix is asked for."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
IN_FULL = bool(os.environ.get("FAP_TEST_IN_FULL"))
"""Whether each test of a matrix runs, or only a sample."""
