"""The resources of every combination of the parameters that decide which there are, in the three templates."""

import copy
import itertools
import json
import re
import tomllib

import pytest

from stack import CHINA, FUNCTIONS, PSEUDO, RELAYED, ROOT, SOURCE, SOURCES, Egress, Stack, Watching, cycle, references, texts

EIP = "eipalloc-0123456789abcdef0"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
# Every existing resource and option that a user may bring, all at once.
BROUGHT = {
    "ExistingAppSecretArn": f"{SECRET}app-AbCdEf",
    "ExistingSharedSecretArn": f"{SECRET}shared-AbCdEf",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
    "EventBusName": "default",
    "AllowedOrigins": "https://a.example.com,https://b.example.com",
    "ExistingTableName": "restored",
    "LoginHosts": "shop.example.com,www.example.com",
    "JssdkHosts": "shop.example.com,www.example.com",
    "DomainCheck": "AbCdEf0123456789",
    "ForwardUrl": "https://shop.example.com/wechat",
    "ForwardBudgetMs": "13000",
}
EGRESS = [
    {"EgressMode": "None"},
    {"EgressMode": "ExistingVpc", "ExistingSubnetIds": "subnet-1,subnet-2", "ExistingSecurityGroupIds": "sg-1"},
    {"EgressMode": "Proxy"},
    {"EgressMode": "Proxy", "ProxyUrl": "http://proxy.example.com:3128"},
]
VPC = EGRESS[1]
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
    for parts in itertools.product(EGRESS, JWT, DOMAIN, ARCHITECTURES, [{}, BROUGHT], [{"pseudo": PSEUDO}, {"pseudo": CHINA}])
]
# The functions that call WeChat.
CALLERS = [name for name in FUNCTIONS if name != "WebhookFunction"]
SCHEDULED = ("TokenRefresherFunction", "WorkerFunction")


def title(chosen):
    return " ".join(str(value) for name, value in chosen.items() if name != "pseudo")


@pytest.fixture(scope="module", params=COMBINATIONS, ids=title)
def stack(request):
    return Stack(**request.param)


def test_cloudformation_takes_the_parameters(stack):
    assert not stack.refusals()


@pytest.mark.parametrize(
    ("chosen", "missing"),
    [
        *[(jwt, name) for jwt in JWT for name in jwt if name != "JwtIssuer"],
        (VPC, "ExistingSubnetIds"),
        (VPC, "ExistingSecurityGroupIds"),
        (DOMAIN[1], "CertificateArn"),
    ],
)
def test_a_choice_without_what_it_needs_is_refused(chosen, missing):
    """With a JWT issuer but no scopes, every user of the issuer could send messages and manage the account."""
    left = {name: value for name, value in chosen.items() if name != missing}
    (refusal,) = Stack(**left).refusals()
    assert missing in refusal


EGRESS_STACKS = [
    {"Nat": nat, "ExistingEipAllocationId": eip, "Zone": zone}
    for nat, eip, zone in itertools.product(["Instance", "Gateway", "None"], ["", EIP], ["", "eu-central-1b"])
]
WATCHING_STACKS = [{}, {"AlarmEmail": "ops@example.com", "SilentHours": 1}]


@pytest.fixture(scope="module", params=EGRESS_STACKS, ids=title)
def egress(request):
    return Egress(**request.param)


def test_every_reference_is_to_a_resource_that_exists(stack):
    assert_references(stack)


def test_every_reference_of_egress_and_watching_is_to_a_resource_that_exists():
    for chosen in EGRESS_STACKS:
        assert_references(Egress(**chosen))
    for chosen in WATCHING_STACKS:
        assert_references(Watching(**chosen))


def assert_references(stack):
    dangling = references([stack.resources, stack.outputs]) - set(stack.resources)
    for resource in stack.resources.values():
        needed = resource.get("DependsOn", [])
        dangling |= set([needed] if isinstance(needed, str) else needed) - set(stack.resources)
    assert not dangling
    assert not cycle(stack.resources)


# Every parameter, another value for it, the others that it needs for that, and whose configuration it changes.
ALL = set(FUNCTIONS)
REFRESHER = {"TokenRefresherFunction"}
WITH_MODE = {"WebhookFunction", "AdminFunction"}
WITH_BUS = {"WebhookFunction", "WorkerFunction"}
USERS = {"UsersFunction"}
WITH_OWN_CODE = {"WebhookFunction", "WorkerFunction", "AdminFunction"}
CHANGES = [
    ("WechatAppId", "wxfedcba9876543210", {}, ALL),
    ("MessageMode", "plain", {}, WITH_MODE),
    ("EgressMode", "ExistingVpc", VPC, set(CALLERS)),
    ("EgressMode", "None", VPC, set(CALLERS)),
    ("EgressMode", "Proxy", EGRESS[3], set(CALLERS)),
    ("ExistingSubnetIds", "subnet-3", VPC, set(CALLERS)),
    ("ExistingSecurityGroupIds", "sg-2", VPC, set(CALLERS)),
    ("ProxyUrl", "http://other.example.com:3128", EGRESS[3], set(CALLERS)),
    ("ApiBase", "https://hk.api.weixin.qq.com", {}, set(CALLERS)),
    ("EventBusName", "default", {}, WITH_BUS),
    ("ForwardUrl", "https://shop.example.com/wechat", {}, WITH_OWN_CODE),
    ("ForwardBudgetMs", "13000", {}, {"WebhookFunction"}),
    ("AllowedOrigins", "https://a.example.com", {}, set()),
    ("JwtIssuer", "https://other.example.com/", JWT[1], {"AdminFunction"}),
    ("JwtAudience", "other", JWT[1], {"AdminFunction"}),
    ("JwtSendScope", "other", JWT[1], {"AdminFunction"}),
    ("JwtAdminScope", "other", JWT[1], {"AdminFunction"}),
    ("JwtClientId", "console", JWT[1], {"AdminFunction"}),
    ("JwtTokenOrigin", "https://token.example.com", JWT[1], {"AdminFunction"}),
    ("DomainName", "other.example.com", DOMAIN[1], USERS),
    ("CertificateArn", "arn:aws:acm:eu-central-1:123456789012:certificate/2", DOMAIN[1], set()),
    ("LoginHosts", "shop.example.com", {}, USERS),
    ("JssdkHosts", "shop.example.com", {}, USERS),
    ("DomainCheck", "AbCdEf0123456789", {}, USERS),
    ("ThrottleRate", 10, {}, set()),
    ("ExistingTableName", "restored", {}, ALL),
    ("ExistingAppSecretArn", f"{SECRET}app-AbCdEf", {}, REFRESHER),
    ("ExistingSharedSecretArn", f"{SECRET}shared-AbCdEf", {}, ALL - REFRESHER),
    ("SecretsRevision", "2", {}, ALL),
    ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:policy/boundary", {}, set()),
    ("LogLevel", "DEBUG", {}, ALL),
    ("LogRetentionDays", 90, {}, set()),
    ("Architecture", "x86_64", {}, ALL),
]


