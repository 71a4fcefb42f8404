"""Prints the zipped size of every function that `sam build` has built, and fails when one is too large.

A cold start downloads and unpacks the zip file, so size costs time.
"""

import io
import sys
import zipfile

from stack import FUNCTIONS, ROOT

LIMIT = 3_300_000

too_large = False
for function in FUNCTIONS:
    binary = ROOT / ".aws-sam/build" / function / "bootstrap"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.write(binary, "bootstrap")
    size = archive.getbuffer().nbytes
    too_large |= size > LIMIT
    print(f"{function}: {size:,} bytes zipped, {binary.stat().st_size:,} unpacked (limit {LIMIT:,} zipped)")
sys.exit(too_large)
