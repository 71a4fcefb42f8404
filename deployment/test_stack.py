"""The resources of the stack, for every combination of the parameters that decide which ones exist."""

import itertools
import json
import re
import tomllib

import pytest

from stack import FUNCTIONS, ROOT, SOURCE, Stack, references, texts

EIP = "eipalloc-0123456789abcdef0"
GRADUAL = "Canary10Percent5Minutes"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
# Every existing resource and option that a user may bring, all at once.
BROUGHT = {
    "ExistingAppSecretArn": f"{SECRET}app-AbCdEf",
    "ExistingSharedSecretArn": f"{SECRET}shared-AbCdEf",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
    "EventBusName": "default",
    "AllowedOrigins": "https://a.example.com,https://b.example.com",
    "AlarmEmail": "ops@example.com",
}
EGRESS = [
    {"EgressMode": "None"},
    {"EgressMode": "NatInstance"},
    {"EgressMode": "NatInstance", "ExistingEipAllocationId": EIP},
    {"EgressMode": "NatGateway"},
    {"EgressMode": "NatGateway", "ExistingEipAllocationId": EIP},
    {"EgressMode": "ExistingVpc", "ExistingSubnetIds": "subnet-1,subnet-2", "ExistingSecurityGroupIds": "sg-1"},
    {"EgressMode": "Proxy"},
    {"EgressMode": "Proxy", "ProxyUrl": "http://proxy.example.com:3128"},
]
WATCHING = [{}, {"Alarms": "true"}, {"Alarms": "true", "GradualDeployment": GRADUAL}]
JWT = [
    {},
    {
        "JwtIssuer": "https://login.example.com/",
        "JwtAudience": "wechat,shop",
        "JwtSendScope": "wechat",
        "JwtAdminScope": "wechat",
    },
    {
        "JwtIssuer": "https://login.example.com/",
        "JwtAudience": "wechat",
        "JwtSendScope": "wechat/send",
        "JwtAdminScope": "wechat/admin",
    },
]
DOMAIN = [{}, {"DomainName": "wechat.example.com", "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/1"}]
ARCHITECTURES = [{"Architecture": "arm64"}, {"Architecture": "x86_64"}]
COMBINATIONS = [
    {name: value for part in parts for name, value in part.items()}
    for parts in itertools.product(EGRESS, WATCHING, JWT, DOMAIN, ARCHITECTURES, [{}, BROUGHT])
]
# The functions that call WeChat.
CALLERS = [name for name in FUNCTIONS if name not in ("WebhookFunction", "WorkerFunction")]


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda chosen: " ".join(str(value) for value in chosen.values()))
def stack(request):
    return Stack(**request.param)


def test_cloudformation_takes_the_parameters(stack):
    assert not stack.refusals()


@pytest.mark.parametrize(
    ("chosen", "missing"),
    [
        *[(jwt, name) for jwt in JWT for name in jwt if name != "JwtIssuer"],
        (EGRESS[5], "ExistingSubnetIds"),
        (EGRESS[5], "ExistingSecurityGroupIds"),
        (DOMAIN[1], "CertificateArn"),
        (WATCHING[2], "Alarms"),
    ],
)
def test_a_choice_without_what_it_needs_is_refused(chosen, missing):
    """With a JWT issuer but no scopes, every user of the issuer could send messages and manage the account."""
    left = {name: value for name, value in chosen.items() if name != missing}
    (refusal,) = Stack(**left).refusals()
    assert missing in refusal


def test_every_reference_is_to_a_resource_that_exists(stack):
    dangling = references([stack.resources, stack.outputs]) - set(stack.resources)
    for resource in stack.resources.values():
        needed = resource.get("DependsOn", [])
        dangling |= set([needed] if isinstance(needed, str) else needed) - set(stack.resources)
    assert not dangling


