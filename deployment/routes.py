"""Writes the routes of /api into template.yaml, from openapi.json. `--check` writes nothing and fails when they differ."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"
BEGIN = "  # The routes of /api, which deployment/routes.py writes from openapi.json.\n"
END = "  # The end of those routes.\n"
# Logical names that must not change: CloudFormation creates a renamed route before it deletes the old one, and API Gateway
# refuses the duplicate.
NAMES = {
    "sendTemplateMessage": "SendRoute",
    "addConditionalMenu": "CreateConditionalMenuRoute",
    "getDoctor": "DoctorRoute",
}
# By an operation's tag, which names its function.
INTEGRATIONS = {"send-template": "SendTemplateIntegration", "admin": "AdminIntegration"}
SCOPES = {"send-template": "JwtSendScope", "admin": "JwtAdminScope"}


def routes():
    """Method and path, operationId, function and whether anyone may call, of every operation."""
    paths = json.loads((ROOT / "openapi.json").read_text())["paths"]
    return [
        (f"{method.upper()} {path}", operation["operationId"], operation["tags"][0], operation.get("security") == [])
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]


def resource(key, operation, function, is_open):
    name = NAMES.get(operation, f"{operation[0].upper()}{operation[1:]}Route")
    key = f'"{key}"' if "{" in key else key
    authorizer = f"""      AuthorizationType: !If [HasJwt, JWT, NONE]
      AuthorizerId: !If [HasJwt, !Ref JwtAuthorizer, !Ref AWS::NoValue]
      AuthorizationScopes: !If [HasJwt, [!Ref {SCOPES[function]}], !Ref AWS::NoValue]
"""
    return f"""  {name}:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref HttpApi
      RouteKey: {key}
      Target: !Sub integrations/${{{INTEGRATIONS[function]}}}
{"" if is_open else authorizer}
"""


def main():
    current = TEMPLATE.read_text()
    before, rest = current.split(BEGIN)
    _, after = rest.split(END)
    written = before + BEGIN + "\n" + "".join(resource(*route) for route in routes()) + END + after
    if written == current:
        return 0
    if "--check" in sys.argv:
        print("the routes of template.yaml are not those of openapi.json: run python3 deployment/routes.py")
        return 1
    TEMPLATE.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
