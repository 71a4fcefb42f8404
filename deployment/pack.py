"""Packs built functions and the templates into one zip file, from which `sam deploy` works without Rust.

    python deployment/pack.py arm64 wechat-bundle.zip    after `just lambda arm64`

Each function is a zip file of its own in it, which `aws lambda update-function-code` takes too.
"""

import re
import sys
import zipfile
from pathlib import Path

from sizes import fits, zipped
from stack import FUNCTIONS, ROOT


def template(architecture):
    """template.yaml for functions that are built already, of one architecture."""
    text = (ROOT / "template.yaml").read_text()
    text = text.replace("    Metadata:\n      BuildMethod: rust-cargolambda\n", "")
    text = re.sub(r"(?m)^(      CodeUri: )functions/(\S+)$", r"\1\2.zip", text)
    parameter = "  Architecture:\n    Type: String\n    Default: arm64\n    AllowedValues: [arm64, x86_64]\n"
    assert text.count(parameter) == 1
    return text.replace(parameter, f"  Architecture:\n    Type: String\n    Default: {architecture}\n    AllowedValues: [{architecture}]\n")


def contents(architecture, binaries):
    """The files of the archive by name. `binaries` has the bytes of each function."""
    files = {"template.yaml": template(architecture).encode()}
    others = ("egress.yaml", "watching.yaml", "deployment/deployer.json", "LICENSE")
    files |= {name: (ROOT / name).read_bytes() for name in others}
    # Nothing has to be built.
    files["samconfig.toml"] = re.sub(r"sam build( --config-env prod)? && ", "", (ROOT / "samconfig.toml").read_text()).encode()
    return files | {f"{name}.zip": zipped(binary) for name, binary in binaries.items()}


if __name__ == "__main__":
    architecture, archive = sys.argv[1:]
    built = ROOT / "target/lambda"
    binaries = {name: (built / name / "bootstrap").read_bytes() for name in FUNCTIONS.values()}
    if not all([fits(name, binary) for name, binary in binaries.items()]):
        sys.exit(1)
    with zipfile.ZipFile(Path(archive), "w") as file:
        for name, content in contents(architecture, binaries).items():
            file.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
