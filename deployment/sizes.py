"""Looks at the functions that `sam build` left: fails when one is too large, or was linked for a newer glibc than Lambda's.

A cold start fetches and unpacks the zip file, so size is time. A binary that needs a newer glibc does not start at all:
cargo-lambda links for the machine that it builds on when that has the functions' own architecture.
"""

import io
import re
import sys
import zipfile

from stack import FUNCTIONS, ROOT

# Bytes, zipped as they are uploaded.
LIMIT = 3_600_000
# That of Amazon Linux 2023, on which provided.al2023 runs.
GLIBC = (2, 34)

failed = False
for function in FUNCTIONS:
    binary = (ROOT / ".aws-sam/build" / function / "bootstrap").read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("bootstrap", binary)
    size = archive.getbuffer().nbytes
    # The version names of the symbols that it imports, as they stand in its table of strings.
    versions = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?=[\0.])", binary)
    needed = max(((int(major), int(minor)) for major, minor in versions), default=(0, 0))
    failed |= size > LIMIT or needed > GLIBC
    print(
        f"{function}: {size:,} bytes zipped (limit {LIMIT:,}), {len(binary):,} unpacked, "
        f"needs glibc {needed[0]}.{needed[1]} (limit {GLIBC[0]}.{GLIBC[1]})"
    )
sys.exit(failed)
