"""Prints the section of CHANGELOG.md for a version. Fails unless it is Cargo.toml's and the section has a date.

    python3 .ci/notes.py 0.2.0
"""

import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent

version = sys.argv[1]
ours = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
if version != ours:
    sys.exit(f"the version is {version}, and Cargo.toml says {ours}")
changelog = (ROOT / "CHANGELOG.md").read_text()
section = re.search(rf"(?ms)^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |^\[|\Z)", changelog)
if not section:
    sys.exit(f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`")
print(section[1].strip())
