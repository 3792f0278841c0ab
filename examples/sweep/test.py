"""Stands for a test of what was trained: how far is it from the truth?"""

import json
import sys
from pathlib import Path

slope = json.loads(Path(sys.argv[1]).read_text())["slope"]
print(f"error={abs(slope - 3):.6f}")