def test_all_but_webhook_and_worker_are_in_the_vpc_of_a_vpc_mode(stack):
    mode = stack.parameters["EgressMode"]
    expected = {
        "NatInstance": (["${PrivateSubnetA}", "${PrivateSubnetB}"], ["${FunctionSecurityGroup}"]),
        "NatGateway": (["${PrivateSubnetA}", "${PrivateSubnetB}"], ["${FunctionSecurityGroup}"]),
        "ExistingVpc": (["subnet-1", "subnet-2"], ["sg-1"]),
    }.get(mode)
    for function in set(FUNCTIONS) - set(CALLERS):
        assert "VpcConfig" not in stack.properties(function), function
    for function in CALLERS:
        config = stack.properties(function).get("VpcConfig")
        assert (config and (config["SubnetIds"], config["SecurityGroupIds"])) == expected, function


def test_calls_leave_from_the_whitelisted_address(stack):
    mode, brought = stack.parameters["EgressMode"], stack.parameters["ExistingEipAllocationId"]
    vpc_resources = [name for name, resource in stack.resources.items() if resource["Type"].startswith("AWS::EC2::")]
    if mode not in ("NatInstance", "NatGateway"):
        assert not vpc_resources
        assert not references(stack.outputs["WhitelistIps"])
        return
    if brought:
        assert not stack.of_type("AWS::EC2::EIP")
        assert brought in stack.outputs["WhitelistIps"]
    else:
        eip = stack.resources["Eip"]
        assert (eip["DeletionPolicy"], eip["UpdateReplacePolicy"]) == ("Retain", "Retain")
        assert stack.outputs["WhitelistIps"] == "${Eip}"
    routes = [
        route["Properties"]
        for route in stack.of_type("AWS::EC2::Route").values()
        if route["Properties"]["RouteTableId"] == "${PrivateRouteTable}"
    ]
    (route,) = routes
    address = brought or "${Eip.AllocationId}"
    if mode == "NatGateway":
        assert route["NatGatewayId"] == "${NatGateway}"
        assert stack.properties("NatGateway")["AllocationId"] == address
        assert not stack.of_type("AWS::EC2::Instance")
    else:
        assert route["InstanceId"] == "${NatInstance}"
        association = stack.properties("NatInstanceAddress")
        assert (association["AllocationId"], association["InstanceId"]) == (address, "${NatInstance}")
        instance = stack.properties("NatInstance")
        assert instance["SourceDestCheck"] is False
        assert "KeyName" not in instance and "IamInstanceProfile" not in instance
        assert not stack.of_type("AWS::EC2::NatGateway")
    tables = {
        association["Properties"]["SubnetId"]: association["Properties"]["RouteTableId"]
        for association in stack.of_type("AWS::EC2::SubnetRouteTableAssociation").values()
    }
    assert tables["${PrivateSubnetA}"] == tables["${PrivateSubnetB}"] == "${PrivateRouteTable}"
    assert stack.properties("TableEndpoint")["RouteTableIds"] == ["${PrivateRouteTable}"]


def test_security_groups_let_https_out_and_only_the_functions_in(stack):
    for name, group in stack.of_type("AWS::EC2::SecurityGroup").items():
        rules = group["Properties"].get("SecurityGroupIngress", []) + group["Properties"]["SecurityGroupEgress"]
        assert all((rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443) for rule in rules)
        sources = [rule.get("SourceSecurityGroupId") for rule in group["Properties"].get("SecurityGroupIngress", [])]
        assert sources == (["${FunctionSecurityGroup}"] if name == "NatSecurityGroup" else []), name


def test_a_proxy_is_for_those_who_call_wechat(stack):
    url = stack.parameters["ProxyUrl"] or None
    for function in FUNCTIONS:
        variables = stack.properties(function)["Environment"]["Variables"]
        assert variables.get("HTTPS_PROXY") == (url if function in CALLERS else None), function


def test_each_function_reads_its_own_secret_and_no_value_is_anywhere(stack):
    app = stack.parameters["ExistingAppSecretArn"] or "${AppSecret}"
    shared = stack.parameters["ExistingSharedSecretArn"] or "${SharedSecret}"
    for function in FUNCTIONS:
        variables = stack.properties(function)["Environment"]["Variables"]
        secret = app if function == "TokenRefresherFunction" else shared
        assert variables.get("WECHAT_SECRET_ID") == secret, function
        assert not {"WECHAT_APP_SECRET", "WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY", "API_KEYS"} & set(variables)
    # No dynamic reference either: it would show the value in the function's configuration.
    assert not any("{{resolve:secretsmanager" in text for text in texts([stack.resources, stack.outputs]))
    assert len(stack.of_type("AWS::SecretsManager::Secret")) == (0 if stack.parameters["ExistingAppSecretArn"] else 2)


