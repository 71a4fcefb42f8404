"""The archive of a release holds all that its template names, and makes the resources of template.yaml."""

import io
import re
import zipfile

import pytest
from samtranslator.yaml_helper import yaml_parse

from pack import contents
from stack import FUNCTIONS, ROOT, SOURCE, Stack

BINARIES = {name: name.encode() for name in FUNCTIONS.values()}


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_template_of_an_archive_names_the_functions_in_it(architecture):
    files = contents(architecture, BINARIES)
    template = yaml_parse(files["template.yaml"].decode())
    for logical_id, name in FUNCTIONS.items():
        code = template["Resources"][logical_id]["Properties"]["CodeUri"]
        with zipfile.ZipFile(io.BytesIO(files[code])) as archive:
            assert archive.read("bootstrap") == name.encode()
            assert archive.getinfo("bootstrap").external_attr >> 16 == 0o100755
    assert "rust-cargolambda" not in files["template.yaml"].decode()
    assert "sam build" not in files["samconfig.toml"].decode().replace("`sam build`", "")


def test_an_archive_has_the_files_that_its_guide_names():
    guide = (ROOT / "docs/deploy.md").read_text()
    named = set(re.findall(r"`((?:deployment/)?\w+\.(?:yaml|toml|json))`", guide))
    # The user's own, what the API serves, and what only cargo-lambda reads.
    named -= {"app.json", "shared.json", "openapi.json", "Cargo.toml"}
    assert named >= {"template.yaml", "egress.yaml", "watching.yaml", "samconfig.toml", "deployment/deployer.json"}
    assert named <= set(contents("arm64", BINARIES))


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_an_archive_makes_the_resources_of_the_template(architecture):
    def without_code(stack):
        resources = {}
        for name, resource in stack.resources.items():
            resource = dict(resource)
            if resource["Type"] == "AWS::Lambda::Function":
                resource["Properties"] = {key: value for key, value in resource["Properties"].items() if key != "Code"}
            resource.pop("Metadata", None)
            resources[name] = resource
        return resources

    packed = yaml_parse(contents(architecture, BINARIES)["template.yaml"].decode())
    assert packed.keys() == SOURCE.keys()
    assert without_code(Stack(source=packed)) == without_code(Stack(Architecture=architecture))
