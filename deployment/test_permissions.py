"""Each role allows exactly the calls that its function declares as AWS_CALLS, on exactly the resources that it needs."""

import fnmatch
import json
import re

import pytest

from stack import CHINA, FUNCTIONS, RELAYED, ROOT, Egress, Stack, Watching

# Calls that Lambda itself makes with a function's role. The function's code makes none of them.
BY_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}
BY_LAMBDA_FOR_A_FAILED_RUN = {"sqs:SendMessage"}
BY_LAMBDA_TO_RUN_AGAIN = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
BY_LAMBDA_IN_A_VPC = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
# The only statements on "*". AWS's service authorization reference lists no resource type for these actions, so IAM
# accepts nothing narrower.
WITHOUT_RESOURCE = [
    {"xray:PutTraceSegments", "xray:PutTelemetryRecords"},
    {"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"},
]
RESOURCES = {
    "dynamodb": "arn:aws:dynamodb:eu-central-1:123456789012:table/${Table}",
    "events": "arn:aws:events:eu-central-1:123456789012:event-bus/default",
    "lambda": "${TokenRefresherFunction.Arn}",
    "secretsmanager": "${SharedSecret}",
    "sqs": "${DeadLetters.Arn}",
}
# Exceptions: functions that use another resource of a service.
RESOURCES_OF = {
    ("TokenRefresherFunction", "secretsmanager"): "${AppSecret}",
    ("WebhookFunction", "lambda"): "${WorkerFunction.Arn}",
    ("WorkerFunction", "sqs"): "${LateEffects.Arn}",
}
# Calls on an index of the table.
ON_THE_INDEX = {"dynamodb:Query"}
OUTSIDE_OF_THE_VPC = ("WebhookFunction",)
MODES = ("None", "Proxy", "ExistingVpc")
VPC = {"EgressMode": "ExistingVpc", "ExistingSubnetIds": "subnet-1", "ExistingSecurityGroupIds": "sg-1"}


def declared(folder):
    text = (ROOT / "functions" / folder / "src/lib.rs").read_text()
    (calls,) = re.findall(r"pub const AWS_CALLS: &\[&str\] = &\[(.*?)\];", text, re.DOTALL)
    return set(re.findall(r'"([^"]+)"', calls))


def as_list(value):
    return value if isinstance(value, list) else [value]


def allowed(statements):
    return {
        (action, resource)
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("function", "folder"), FUNCTIONS.items())
def test_a_role_allows_what_its_function_declares(function, folder, mode):
    stack = Stack(EgressMode=mode, EventBusName="default")
    by_lambda = set(BY_LAMBDA)
    if function in ("TokenRefresherFunction", "WorkerFunction"):
        by_lambda |= BY_LAMBDA_FOR_A_FAILED_RUN
    if function == "WorkerFunction":
        by_lambda |= BY_LAMBDA_TO_RUN_AGAIN
    # In every mode: a function that leaves a VPC needs the rights to take down what it had there.
    if function not in OUTSIDE_OF_THE_VPC:
        by_lambda |= BY_LAMBDA_IN_A_VPC
    actions = {action for action, _ in allowed(stack.statements_of(function))}
    assert actions == declared(folder) | by_lambda


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_names_the_resources(function, mode):
    stack = Stack(EgressMode=mode, EventBusName="default")
    for statement in stack.statements_of(function):
        actions = set(as_list(statement["Action"]))
        assert "NotAction" not in statement and "NotResource" not in statement
        if statement["Effect"] == "Allow" and "*" in as_list(statement["Resource"]):
            assert actions in WITHOUT_RESOURCE
    for action, resource in allowed(stack.statements_of(function)):
        assert "*" not in action
        service = action.split(":")[0]
        if service in RESOURCES:
            expected = RESOURCES_OF.get((function, service), RESOURCES[service])
            assert resource == (f"{expected}/index/index" if action in ON_THE_INDEX else expected), action