def test_routes_under_api_take_a_jwt_when_there_is_an_issuer_and_webhook_never(stack):
    has_jwt = bool(stack.parameters["JwtIssuer"])
    routes = {route["Properties"]["RouteKey"]: route["Properties"] for route in stack.of_type("AWS::ApiGatewayV2::Route").values()}
    for key, route in routes.items():
        if has_jwt and "/api/" in key:
            is_sender = route["Target"] == "integrations/${SendTemplateIntegration}"
            scope = stack.parameters["JwtSendScope" if is_sender else "JwtAdminScope"]
            assert (route["AuthorizationType"], route["AuthorizerId"]) == ("JWT", "${JwtAuthorizer}"), key
            assert route["AuthorizationScopes"] == [scope] and scope, key
        else:
            assert route.get("AuthorizationType", "NONE") == "NONE", key
            assert not {"AuthorizerId", "AuthorizationScopes"} & set(route), key
        # No route may take OPTIONS: API Gateway answers preflight requests itself.
        assert re.match(r"(GET|POST|PUT|DELETE) /", key), key
    authorizers = stack.of_type("AWS::ApiGatewayV2::Authorizer")
    assert len(authorizers) == has_jwt
    if has_jwt:
        audience = stack.properties("JwtAuthorizer")["JwtConfiguration"]["Audience"]
        assert audience == stack.parameters["JwtAudience"].split(",")


def test_everything_calls_the_functions_by_their_alias(stack):
    for function in FUNCTIONS:
        alias = stack.resources[f"{function}Aliaslive"]
        assert alias["Properties"]["FunctionVersion"].startswith(f"${{{function}Version")
        is_gradual = stack.parameters["GradualDeployment"] != "false"
        assert ("UpdatePolicy" in alias) == is_gradual
    for function in ("SendTemplateFunction", "AdminFunction"):
        refresher = stack.properties(function)["Environment"]["Variables"]["TOKEN_REFRESHER_FUNCTION"]
        assert refresher == "${TokenRefresherFunctionAliaslive}"
    worker = stack.properties("WebhookFunction")["Environment"]["Variables"]["WORKER_FUNCTION"]
    assert worker == "${WorkerFunctionAliaslive}"
    (target,) = stack.properties("TokenRefresherFunctionEveryMinute")["Targets"]
    assert target["Arn"] == "${TokenRefresherFunctionAliaslive}"
    for integration in stack.of_type("AWS::ApiGatewayV2::Integration").values():
        assert re.search(r"functions/\$\{\w+FunctionAliaslive\}/invocations$", integration["Properties"]["IntegrationUri"])
    for permission in stack.of_type("AWS::Lambda::Permission").values():
        assert permission["Properties"]["FunctionName"].endswith("Aliaslive}")


def test_a_gradual_deployment_is_rolled_back_by_alarms(stack):
    groups = stack.of_type("AWS::CodeDeploy::DeploymentGroup")
    assert len(groups) == (len(FUNCTIONS) if stack.parameters["GradualDeployment"] == GRADUAL else 0)
    for name, group in groups.items():
        alarms = group["Properties"]["AlarmConfiguration"]["Alarms"]
        assert alarms and all(alarm["Name"].strip("${}") in stack.of_type("AWS::CloudWatch::Alarm") for alarm in alarms), name
        assert group["Properties"]["ServiceRoleArn"] == "${DeploymentRole.Arn}"


