"""Fails when a dependency says that it needs a newer Rust than the workspace's `rust-version`.

    python3 .ci/msrv.py            checks the dependencies for the systems that deny.toml names
    python3 .ci/msrv.py --print    prints the workspace's `rust-version`

A dependency may need a newer Rust without saying so: the recipe `msrv` compiles with that version.
"""

import json
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def table(name):
    return tomllib.loads((ROOT / name).read_text())


def number(version):
    """1.89 as (1, 89, 0), so that versions compare."""
    parts = [int(part) for part in version.split(".")]
    return (*parts, 0, 0)[:3]


def packages():
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    for target in table("deny.toml")["graph"]["targets"]:
        command += ["--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)["packages"]


ours = table("Cargo.toml")["workspace"]["package"]["rust-version"]
if "--print" in sys.argv:
    print(ours)
    sys.exit()
dependencies = [package for package in packages() if package["source"] and package["rust_version"]]
newer = [package for package in dependencies if number(package["rust_version"]) > number(ours)]
for package in newer:
    print(f"{package['name']} {package['version']} needs Rust {package['rust_version']}; Cargo.toml says {ours}")
print(f"{len(dependencies)} dependencies say which Rust they need, {len(newer)} a newer one than {ours}")
sys.exit(bool(newer))