@pytest.mark.parametrize("function", [function for function in FUNCTIONS if function not in OUTSIDE_OF_THE_VPC])
def test_network_interfaces_are_the_accounts_own_also_in_subnets_that_are_shared(function):
    """AWS RAM shares subnets and security groups of other accounts."""
    own = "arn:aws:ec2:eu-central-1:123456789012:*/*"
    named = {}
    for action, resource in allowed(Stack(**VPC).statements_of(function)):
        if action in BY_LAMBDA_IN_A_VPC and resource != "*":
            named.setdefault(action, set()).add(resource)
    shared = {f"arn:aws:ec2:eu-central-1:*:{kind}/*" for kind in ("subnet", "security-group")}
    assert named == {
        "ec2:AssignPrivateIpAddresses": {own},
        "ec2:CreateNetworkInterface": {own, *shared},
        "ec2:DeleteNetworkInterface": {own},
        "ec2:UnassignPrivateIpAddresses": {own},
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_restored_table_takes_the_place_of_the_stacks_own(function):
    stack = Stack(ExistingTableName="restored")
    table = "arn:aws:dynamodb:eu-central-1:123456789012:table/restored"
    named = {resource for action, resource in allowed(stack.statements_of(function)) if action.startswith("dynamodb:")}
    assert table in named and named <= {table, f"{table}/index/index"}
    assert stack.properties(function)["Environment"]["Variables"]["TABLE_NAME"] == "restored"
    assert not stack.of_type("AWS::DynamoDB::Table")


@pytest.mark.parametrize("function", ["WebhookFunction", "WorkerFunction"])
def test_nothing_is_published_without_a_bus(function):
    assert "events:PutEvents" not in {action for action, _ in allowed(Stack().statements_of(function))}


def test_only_the_rules_may_send_to_the_dead_letter_queue():
    stack = Stack()
    (statement,) = stack.properties("DeadLettersPolicy")["PolicyDocument"]["Statement"]
    rules = ["${TokenRefresherFunctionEveryMinute.Arn}", "${WorkerFunctionEveryMinute.Arn}"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": rules}}
    assert (statement["Action"], statement["Resource"]) == ("sqs:SendMessage", "${DeadLetters.Arn}")


def test_the_gateway_may_call_each_function_for_its_paths_only():
    stack = Stack()
    api = "arn:aws:execute-api:eu-central-1:123456789012:${HttpApi}/*/*"
    open_api = stack.properties("OpenApiPermission")
    assert open_api["SourceArn"] == api.removesuffix("*") + "GET/openapi.json"
    console = stack.properties("ConsolePermission")
    assert console["SourceArn"] == api.removesuffix("*") + "GET/console*"
    assert console["FunctionName"] == open_api["FunctionName"]
    assert open_api["FunctionName"] == stack.properties("AdminPermission")["FunctionName"]
    for name, path in [("Webhook", "/webhook*"), ("SendTemplate", "/api/*"), ("Admin", "/api/*"), ("Users", "/api/*")]:
        assert stack.properties(f"{name}Permission")["SourceArn"] == api + path
    stack = Stack(DomainCheck="AbCdEf0123456789")
    for name, path in [
        ("Login", "oauth/*"),
        ("Bind", "bind/*"),
        ("Jssdk", "jssdk/config"),
        ("DomainCheck", "MP_verify_AbCdEf0123456789.txt"),
    ]:
        permission = stack.properties(f"{name}Permission")
        assert permission["SourceArn"] == api.removesuffix("*") + f"GET/{path}"
        assert permission["FunctionName"] == stack.properties("UsersPermission")["FunctionName"]
    for name, prefix in RELAYED.items():
        permission = stack.properties(f"{name}Permission")
        assert permission["SourceArn"] == f"{api}/{prefix}/*"
        assert permission["FunctionName"] == stack.resources["RelayIntegration"]["Properties"]["IntegrationUri"].replace(".Arn", "")


# The action that makes a resource of a type, where it is not `service:CreateName`.
CREATES = {
    "AWS::ApiGatewayV2::": "apigateway:POST",
    "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
    "AWS::CloudWatch::Dashboard": "cloudwatch:PutDashboard",
    "AWS::EC2::EIP": "ec2:AllocateAddress",
    "AWS::EC2::EIPAssociation": "ec2:AssociateAddress",
    "AWS::EC2::Instance": "ec2:RunInstances",
    "AWS::EC2::SubnetRouteTableAssociation": "ec2:AssociateRouteTable",
    "AWS::EC2::VPCEndpoint": "ec2:CreateVpcEndpoint",
    "AWS::EC2::VPCGatewayAttachment": "ec2:AttachInternetGateway",
    "AWS::Events::Rule": "events:PutRule",
    "AWS::IAM::ManagedPolicy": "iam:CreatePolicy",
    "AWS::Lambda::EventInvokeConfig": "lambda:PutFunctionEventInvokeConfig",
    "AWS::Lambda::Permission": "lambda:AddPermission",
    "AWS::Logs::MetricFilter": "logs:PutMetricFilter",
    "AWS::Logs::QueryDefinition": "logs:PutQueryDefinition",
    "AWS::SNS::Subscription": "sns:Subscribe",
    "AWS::SQS::QueuePolicy": "sqs:SetQueueAttributes",
}


# What a command of the AWS CLI asks for, where it is not `service:Command`.
COMMANDS = {
    "budgets create-budget": ["budgets:ModifyBudget"],
    "cloudformation deploy": [
        f"cloudformation:{call}" for call in ("CreateChangeSet", "DescribeChangeSet", "DescribeStacks", "ExecuteChangeSet")
    ],
    "dynamodb wait": ["dynamodb:DescribeTable"],
    "lambda invoke": ["lambda:InvokeFunction"],
    "logs tail": ["logs:FilterLogEvents"],
    # Everybody may.
    "sts get-caller-identity": [],
}
# What SAM, and the pages of the console that the guides name, ask for.
BESIDE_COMMANDS = {
    "cloudformation:DescribeStackEvents", "cloudformation:GetTemplate", "cloudformation:GetTemplateSummary",
    "cloudformation:ListChangeSets", "cloudwatch:GetMetricData", "ec2:GetConsoleOutput", "logs:GetQueryResults", "logs:StartQuery",
    "logs:StopQuery",
}  # fmt: skip


def deployer_allows(action):
    policy = json.loads((ROOT / "deployment/deployer.json").read_text())
    patterns = [action for statement in policy["Statement"] for action in as_list(statement["Action"])]
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def test_the_deploying_role_may_do_what_the_guides_have_its_user_do():
    guides = [(ROOT / f"docs/{name}{language}.md").read_text() for name in ("deploy", "operate") for language in ("", ".zh-CN")]
    commands = set()
    for text in [*guides, *Stack().outputs.values()]:
        commands |= set(re.findall(r"\baws ([a-z0-9]+ [a-z-]+)", text))
    assert len(commands) > 20 and set(COMMANDS) <= commands
    actions = set(BESIDE_COMMANDS)
    for command in commands:
        service, name = command.split()
        actions |= set(COMMANDS.get(command, [f"{service}:{name.title().replace('-', '')}"]))
    assert not [action for action in sorted(actions) if not deployer_allows(action)]


def test_the_deploying_policy_is_no_larger_than_a_managed_policy_may_be():
    text = (ROOT / "deployment/deployer.json").read_text().replace("ACCOUNT", "123456789012")
    # AWS counts no white space.
    assert len("".join(text.split())) <= 6144


@pytest.mark.parametrize("action", ["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"])
def test_the_deploying_role_may_not_read_a_secret(action):
    assert not deployer_allows(action)


def test_the_deploying_role_may_make_every_resource():
    stacks = [
        Stack(EventBusName="default", JwtIssuer="https://a", DomainName="a.example.com"),
        *[Egress(Nat=nat) for nat in ("Instance", "Gateway")],
        Watching(AlarmEmail="ops@example.com"),
    ]
    for kind in {resource["Type"] for stack in stacks for resource in stack.resources.values()}:
        _, service, name = kind.split("::")
        known = next(
            (action for prefix, action in CREATES.items() if kind == prefix or prefix[-1] == ":" and kind.startswith(prefix)),
            None,
        )
        action = known or f"{service.lower()}:Create{name}"
        assert deployer_allows(action), (kind, action)


def test_no_arn_names_a_partition():
    for stack in (Stack(pseudo=CHINA, EventBusName="default"), Egress(pseudo=CHINA), Watching(pseudo=CHINA)):
        assert "arn:aws:" not in json.dumps([stack.resources, stack.outputs])


@pytest.mark.parametrize("folder", FUNCTIONS.values())
def test_every_declared_call_is_made(folder):
    """The tests of the built functions record their calls: see shared/src/aws/calls.rs."""
    record = ROOT / "target/debug/aws-calls"
    if not record.is_dir():
        pytest.skip("run `cargo test --workspace` first: it records the calls that the functions make")
    made = {path.name for path in (record / folder).iterdir()}
    # One piece of code reads the secret for all functions, and the tests of the refresher cover it.
    made_by_shared_code = {"secretsmanager:GetSecretValue"} & declared(folder)
    assert "secretsmanager:GetSecretValue" in {path.name for path in (record / "token-refresher").iterdir()}
    assert made | made_by_shared_code == declared(folder)