def test_alarms_and_what_they_cost_are_there_when_wanted(stack):
    watching = [name for name, resource in stack.resources.items() if re.match("AWS::(CloudWatch|SNS)::", resource["Type"])]
    if stack.parameters["Alarms"] == "false":
        assert not watching
        return
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    assert set(alarms) == {
        f"{name}Alarm"
        for name in (
            "ApiFailing", "DeadLetters", "FunctionFailing", "LateEffects", "QuotaReached", "RefresherFailing",
            "RefresherSilent", "Throttled", "TokenExpiring", "WebhookSlow", "WhitelistDenied", "WorkerFailing",
        )
    }  # fmt: skip
    for name, alarm in alarms.items():
        assert alarm["Properties"]["AlarmActions"] == ["${AlarmTopic}"], name
        assert re.search("[一-鿿]", alarm["Properties"]["AlarmDescription"]), name
    for alarm in alarms.values():
        metrics = alarm["Properties"].get("Metrics", [])
        expressions = [metric["Expression"] for metric in metrics if "Expression" in metric]
        for metric in metrics:
            assert "Expression" in metric or any(metric["Id"] in expression for expression in expressions)
    assert json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]
    assert alarms["RefresherSilentAlarm"]["Properties"]["TreatMissingData"] == "breaching"
    assert len(stack.of_type("AWS::SNS::Subscription")) == bool(stack.parameters["AlarmEmail"])


def test_roles_have_the_boundary(stack):
    for name, role in stack.of_type("AWS::IAM::Role").items():
        assert role["Properties"].get("PermissionsBoundary", "") == stack.parameters["PermissionsBoundaryArn"], name


def test_failed_runs_end_in_the_dead_letter_queue(stack):
    (target,) = stack.properties("TokenRefresherFunctionEveryMinute")["Targets"]
    assert target["DeadLetterConfig"]["Arn"] == "${DeadLetters.Arn}"
    asynchronous = stack.properties("TokenRefresherFunctionEventInvokeConfig")
    assert asynchronous["DestinationConfig"]["OnFailure"]["Destination"] == "${DeadLetters.Arn}"
    assert (asynchronous["MaximumEventAgeInSeconds"], asynchronous["MaximumRetryAttempts"]) == (60, 0)
    assert stack.properties("DeadLetters")["SqsManagedSseEnabled"] is True