@pytest.mark.parametrize(("name", "value", "others", "expected"), CHANGES)
def test_a_changed_parameter_reaches_exactly_the_functions_that_it_is_for(name, value, others, expected):
    """With `test_everything_calls_the_functions_themselves`: what is deployed is what runs."""
    default = SOURCE["Parameters"][name].get("Default")
    before = others if others.get(name, default) != value else {key: given for key, given in others.items() if key != name}
    before, after = Stack(**before), Stack(**{**others, name: value})
    assert before.parameters[name] != after.parameters[name]
    assert not after.refusals()
    assert {function for function in FUNCTIONS if before.properties(function) != after.properties(function)} == expected
    # The same functions under the same names: nothing is replaced, and the table stays unless another one takes its place.
    assert all(
        before.properties(function)["FunctionName"] == after.properties(function)["FunctionName"] for function in FUNCTIONS
    )


def test_that_list_has_every_parameter():
    assert {name for name, *_ in CHANGES} == set(SOURCE["Parameters"])


def test_an_edit_of_a_branch_that_is_not_taken_changes_nothing():
    edited = copy.deepcopy(SOURCE)
    for function in CALLERS:
        edited["Resources"][function]["Properties"]["VpcConfig"]["Fn::If"][1]["SubnetIds"] = ["subnet-9"]
        edited["Resources"][function]["Properties"]["Environment"]["Variables"]["HTTPS_PROXY"]["Fn::If"][1] = "http://edited"
    edited["Globals"]["Function"]["Tracing"]["Fn::If"][1] = "Disabled"
    assert Stack(source=edited).resources == Stack().resources
    assert Stack(source=edited, **VPC).resources != Stack(**VPC).resources


def test_everything_calls_the_functions_themselves(stack):
    """An alias would go on with an old version, whose settings no parameter changes: SAM does not see what one refers to."""
    assert not stack.of_type("AWS::Lambda::Version") and not stack.of_type("AWS::Lambda::Alias")
    for function in ("SendTemplateFunction", "AdminFunction", "UsersFunction", "RelayFunction", "WorkerFunction"):
        assert stack.properties(function)["Environment"]["Variables"]["TOKEN_REFRESHER_FUNCTION"] == "${TokenRefresherFunction}"
    assert stack.properties("WebhookFunction")["Environment"]["Variables"]["WORKER_FUNCTION"] == "${WorkerFunction}"
    for function in SCHEDULED:
        (target,) = stack.properties(f"{function}EveryMinute")["Targets"]
        assert target["Arn"] == f"${{{function}.Arn}}"
    for integration in stack.of_type("AWS::ApiGatewayV2::Integration").values():
        assert re.fullmatch(r"\$\{\w+Function\.Arn\}", integration["Properties"]["IntegrationUri"])
    for permission in stack.of_type("AWS::Lambda::Permission").values():
        assert permission["Properties"]["FunctionName"].strip("${}") in FUNCTIONS


def test_all_but_the_webhook_are_in_the_vpc_of_a_vpc_mode(stack):
    expected = (["subnet-1", "subnet-2"], ["sg-1"]) if stack.parameters["EgressMode"] == "ExistingVpc" else None
    for function in set(FUNCTIONS) - set(CALLERS):
        assert "VpcConfig" not in stack.properties(function), function
    for function in CALLERS:
        config = stack.properties(function).get("VpcConfig")
        assert (config and (config["SubnetIds"], config["SecurityGroupIds"])) == expected, function


