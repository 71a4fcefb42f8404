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


def zipped(binary):
    """The zip file of a function. The same binary makes the same bytes."""
    # Readable and executable by everybody, as Lambda asks.
    member = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    member.external_attr = 0o100755 << 16
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(member, binary, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def fits(function, binary):
    """Prints what a function's binary needs, and returns whether Lambda would start it."""
    size = len(zipped(binary))
    # The version names of the symbols that it imports, as they stand in its table of strings.
    versions = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?=[\0.])", binary)
    needed = max(((int(major), int(minor)) for major, minor in versions), default=(0, 0))
    print(
        f"{function}: {size:,} bytes zipped (limit {LIMIT:,}), {len(binary):,} unpacked, "
        f"needs glibc {needed[0]}.{needed[1]} (limit {GLIBC[0]}.{GLIBC[1]})"
    )
    return size <= LIMIT and needed <= GLIBC


if __name__ == "__main__":
    built = ROOT / ".aws-sam/build"
    results = [fits(function, (built / function / "bootstrap").read_bytes()) for function in FUNCTIONS]
    sys.exit(not all(results))