def test_effects_that_fail_are_tried_again_for_hours_and_then_from_a_queue(stack):
    asynchronous = stack.properties("WorkerFunctionEventInvokeConfig")
    assert (asynchronous["MaximumEventAgeInSeconds"], asynchronous["MaximumRetryAttempts"]) == (21600, 2)
    assert asynchronous["DestinationConfig"]["OnFailure"]["Destination"] == "${LateEffects.Arn}"
    # The settings of the alias, because the webhook invokes the alias.
    assert asynchronous["Qualifier"] == "live"
    queue = stack.properties("LateEffects")
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600 and queue["SqsManagedSseEnabled"] is True
    # AWS recommends at least six times the function's timeout.
    assert queue["VisibilityTimeout"] >= 6 * stack.properties("WorkerFunction")["Timeout"]
    again = stack.properties("WorkerFunctionLate")
    assert (again["EventSourceArn"], again["FunctionName"]) == ("${LateEffects.Arn}", "${WorkerFunctionAliaslive}")
    # A failed event must not repeat the successful ones of its batch.
    assert again["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_webhook_and_worker_publish_to_the_same_bus(stack):
    buses = {stack.properties(name)["Environment"]["Variables"]["EVENT_BUS_NAME"] for name in ("WebhookFunction", "WorkerFunction")}
    assert buses == {stack.parameters["EventBusName"]}


def test_the_table_and_the_functions_are_what_production_needs(stack):
    table = stack.resources["Table"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["Properties"]["DeletionProtectionEnabled"] is True
    assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    timeouts = {}
    for function in FUNCTIONS:
        properties = stack.properties(function)
        timeouts[function] = properties["Timeout"]
        assert properties["Architectures"] == [stack.parameters["Architecture"]]
        assert (properties["Runtime"], properties["LoggingConfig"]["LogFormat"]) == ("provided.al2023", "JSON")
        group = properties["LoggingConfig"]["LogGroup"].strip("${}")
        assert stack.properties(group)["RetentionInDays"] == 30
        # A new account's concurrency quota is too small to reserve any.
        assert "ReservedConcurrentExecutions" not in properties
    assert timeouts == {
        "WebhookFunction": 5, "TokenRefresherFunction": 30, "SendTemplateFunction": 29, "AdminFunction": 29,
        "WorkerFunction": 30,
    }  # fmt: skip


def test_the_access_log_holds_neither_path_nor_query(stack):
    logged = stack.properties("HttpApiStage")["AccessLogSettings"]["Format"]
    assert json.loads(logged)
    variables = set(re.findall(r"\$context\.([\w.]+)", logged))
    assert "routeKey" in variables
    assert not any(re.search("path|query|identity.user|authorizer|header", name, re.IGNORECASE) for name in variables)


def test_a_domain_replaces_the_addresses_of_the_outputs(stack):
    domain = stack.parameters["DomainName"]
    host = domain or "${HttpApi}.execute-api.eu-central-1.amazonaws.com"
    assert stack.outputs["WebhookUrl"] == f"https://{host}/webhook"
    assert ("DomainTarget" in stack.outputs) == bool(domain)


def test_no_parameter_takes_a_secret():
    # DescribeStacks would show a secret; NoEcho hides it only there, not in the resource that it configures.
    for name, declared in SOURCE["Parameters"].items():
        assert not declared.get("NoEcho"), name
        assert not re.search(r"^WechatAppSecret|Password|ApiKey|AesKey|^WechatToken$|SecretString", name), name
    pattern = re.compile(SOURCE["Parameters"]["ProxyUrl"]["AllowedPattern"])
    assert pattern.match("http://proxy.example.com:3128") and not pattern.match("http://user:pass@proxy.example.com:3128")


def test_the_routes_are_those_of_the_functions():
    """The routes of openapi.json, which is generated from the code, and the webhook's, with and without a trailing slash."""
    paths = json.loads((ROOT / "openapi.json").read_text())["paths"]
    expected = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    expected |= {"GET /webhook", "POST /webhook", "GET /webhook/", "POST /webhook/"}
    routes = [route["Properties"]["RouteKey"] for route in Stack().of_type("AWS::ApiGatewayV2::Route").values()]
    assert set(routes) == expected
    assert len(routes) == len(set(routes))


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_samconfig_overrides_parameters_that_there_are(environment):
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    overrides = dict(override.split("=", 1) for override in config[environment]["global"]["parameters"]["parameter_overrides"])
    assert set(overrides) <= set(SOURCE["Parameters"])
    stack = Stack(**overrides)
    for name, value in overrides.items():
        declared = SOURCE["Parameters"][name]
        assert value in [str(allowed) for allowed in declared.get("AllowedValues", [value])], name
        assert re.match(declared.get("AllowedPattern", ""), value), name
    if environment == "prod":
        assert stack.outputs["WhitelistIps"] == "${Eip}"
        assert stack.of_type("AWS::CloudWatch::Alarm") and stack.of_type("AWS::CodeDeploy::DeploymentGroup")


def test_alarms_and_dashboard_read_metrics_that_the_code_emits():
    code = [path.read_text() for folder in ("shared", "functions") for path in (ROOT / folder).rglob("src/**/*.rs")]
    metric = r'(?:Metric::(?:count|millis)\(|\bname: )"([A-Z]\w+)"'
    emitted = {name for text in code for name in re.findall(metric, text)}
    stack = Stack(Alarms="true")
    watched = set()
    for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
        for entry in alarm["Properties"].get("Metrics", []):
            read = entry.get("MetricStat", {}).get("Metric", {})
            if read.get("Namespace") == "WechatBundle":
                watched.add(read["MetricName"])
                assert read["Dimensions"][0]["Name"] == "FunctionName"
    assert watched == {"TokenLifeSeconds", "WhitelistDenied", "WechatErrcodes"}
    for text in texts(json.loads(stack.properties("Dashboard")["DashboardBody"])):
        watched |= set(re.findall(r'\{WechatBundle,FunctionName,\w+\} .* MetricName="(\w+)"', text))
    assert {"Callbacks", "Sends", "Deliveries", "WechatLatency"} <= watched
    assert watched <= emitted