def test_calls_leave_from_the_whitelisted_address(egress):
    nat, brought = egress.parameters["Nat"], egress.parameters["ExistingEipAllocationId"]
    if brought:
        assert not egress.of_type("AWS::EC2::EIP")
        assert brought in egress.outputs["WhitelistIp"]
    else:
        # Whatever the NAT, so that the step from one to the other keeps it.
        eip = egress.resources["Eip"]
        assert (eip["DeletionPolicy"], eip["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
        assert egress.outputs["WhitelistIp"] == "${Eip}"
    routes = [
        route["Properties"]
        for route in egress.of_type("AWS::EC2::Route").values()
        if route["Properties"]["RouteTableId"] == "${PrivateRouteTable}"
    ]
    address = brought or "${Eip.AllocationId}"
    if nat == "None":
        assert not routes
    elif nat == "Gateway":
        assert [route["NatGatewayId"] for route in routes] == ["${NatGateway}"]
        assert egress.properties("NatGateway")["AllocationId"] == address
    else:
        assert [route["InstanceId"] for route in routes] == ["${NatInstance}"]
        association = egress.properties("NatInstanceAddress")
        assert (association["AllocationId"], association["InstanceId"]) == (address, "${NatInstance}")
    assert len(egress.of_type("AWS::EC2::NatGateway")) == (nat == "Gateway")
    assert len(egress.of_type("AWS::EC2::Instance")) == (nat == "Instance")
    tables = {
        association["Properties"]["SubnetId"]: association["Properties"]["RouteTableId"]
        for association in egress.of_type("AWS::EC2::SubnetRouteTableAssociation").values()
    }
    assert tables == {"${PublicSubnet}": "${PublicRouteTable}", "${PrivateSubnet}": "${PrivateRouteTable}"}
    assert egress.properties("TableEndpoint")["RouteTableIds"] == ["${PrivateRouteTable}"]
    zone = egress.parameters["Zone"] or "Fn::Select of [0, 'Fn::GetAZs of ']"
    assert egress.properties("PublicSubnet")["AvailabilityZone"] == zone


def test_the_app_takes_what_egress_and_watching_hand_over(egress):
    handed = dict(pair.split("=", 1) for pair in egress.outputs["AppParameters"].split())
    assert handed == {
        "EgressMode": "ExistingVpc",
        "ExistingSubnetIds": "${PrivateSubnet}",
        "ExistingSecurityGroupIds": "${FunctionSecurityGroup}",
    }
    assert not Stack(**handed).refusals()
    app = Stack()
    handed = dict(pair.split("=", 1) for pair in app.outputs["WatchingParameters"].split())
    required = {name for name, declared in SOURCES["watching.yaml"]["Parameters"].items() if "Default" not in declared}
    assert set(handed) == required | {"App"}
    assert references(handed) <= set(app.resources)


def test_the_nat_instance_is_replaced_only_when_asked_and_counts_as_there_when_it_forwards():
    before = Egress()
    # EC2 resolves it at a launch; a parameter of CloudFormation's would be resolved anew at each deployment.
    assert before.properties("NatTemplate")["LaunchTemplateData"]["ImageId"].startswith("resolve:ssm:/aws/service/")
    assert not [name for name, declared in SOURCES["egress.yaml"]["Parameters"].items() if "SSM" in declared["Type"]]
    for name, value in [("NatRevision", "2"), ("NatInstanceType", "t4g.nano")]:
        assert Egress(**{name: value}).properties("NatTemplate") != before.properties("NatTemplate"), name
    instance = before.resources["NatInstance"]
    assert instance["Properties"]["LaunchTemplate"]["Version"] == "${NatTemplate.LatestVersionNumber}"
    assert instance["CreationPolicy"]["ResourceSignal"]["Count"] == 1
    assert instance["Properties"]["SourceDestCheck"] is False
    # The address comes after the signal, and the packages before it.
    assert before.properties("PublicSubnet")["MapPublicIpOnLaunch"] is True
    script = before.properties("NatTemplate")["LaunchTemplateData"]["UserData"]
    steps = [script.index(step) for step in ("swapon", "dnf install", "nftables.conf", "cfn-signal --exit-code $?")]
    assert steps == sorted(steps)
    data = before.properties("NatTemplate")["LaunchTemplateData"]
    assert not {"KeyName", "IamInstanceProfile"} & (set(instance["Properties"]) | set(data))
    (action,) = before.properties("NatInstanceAlarm")["AlarmActions"]
    assert action == "arn:aws:automate:eu-central-1:ec2:reboot"


def test_security_groups_let_https_out_and_only_the_functions_in(egress):
    for name, group in egress.of_type("AWS::EC2::SecurityGroup").items():
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
        secrets = {"WECHAT_APP_SECRET", "WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY", "API_KEYS", "FORWARD_SECRET"}
        assert not secrets & set(variables)
    # No dynamic reference either: it would show the value in the function's configuration.
    assert not any("{{resolve:secretsmanager" in text for text in texts([stack.resources, stack.outputs]))
    assert len(stack.of_type("AWS::SecretsManager::Secret")) == (0 if stack.parameters["ExistingAppSecretArn"] else 2)


def test_secrets_outlive_the_stack(stack):
    """CloudFormation deletes a secret without a recovery window: nobody could bring its values back."""
    for name, secret in stack.of_type("AWS::SecretsManager::Secret").items():
        assert (secret["DeletionPolicy"], secret["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain"), name


def test_routes_under_api_take_a_jwt_when_there_is_an_issuer_and_webhook_never(stack):
    has_jwt = bool(stack.parameters["JwtIssuer"])
    routes = {
        route["Properties"]["RouteKey"]: route["Properties"] for route in stack.of_type("AWS::ApiGatewayV2::Route").values()
    }
    for key, route in routes.items():
        if has_jwt and "/api/" in key:
            is_sender = route["Target"] == "integrations/${SendTemplateIntegration}"
            names = ["JwtSendScope" if is_sender else "JwtAdminScope"]
            if key == "GET /api/account":
                names = ["JwtSendScope", "JwtAdminScope"]
            scopes = list(dict.fromkeys(stack.parameters[name] for name in names))
            assert (route["AuthorizationType"], route["AuthorizerId"]) == ("JWT", "${JwtAuthorizer}"), key
            assert route["AuthorizationScopes"] == scopes and all(scopes), key
        else:
            assert route.get("AuthorizationType", "NONE") == "NONE", key
            assert not {"AuthorizerId", "AuthorizationScopes"} & set(route), key
        if route["Target"] == "integrations/${RelayIntegration}":
            assert re.fullmatch(rf"ANY /({'|'.join(RELAYED.values())})/\{{path\+\}}", key), key
            continue
        # Nothing else reaches a function, and all of /api is above.
        of_console = r"console/?$|console/pages/\{file\}$"
        of_users = r"oauth/(login|back)$|bind/\{binding\}$|jssdk/config$|MP_verify_\w{16}\.txt$"
        assert re.match(rf"\w+ /(webhook/?$|api/|openapi\.json$|{of_console}|{of_users})", key), key
        # A route that took OPTIONS would take preflight requests from API Gateway's own answer.
        assert re.match(r"(GET|POST|PUT|DELETE) /", key), key
    authorizers = stack.of_type("AWS::ApiGatewayV2::Authorizer")
    assert len(authorizers) == has_jwt
    if has_jwt:
        audience = stack.properties("JwtAuthorizer")["JwtConfiguration"]["Audience"]
        assert audience == stack.parameters["JwtAudience"].split(",")


@pytest.mark.parametrize("chosen", WATCHING_STACKS, ids=title)
def test_alarms_and_what_they_cost_are_there_when_wanted(chosen):
    """The app has none; the stack of watching.yaml has them all."""
    stack = Watching(**chosen)
    assert not [name for name, resource in Stack().resources.items() if re.match("AWS::(CloudWatch|SNS)::", resource["Type"])]
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    assert set(alarms) == {
        f"{name}Alarm"
        for name in (
            "ApiFailing", "CallbacksRefused", "CallbacksSilent", "CallbacksThrottled", "CampaignStopped", "DeadForwards", "DeadLetters",
            "DeliveriesFailing", "ForwardsWaiting", "FunctionFailing", "LateEffects", "LostReplies", "QuotaReached", "RefresherFailing",
            "RefresherSilent", "TableThrottled", "Throttled", "TicketFailing", "TokenExpiring", "WebhookSlow", "WhitelistDenied",
            "WorkerFailing", "WorkerSilent",
        )
    }  # fmt: skip
    for name, alarm in alarms.items():
        assert alarm["Properties"]["AlarmActions"] == ["${AlarmTopic}"], name
        assert re.search("[一-鿿]", alarm["Properties"]["AlarmDescription"]), name
        metrics = alarm["Properties"].get("Metrics", [])
        assert [metric["Id"] for metric in metrics if metric.get("ReturnData", True)] == (["total"] if metrics else [])
        expressions = [metric["Expression"] for metric in metrics if "Expression" in metric]
        ids = {metric["Id"] for metric in metrics}
        assert {word for text in expressions for word in re.findall(r"[a-z]\w*", text)} == ids - {"total"}, name
    assert json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]
    silent = {name for name, alarm in alarms.items() if alarm["Properties"]["TreatMissingData"] == "breaching"}
    assert silent == {"RefresherSilentAlarm", "WorkerSilentAlarm", "CallbacksSilentAlarm"}
    assert len(stack.of_type("AWS::SNS::Subscription")) == bool(stack.parameters["AlarmEmail"])


def test_watching_names_the_functions_and_logs_of_the_app():
    app, watching = Stack(), Watching()
    functions = {app.properties(function)["FunctionName"] for function in FUNCTIONS}
    groups = {group["Properties"]["LogGroupName"] for group in app.of_type("AWS::Logs::LogGroup").values()}
    named = set()
    for text in texts([alarm["Properties"] for alarm in watching.of_type("AWS::CloudWatch::Alarm").values()]):
        named |= set(re.findall(r"^wechat-[\w-]+$", text))
    named |= set(re.findall(r"wechat-[a-z-]+", watching.properties("Dashboard")["DashboardBody"]))
    assert named == functions
    for query in watching.of_type("AWS::Logs::QueryDefinition").values():
        assert set(query["Properties"]["LogGroupNames"]) <= groups
    logged = app.properties("HttpApiStage")["AccessLogSettings"]["Format"]
    # The value of a metric must be a number in the log, and the status is compared as a text.
    for name, field in [
        ("WebhookLatency", '"responseLatency":$context.responseLatency,'), ("CallbacksThrottled", '"status":"$context.status",'),
    ]:  # fmt: skip
        metric_filter = watching.properties(name)
        assert metric_filter["LogGroupName"] in groups and field in logged
        (metric,) = metric_filter["MetricTransformations"]
        read = watching.properties({"WebhookLatency": "WebhookSlowAlarm"}.get(name, f"{name}Alarm"))
        assert (read["Namespace"], read["MetricName"]) == (metric["MetricNamespace"], metric["MetricName"])
    assert '$.status = "429"' in watching.properties("CallbacksThrottled")["FilterPattern"]


def test_a_rule_that_cannot_start_its_function_sets_off_the_alarm_and_one_failed_run_does_not():
    """Such a rule sends one message a minute."""
    alarm = Watching().properties("DeadLettersAlarm")
    assert 1 < alarm["Threshold"] <= alarm["Period"] / 60 and alarm["DatapointsToAlarm"] == 1


@pytest.mark.parametrize(("language", "minutes"), [("", r"monitoring time of (\d+) minutes"), (".zh-CN", r"监控时间 (\d+) 分钟")])
def test_a_deployment_is_watched_until_its_alarms_can_go_off(language, minutes):
    stack = Watching()
    (said,) = re.findall(minutes, (ROOT / f"docs/deploy{language}.md").read_text())
    for name in re.findall(r"\$\{(\w+)\.Arn\}", stack.outputs["RollbackAlarmArns"]):
        alarm = stack.properties(name)
        period = alarm.get("Period") or max(each["MetricStat"]["Period"] for each in alarm["Metrics"] if "MetricStat" in each)
        # A metric is some minutes old when CloudWatch has it.
        assert int(said) >= period * alarm["EvaluationPeriods"] / 60 + 5, name


@pytest.mark.parametrize("language", ["", ".zh-CN"])
def test_the_guides_say_what_the_alarms_cost(language):
    alarms = [alarm["Properties"] for alarm in Watching().of_type("AWS::CloudWatch::Alarm").values()]
    metrics = sum(len([each for each in alarm.get("Metrics", [alarm]) if "Expression" not in each]) for alarm in alarms)
    guide = (ROOT / f"docs/operate{language}.md").read_text()
    # 0.10 USD a month for each.
    said = {"": f"{metrics} metrics, so about {metrics / 10}", ".zh-CN": f"共 {metrics} 个，约 {metrics / 10}"}[language]
    assert said in guide


def code_of(folder):
    return "".join(path.read_text() for path in (ROOT / folder).rglob("src/**/*.rs"))


def test_saved_queries_ask_for_what_the_code_logs():
    code = "".join(code_of(folder) for folder in ("shared", "functions", "http-api"))
    for name, query in Watching().of_type("AWS::Logs::QueryDefinition").items():
        if name == "SlowCallbacksQuery":
            continue
        text = query["Properties"]["QueryString"]
        fields = re.findall(r"[a-z_]\w+", text.split("\n")[0])[1:]
        for field in set(fields) - {"timestamp", "log", "level", "message"}:
            assert re.search(rf"\b{field}( =|,|\))", code), (name, field)
        for value in text.split('"')[1::2]:
            # Levels, and what the operator replaces, are in capitals.
            assert value.isupper() or f'"{value}"' in code, (name, value)


def test_the_saved_query_for_sends_that_failed_names_every_line_about_a_send():
    query = Watching().properties("FailuresQuery")["QueryString"]
    lines = re.findall(r'"([a-z-]+ message)"\n', code_of("functions"))
    assert len(lines) == 3 and all(f'"{line}"' in query for line in lines), lines


@pytest.mark.parametrize(("query", "field"), [("PersonQuery", r"\bopenid_sha256\b"), ("MessageQuery", r"^ *msgid( = [^;]+)?,$")])
def test_a_saved_query_reads_every_function_that_logs_its_field(query, field):
    groups = Watching().properties(query)["LogGroupNames"]
    logging = {folder.name for folder in (ROOT / "functions").iterdir() if re.search(field, code_of(folder), re.MULTILINE)}
    assert {re.sub("^/aws/lambda/[a-z]+-", "", group) for group in groups} == logging


def test_roles_have_the_boundary(stack):
    for name, role in stack.of_type("AWS::IAM::Role").items():
        assert role["Properties"].get("PermissionsBoundary", "") == stack.parameters["PermissionsBoundaryArn"], name


def test_failed_runs_end_in_the_dead_letter_queue(stack):
    for function in SCHEDULED:
        (target,) = stack.properties(f"{function}EveryMinute")["Targets"]
        assert target["DeadLetterConfig"]["Arn"] == "${DeadLetters.Arn}"
    asynchronous = stack.properties("TokenRefresherFunctionEventInvokeConfig")
    assert asynchronous["DestinationConfig"]["OnFailure"]["Destination"] == "${DeadLetters.Arn}"
    assert (asynchronous["MaximumEventAgeInSeconds"], asynchronous["MaximumRetryAttempts"]) == (60, 0)
    assert stack.properties("DeadLetters")["SqsManagedSseEnabled"] is True


def test_effects_that_fail_are_tried_again_for_hours_and_then_from_a_queue(stack):
    asynchronous = stack.properties("WorkerFunctionEventInvokeConfig")
    assert (asynchronous["MaximumEventAgeInSeconds"], asynchronous["MaximumRetryAttempts"]) == (21600, 2)
    assert asynchronous["DestinationConfig"]["OnFailure"]["Destination"] == "${LateEffects.Arn}"
    # What the webhook invokes.
    assert asynchronous["Qualifier"] == "$LATEST"
    queue = stack.properties("LateEffects")
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600 and queue["SqsManagedSseEnabled"] is True
    # AWS recommends at least six times the function's timeout.
    assert queue["VisibilityTimeout"] >= 6 * stack.properties("WorkerFunction")["Timeout"]
    again = stack.properties("WorkerFunctionLate")
    assert (again["EventSourceArn"], again["FunctionName"]) == ("${LateEffects.Arn}", "${WorkerFunction}")
    # One event that fails must not bring back those that did not.
    assert again["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_worker_runs_every_minute(stack):
    rule = stack.properties("WorkerFunctionEveryMinute")
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    (target,) = rule["Targets"]
    assert json.loads(target["Input"]) == {"action": "run"}


def test_own_code_is_known_to_those_who_call_it_and_to_the_doctor(stack):
    for function in FUNCTIONS:
        variables = stack.properties(function)["Environment"]["Variables"]
        assert variables.get("FORWARD_URL") == (stack.parameters["ForwardUrl"] if function in WITH_OWN_CODE else None), function
    assert stack.properties("WebhookFunction")["Environment"]["Variables"]["FORWARD_BUDGET_MS"] == (
        stack.parameters["ForwardBudgetMs"]
    )


@pytest.mark.parametrize("budget", SOURCE["Parameters"]["ForwardBudgetMs"]["AllowedValues"])
def test_the_webhook_lives_as_long_as_its_longest_reply(budget):
    timeout = Stack(ForwardBudgetMs=budget).properties("WebhookFunction")["Timeout"]
    assert timeout == (15 if int(budget) > 4500 else 5)
    # The function cuts its budget to what a delivery has, or keeps the late reply after it.
    assert timeout * 1000 >= int(budget) + 500


def test_own_code_is_called_by_https_and_its_address_holds_no_secret():
    pattern = re.compile(SOURCE["Parameters"]["ForwardUrl"]["AllowedPattern"])
    for url in ["", "https://a.example", "https://a.example:8443/wechat/"]:
        assert pattern.search(url), url
    # Whoever may read the stack would see a password in the query.
    for url in ["http://a.example/", "https://", "https://user:password@a.example/", "https://a.example/?key=1", "https://a b/"]:
        assert not pattern.search(url), url


def test_webhook_and_worker_publish_to_the_same_bus(stack):
    buses = {
        stack.properties(name)["Environment"]["Variables"]["EVENT_BUS_NAME"] for name in ("WebhookFunction", "WorkerFunction")
    }
    assert buses == {stack.parameters["EventBusName"]}


def test_the_table_and_the_functions_are_what_production_needs(stack):
    if not stack.parameters["ExistingTableName"]:
        table = stack.resources["Table"]
        assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
        assert table["Properties"]["DeletionProtectionEnabled"] is True
        assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
        # The index that shared/src/store/index.rs asks. CloudFormation adds one index an update, without a new table.
        (index,) = table["Properties"]["GlobalSecondaryIndexes"]
        keys = {key["KeyType"]: key["AttributeName"] for key in index["KeySchema"]}
        assert (index["IndexName"], keys) == ("index", {"HASH": "ipk", "RANGE": "isk"})
        assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
        types = {each["AttributeName"]: each["AttributeType"] for each in table["Properties"]["AttributeDefinitions"]}
        assert types == {"pk": "S", "ipk": "S", "isk": "N"}
        # The key that DynamoDB owns: any other costs for each call.
        assert "SSESpecification" not in table["Properties"]
    timeouts = {}
    for function in FUNCTIONS:
        properties = stack.properties(function)
        timeouts[function] = properties["Timeout"]
        assert properties["Architectures"] == [stack.parameters["Architecture"]]
        assert (properties["Runtime"], properties["LoggingConfig"]["LogFormat"]) == ("provided.al2023", "JSON")
        group = properties["LoggingConfig"]["LogGroup"].strip("${}")
        assert stack.properties(group)["RetentionInDays"] == 30
        traces = "Active" if stack.pseudo is PSEUDO and function not in SCHEDULED else "PassThrough"
        assert properties["TracingConfig"]["Mode"] == traces
        # A new account has no concurrency to reserve.
        assert "ReservedConcurrentExecutions" not in properties
    assert timeouts == {
        "WebhookFunction": 15 if stack.parameters["ForwardBudgetMs"] == "13000" else 5, "TokenRefresherFunction": 30,
        "SendTemplateFunction": 29, "AdminFunction": 29, "UsersFunction": 29, "RelayFunction": 29, "WorkerFunction": 150,
    }  # fmt: skip


def test_the_access_log_holds_neither_path_nor_query(stack):
    logged = stack.properties("HttpApiStage")["AccessLogSettings"]["Format"]
    assert json.loads(re.sub(r":\$context\.\w+", ":0", logged))
    variables = set(re.findall(r"\$context\.([\w.]+)", logged))
    assert "routeKey" in variables
    # It comes with quotes of its own, and a line with two pairs of them is not JSON.
    assert "error.messageString" not in variables
    assert not any(re.search("path|query|identity.user|authorizer|header", name, re.IGNORECASE) for name in variables)


def test_a_domain_replaces_the_addresses_of_the_outputs(stack):
    domain = stack.parameters["DomainName"]
    host = domain or "${HttpApi}.execute-api.%s.%s" % (stack.pseudo["AWS::Region"], stack.pseudo["AWS::URLSuffix"])
    assert stack.outputs["WebhookUrl"] == f"https://{host}/webhook"
    assert ("DomainTarget" in stack.outputs) == bool(domain)
    # WeChat returns to this address after a login, and a browser keeps the login's cookie for it.
    assert stack.properties("UsersFunction")["Environment"]["Variables"]["PUBLIC_URL"] == stack.outputs["ApiUrl"]


def test_users_gets_the_hosts_and_the_file_that_the_parameters_name(stack):
    variables = stack.properties("UsersFunction")["Environment"]["Variables"]
    for name, parameter in [
        ("LOGIN_HOSTS", "LoginHosts"), ("JSSDK_HOSTS", "JssdkHosts"), ("WECHAT_DOMAIN_CHECK", "DomainCheck"),
    ]:  # fmt: skip
        assert variables[name] == stack.parameters[parameter]
    check = stack.parameters["DomainCheck"]
    routes = [route["Properties"]["RouteKey"] for route in stack.of_type("AWS::ApiGatewayV2::Route").values()]
    assert [key for key in routes if "MP_verify" in key] == ([f"GET /MP_verify_{check}.txt"] if check else [])


@pytest.mark.parametrize(
    ("origins", "hosts", "allowed"),
    [
        ("", "", None),
        ("https://a.example.com,http://b.example.com:8080", "", ["https://a.example.com", "http://b.example.com:8080"]),
        ("", "shop.example.com", ["https://shop.example.com"]),
        ("", "shop.example.com,www.example.com", ["https://shop.example.com", "https://www.example.com"]),
        (
            "https://a.example.com,https://b.example.com",
            "shop.example.com,www.example.com",
            ["https://a.example.com", "https://b.example.com", "https://shop.example.com", "https://www.example.com"],
        ),
    ],
)
def test_pages_that_use_the_js_sdk_may_read_its_configuration(origins, hosts, allowed):
    """The gateway drops the CORS headers of the functions, so it must know the pages itself."""
    cors = Stack(AllowedOrigins=origins, JssdkHosts=hosts).properties("HttpApi").get("CorsConfiguration")
    assert (cors and cors["AllowOrigins"]) == allowed


def test_pages_may_read_every_header_that_says_something_to_a_caller():
    """Such as `Link`, which alone names the next page of CSV. A browser shows a page no other header of another origin."""
    files = [path.read_text() for folder in ("functions", "http-api") for path in (ROOT / folder).rglob("src/**/*.rs")]
    code = "".join(text.split("#[cfg(test)]")[0] for text in files)
    written = re.findall(r'\.insert\(\s*(?:header::([A-Z_]+)|"([a-z-]+)"),', code)
    names = {(constant or name).lower().replace("_", "-") for constant, name in written}
    # What the browser itself heeds, or shows to every page, and what programs without a browser read.
    others = {
        "access-control-allow-origin", "allow", "cache-control", "content-type", "location", "set-cookie", "vary",
        "www-authenticate", "x-content-type-options",
    }  # fmt: skip
    exposed = Stack(AllowedOrigins="https://a.example.com").properties("HttpApi")["CorsConfiguration"]["ExposeHeaders"]
    assert set(exposed) == names - others and others <= names


@pytest.mark.parametrize("name", ["LoginHosts", "JssdkHosts"])
def test_a_list_of_hosts_takes_bare_hosts_only(name):
    """What the function would refuse at its start is refused before the deployment."""
    pattern = re.compile(SOURCE["Parameters"][name]["AllowedPattern"])
    for hosts in ["", "localhost", "shop.example.com", "shop.example.com,www.example.com,127.0.0.1"]:
        assert pattern.search(hosts), hosts
    for hosts in ["https://a.example", "a.example/", "a.example:443", "*.example", "a.example,", "a.example, b.example", "a."]:
        assert not pattern.search(hosts), hosts


def test_a_domain_is_a_bare_host():
    """PUBLIC_URL is made of it, and users refuses another one only when it starts."""
    pattern = re.compile(SOURCE["Parameters"]["DomainName"]["AllowedPattern"])
    for domain in ["", "wechat.example.com", "a.cn", "xn--fiqs8s.example.com"]:
        assert pattern.search(domain), domain
    for domain in ["https://a.example.com", "a.example.com/", "a.example.com:443", "A.example.com", "localhost", "*.example.com", "a.", "-a.b"]:
        assert not pattern.search(domain), domain


def test_audiences_are_separated_by_commas_alone():
    """A space would become a part of an audience, which no token has."""
    pattern = re.compile(SOURCE["Parameters"]["JwtAudience"]["AllowedPattern"])
    for audiences in ["", "wechat", "https://api.example.com/,wechat"]:
        assert pattern.search(audiences), audiences
    for audiences in ["wechat, shop", " wechat", "wechat,", ",wechat", "wechat shop"]:
        assert not pattern.search(audiences), audiences


def test_no_parameter_takes_a_secret():
    # A secret would be shown by DescribeStacks, or hidden there by NoEcho and still shown in what it configures.
    for name, declared in [item for source in SOURCES.values() for item in source["Parameters"].items()]:
        assert not declared.get("NoEcho"), name
        assert not re.search(r"^WechatAppSecret|Password|ApiKey|AesKey|^WechatToken$|SecretString", name), name
    pattern = re.compile(SOURCE["Parameters"]["ProxyUrl"]["AllowedPattern"])
    assert pattern.match("http://proxy.example.com:3128") and not pattern.match("http://user:pass@proxy.example.com:3128")


def test_a_first_deployment_names_the_app_id_alone():
    required = [name for name, declared in SOURCE["Parameters"].items() if "Default" not in declared]
    assert required == ["WechatAppId"]
    assert all("Default" in declared for declared in SOURCES["egress.yaml"]["Parameters"].values())


@pytest.mark.parametrize("language", ["", ".zh-CN"])
def test_the_guides_name_every_parameter_and_every_alarm(language):
    """Both languages: the templates' own descriptions are in English alone."""
    deploying = (ROOT / f"docs/deploy{language}.md").read_text()
    operating = (ROOT / f"docs/operate{language}.md").read_text()
    rows = {
        name for line in deploying.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert set(SOURCE["Parameters"]) <= rows
    for template in ("egress.yaml", "watching.yaml"):
        for name in set(SOURCES[template]["Parameters"]) - set(Watching.REQUIRED) - {"App", "VpcCidr"}:
            assert re.search(rf"`{name}\b|{name}=", deploying + operating), name
    alarms = {name.removesuffix("Alarm") for name in Watching().of_type("AWS::CloudWatch::Alarm")}
    rows = {
        name
        for line in operating.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([A-Z]\w+)`", line.split("|")[1])
    }
    assert rows == alarms


def test_no_log_level_drops_the_metric_lines():
    assert set(SOURCE["Parameters"]["LogLevel"]["AllowedValues"]) <= {"TRACE", "DEBUG", "INFO"}


@pytest.mark.parametrize("name", ["egress.yaml", "watching.yaml"])
def test_a_template_is_small_enough_to_be_deployed_without_a_bucket(name):
    assert (ROOT / name).stat().st_size <= 51_200


@pytest.mark.parametrize("name", SOURCES)
def test_what_the_console_shows_is_ascii(name):
    source = SOURCES[name]
    shown = [source["Description"], source["Parameters"], source["Outputs"], source.get("Rules", {})]
    assert [text for text in texts(shown) if not text.isascii()] == []


def chosen_route(routes, method, path):
    """The route that API Gateway takes: a full match, then one with a greedy variable."""
    for pattern, key in [(r"\{\w+\}", "[^/]+"), (r"\{\w+\+\}", ".+")]:
        for route in routes:
            if re.fullmatch(re.sub(pattern, key, route.replace("ANY", method)), f"{method} {path}"):
                return route
    return None


def test_the_routes_are_those_of_the_functions():
    """API Gateway takes every operation of openapi.json, which is made of the functions' tables, to its function."""
    check = "AbCdEf0123456789"
    routes = {
        route["Properties"]["RouteKey"]: route["Properties"]
        for route in Stack(**JWT[2], DomainCheck=check).of_type("AWS::ApiGatewayV2::Route").values()
    }
    scopes = {"send-template": "wechat/send", "admin": "wechat/admin", "users": "wechat/admin"}
    targets = {
        "send-template": "integrations/${SendTemplateIntegration}",
        "admin": "integrations/${AdminIntegration}",
        "users": "integrations/${UsersIntegration}",
    }
    for path, methods in json.loads((ROOT / "openapi.json").read_text())["paths"].items():
        for method, operation in methods.items():
            # A variable of a route is a whole segment, so the stack has a route for this one file.
            asked = re.sub(r"\{\w+\}", "x", path.replace("MP_verify_{check}", f"MP_verify_{check}"))
            route = routes[chosen_route(routes, method.upper(), asked)]
            (tag,) = operation["tags"]
            scope = None if operation.get("security") == [] else [scopes[tag]]
            if path == "/api/account":
                scope = ["wechat/send", "wechat/admin"]
            assert (route["Target"], route.get("AuthorizationScopes")) == (targets[tag], scope), path
    for path in ("/console", "/console/", "/console/pages/console.js"):
        route = routes[chosen_route(routes, "GET", path)]
        assert (route["Target"], route.get("AuthorizationType", "NONE")) == ("integrations/${AdminIntegration}", "NONE")
    for path in ("/webhook", "/webhook/"):
        for method in ("GET", "POST"):
            assert routes[chosen_route(routes, method, path)]["Target"] == "integrations/${WebhookIntegration}"
    for prefix in RELAYED.values():
        for method, path in [("GET", f"/{prefix}/token"), ("POST", f"/{prefix}/a/b/c"), ("DELETE", f"/{prefix}/a")]:
            route = routes[chosen_route(routes, method, path)]
            assert (route["Target"], route.get("AuthorizationType", "NONE")) == ("integrations/${RelayIntegration}", "NONE")
    unknown = ["/", "/api", "/webhook/x", "/apis/menu", "/cgi-bin", "/sns/auth", "/console/pages", "/console/x", "/bind", "/oauth/x", "/MP_verify_x.txt"]
    for path in unknown:
        assert chosen_route(routes, "GET", path) is None, path


@pytest.mark.parametrize("environment", ["default", "dev", "prod"])
def test_samconfig_overrides_parameters_that_there_are(environment):
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    given = config[environment]["global"]["parameters"].get("parameter_overrides", [])
    overrides = dict(override.split("=", 1) for override in given)
    assert set(overrides) <= set(SOURCE["Parameters"])
    stack = Stack(**overrides)
    assert not stack.refusals()
    for name, value in overrides.items():
        declared = SOURCE["Parameters"][name]
        assert value in [str(allowed) for allowed in declared.get("AllowedValues", [value])], name
        assert re.match(declared.get("AllowedPattern", ""), value), name
    if environment == "prod":
        assert stack.properties("AdminFunction")["VpcConfig"]["SubnetIds"]


def test_alarms_and_dashboard_read_metrics_that_the_code_emits():
    code = [path.read_text() for folder in ("shared", "functions") for path in (ROOT / folder).rglob("src/**/*.rs")]
    metric = r'(?:Metric::(?:count|millis|level)\(|\bcounted\(|\bname: |=> Some\()"([A-Z]\w+)"'
    emitted = {name for text in code for name in re.findall(metric, text)}
    stack = Watching()
    watched = set()
    for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        for read in [properties, *[entry.get("MetricStat", {}).get("Metric", {}) for entry in properties.get("Metrics", [])]]:
            if read.get("Namespace") == "WechatBundle":
                watched.add(read["MetricName"])
                assert read["Dimensions"][0]["Name"] == "FunctionName"
    assert watched == {
        "BadSignatures", "CampaignStops", "DeadForwards", "Deliveries", "ExchangeFailures", "ForwardsTaken", "LostReplies",
        "ReplyLatency", "TicketFailures", "TokenLifeSeconds", "WaitingForwards", "WechatErrcodes", "WhitelistDenied",
    }  # fmt: skip
    for text in texts(json.loads(stack.properties("Dashboard")["DashboardBody"])):
        watched |= set(re.findall(r'\{WechatBundle,FunctionName,\w+\} .* MetricName="(\w+)"', text))
    assert {"Callbacks", "Sends", "Deliveries", "WechatLatency"} <= watched
    assert watched <= emitted
