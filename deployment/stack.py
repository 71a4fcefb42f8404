"""What CloudFormation would make of the templates with given parameters.

SAM's own translator expands template.yaml; conditions and intrinsic functions are then resolved here as CloudFormation
does it. A reference to a resource becomes the text ${LogicalId} or ${LogicalId.Attribute}.
"""

import copy
import functools
import os
import re
from pathlib import Path

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# SAM's translator asks for a region, whichever.
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {name: yaml_parse((ROOT / name).read_text()) for name in ("template.yaml", "egress.yaml", "watching.yaml")}
SOURCE = SOURCES["template.yaml"]
FUNCTIONS = {
    "WebhookFunction": "webhook",
    "TokenRefresherFunction": "token-refresher",
    "SendTemplateFunction": "send-template",
    "AdminFunction": "admin",
    "UsersFunction": "users",
    "RelayFunction": "relay",
    "WorkerFunction": "worker",
}
# The relay's routes and permissions, with the first segment of their paths.
RELAYED = {"CgiBin": "cgi-bin", "CustomerService": "customservice", "DataCube": "datacube", "Wxa": "wxa", "WxaApi": "wxaapi"}

PSEUDO = {
    "AWS::StackName": "wechat",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
CHINA = PSEUDO | {"AWS::Region": "cn-north-1", "AWS::Partition": "aws-cn", "AWS::URLSuffix": "amazonaws.com.cn"}
NO_VALUE = object()


class NoManagedPolicies:
    """The template names managed policies by ARN, so there is nothing to look up."""

    def load(self):
        return {}


class Stack:
    """The resources and outputs of template.yaml that exist under `parameters`."""

    FILE = "template.yaml"
    REQUIRED = {"WechatAppId": "wx0123456789abcdef"}

    def __init__(self, *, source=None, pseudo=PSEUDO, **parameters):
        self.source = source or SOURCES[self.FILE]
        self.pseudo = pseudo
        defaults = {name: declared.get("Default") for name, declared in self.source["Parameters"].items()}
        self.parameters = defaults | self.REQUIRED | parameters
        assert set(self.parameters) == set(defaults), "parameters that the template does not have"
        template = self.expand(source)
        self.conditions = template["Conditions"]
        self.resources = {
            name: self.resolve({key: value for key, value in resource.items() if key != "Condition"})
            for name, resource in template["Resources"].items()
            if self.exists(resource)
        }
        self.outputs = {
            name: self.resolve(output["Value"]) for name, output in template["Outputs"].items() if self.exists(output)
        }

    def expand(self, source):
        parameters = tuple(sorted(self.parameters.items()))
        return expand(source, parameters) if source else expanded(parameters)

    def refusals(self):
        """The descriptions of the template's rule assertions that fail with these parameters."""
        return [
            assertion["AssertDescription"]
            for rule in self.source["Rules"].values()
            if self.holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self.holds(assertion["Assert"])
        ]

    def exists(self, resource):
        return "Condition" not in resource or self.holds(resource["Condition"])

    def of_type(self, kind):
        return {name: resource for name, resource in self.resources.items() if resource["Type"] == kind}

    def properties(self, name):
        return self.resources[name]["Properties"]

    def role_of(self, function):
        return re.fullmatch(r"\$\{(\w+)\.Arn\}", self.properties(function)["Role"]).group(1)

    def statements_of(self, function):
        """The statements of all policies of the function's role."""
        role = self.properties(self.role_of(function))
        documents = [policy["PolicyDocument"] for policy in role["Policies"]]
        for reference in role["ManagedPolicyArns"]:
            documents.append(self.properties(reference.strip("${}"))["PolicyDocument"])
        return [statement for document in documents for statement in document["Statement"]]

    def holds(self, condition):
        if isinstance(condition, str):
            return self.holds(self.conditions[condition])
        ((name, operands),) = condition.items()
        if name == "Condition":
            return self.holds(operands)
        if name == "Fn::Equals":
            return self.resolve(operands[0]) == self.resolve(operands[1])
        if name == "Fn::Contains":
            return self.resolve(operands[1]) in self.resolve(operands[0])
        results = [self.holds(operand) for operand in operands]
        return {"Fn::Not": not results[0], "Fn::And": all(results), "Fn::Or": any(results)}[name]

    def resolve(self, node):
        if isinstance(node, list):
            resolved = [self.resolve(item) for item in node]
            return [item for item in resolved if item is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, operand),) = node.items()
            if name == "Ref":
                return self.reference(operand)
            if name.startswith("Fn::"):
                return self.function(name, operand)
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NO_VALUE}

    def reference(self, name):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            value = self.parameters[name]
            is_list = self.source["Parameters"][name]["Type"] == "CommaDelimitedList"
            return value.split(",") if is_list else value
        return f"${{{name}}}"

    def function(self, name, operand):
        if name == "Fn::If":
            condition, yes, no = operand
            return self.resolve(yes if self.holds(condition) else no)
        if name == "Fn::GetAtt":
            return "${" + ".".join([operand] if isinstance(operand, str) else operand) + "}"
        if name == "Fn::Sub":
            return self.substitute(operand)
        operand = self.resolve(operand)
        if name == "Fn::Join":
            return operand[0].join(operand[1])
        if name == "Fn::Split":
            return operand[1].split(operand[0])
        if name in ("Fn::Select", "Fn::Cidr", "Fn::GetAZs", "Fn::Base64"):
            return f"{name} of {operand}"
        raise NotImplementedError(name)

    def substitute(self, operand):
        text, variables = (operand, {}) if isinstance(operand, str) else operand

        def value(match):
            name = match.group(1)
            resolved = self.resolve(variables[name]) if name in variables else self.reference(name)
            assert isinstance(resolved, str | int), f"{name} in {text}"
            return str(resolved)

        return re.sub(r"\$\{([\w:.]+)\}", value, text)


class Plain(Stack):
    """A template without SAM's transformation."""

    def expand(self, source):
        return self.source


class Egress(Plain):
    """The resources and outputs of egress.yaml."""

    FILE = "egress.yaml"
    REQUIRED = {}


class Watching(Plain):
    """The resources and outputs of watching.yaml."""

    FILE = "watching.yaml"
    REQUIRED = {"ApiId": "a1b2c3", "TableName": "Table-1", "LateQueue": "late", "DeadQueue": "dead"}


@functools.cache
def expanded(parameters):
    return expand(SOURCE, parameters)


def expand(source, parameters):
    """The template after SAM's transformation. Its code is uploaded by then."""
    template = copy.deepcopy(source)
    for function in FUNCTIONS:
        template["Resources"][function]["Properties"]["CodeUri"] = "s3://bucket/key"
    return transform(template, dict(parameters), NoManagedPolicies())


def texts(node):
    """Every text in `node`, keys included."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from texts(value)
    elif isinstance(node, list):
        for item in node:
            yield from texts(item)
    elif isinstance(node, str):
        yield node


def references(node):
    """The logical ids that `node` refers to."""
    return {name for text in texts(node) for name in re.findall(r"\$\{(\w+)[}.]", text)}


def cycle(resources):
    """Resources that wait for one another, which CloudFormation refuses to create."""
    waits = {}
    for name, resource in resources.items():
        needed = resource.get("DependsOn", [])
        needed = set([needed] if isinstance(needed, str) else needed)
        waits[name] = (references(resource) | needed) & set(resources)
    while ready := {name for name, needed in waits.items() if not needed & set(waits)}:
        waits = {name: needed for name, needed in waits.items() if name not in ready}
    return set(waits)
