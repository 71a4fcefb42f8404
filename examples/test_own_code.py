"""Each example keeps to what docs/own-code.md says of own code."""

import concurrent.futures
import contextlib
import http.server
import json
import re
import threading
import time

import pytest

from stage import EXAMPLES, NAMES, Example, callback, new_secret, signature, text

ANOTHER = "oCustomer0000000000000000002"


@pytest.fixture(scope="module", params=NAMES)
def running(request, tmp_path_factory):
    with Example(request.param, tmp_path_factory.mktemp(request.param), new_secret()) as example:
        yield example


@pytest.fixture
def example(running):
    """A running example that knows nobody. Each request opens the database anew."""
    running.database.unlink(missing_ok=True)
    return running


def reply(content):
    return 200, {"reply": {"type": "text", "content": content}}


def test_a_person_becomes_a_customer_and_is_answered(example):
    assert example.forward(callback("event.subscribe", at=1)) == reply("欢迎关注！您的客户编号是 1。")
    assert example.forward(callback("event.subscribe", openid=ANOTHER, at=1)) == reply("欢迎关注！您的客户编号是 2。")
    assert example.forward(text(" 编号\n")) == reply("您的客户编号是 1。")
    assert example.forward(text("人工")) == (200, {"reply": None})
    assert example.forward(text("营业时间")) == (204, None)
    assert example.forward(callback("event.unsubscribe", openid=ANOTHER, at=2)) == (204, None)
    assert example.stored() == [(1, "oCustomer0000000000000000001", 1), (2, ANOTHER, 0)]


def test_a_scan_that_binds_is_left_to_the_rules(example):
    follow = {"type": "subscribe", "scene": "bind.6f0c", "ticket": "gQ", "last_trade_no": None}
    assert example.forward(callback("event.subscribe", event=follow, at=1)) == (204, None)
    assert example.stored() == [(1, "oCustomer0000000000000000001", 1)]
    scan = {"type": "scan", "scene": "bind.6f0c", "ticket": "gQ"}
    assert example.forward(callback("event.SCAN", event=scan, at=2)) == (204, None)
    for scene in (None, "42", "binding"):
        follow = {"type": "subscribe", "scene": scene, "ticket": None, "last_trade_no": None}
        assert example.forward(callback("event.subscribe", event=follow, at=3)) == reply("欢迎关注！您的客户编号是 1。"), scene


def test_who_writes_first_is_a_customer_of_whom_it_is_not_known_whether_they_follow(example):
    assert example.forward(text("编号")) == reply("您的客户编号是 1。")
    assert example.stored() == [(1, "oCustomer0000000000000000001", None)]


def test_a_forged_callback_is_refused_and_changes_nothing(example):
    subscribe = callback("event.subscribe")
    now = int(time.time())
    body = json.dumps(subscribe).encode()
    right = signature(example.secret, subscribe["id"], now, body)
    for wrong in [
        signature(new_secret(), subscribe["id"], now, body),
        signature(example.secret, subscribe["id"], now, body + b" "),
        signature(example.secret, "another", now, body),
        signature(example.secret, subscribe["id"], now + 1, body),
        right.replace("v1,", "v1a,"),
        right.replace("v1,", ""),
        right.upper(),
        right[:-2],
        "v1,",
        "v1,*",
        ",,",
        "é",
        "",
    ]:
        headers = example.headers(body, subscribe["id"], now, wrong.encode())
        assert example.ask(body, headers) == (401, None), wrong
    for missing in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        headers = example.headers(body, subscribe["id"])
        del headers[missing]
        assert example.ask(body, headers) == (401, None), missing
    for timestamp in ("", "now", "nan", "inf", "-1", "9" * 30, "0x1"):
        headers = example.headers(body, subscribe["id"]) | {"webhook-timestamp": timestamp}
        assert example.ask(body, headers) == (401, None), timestamp
    # An empty key signs what anybody can sign.
    assert example.forward(subscribe, signatures=signature("whsec_", subscribe["id"], now, body), timestamp=now)[0] == 401
    assert example.stored() == []
    # A changed body under a right signature.
    headers = example.headers(body, subscribe["id"], now)
    assert example.ask(body.replace(b"gh_1", b"gh_2"), headers) == (401, None)
    assert example.ask(body, headers)[0] == 200


def test_a_recorded_request_is_refused_after_five_minutes(example):
    subscribe = callback("event.subscribe")
    now = int(time.time())
    for age in (310, 86_400, -310):
        assert example.forward(subscribe, timestamp=now - age) == (401, None), age
    assert example.stored() == []
    for age in (280, -280):
        assert example.forward(subscribe, timestamp=now - age)[0] == 200, age


def test_a_secret_is_rotated_without_a_refusal(example):
    """The bundle signs with both: whichever own code has is right."""
    for number, other_first in enumerate([True, False]):
        subscribe = callback("event.subscribe", at=number)
        now, body = int(time.time()), json.dumps(subscribe, ensure_ascii=False).encode()
        both = [signature(secret, subscribe["id"], now, body) for secret in (new_secret(), example.secret)]
        signatures = " ".join(both if other_first else reversed(both))
        assert example.forward(subscribe, timestamp=now, signatures=signatures)[0] == 200
    future = f"v2,something {signature(example.secret, subscribe['id'], now, body)}"
    assert example.forward(subscribe, timestamp=now, signatures=future)[0] == 200


def test_a_repeat_gets_the_first_answer_and_does_nothing_again(example):
    follow, leave = callback("event.subscribe", at=1), callback("event.unsubscribe", at=2)
    first = example.forward(follow)
    assert example.forward(leave) == (204, None)
    # Later, with a timestamp and a signature of their own.
    assert example.forward(follow, timestamp=int(time.time()) - 60) == first
    assert example.forward(leave) == (204, None)
    silent = text("人工")
    assert [example.forward(silent) for _ in range(2)] == [(200, {"reply": None})] * 2
    assert example.stored() == [(1, "oCustomer0000000000000000001", 0)]
    assert example.rows("SELECT count(*) FROM callbacks") == [(3,)]


def test_escaped_json_says_the_same(example):
    write = text("编号\t")
    write["document"] = {"Content": "\"\\/\b𝕏", "None": None, "Numbers": [-0.5, 1e30, True], "Empty": [{}, []]}
    body = json.dumps(write, indent=1).encode()
    assert b"\\u7f16" in body
    assert example.ask(body, example.headers(body, write["id"])) == reply("您的客户编号是 1。")


def test_repeats_at_the_same_time_do_the_work_once(example):
    subscribe = callback("event.subscribe")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(example.forward, [subscribe] * 8))
    assert answers == [reply("欢迎关注！您的客户编号是 1。")] * 8
    assert example.stored() == [(1, "oCustomer0000000000000000001", 1)]


def test_the_newest_state_wins_in_any_order(example):
    example.forward(callback("event.unsubscribe", at=20))
    example.forward(callback("event.subscribe", at=10))
    assert example.stored()[0][2] == 0
    example.forward(callback("event.subscribe", at=20))
    assert example.stored()[0][2] == 0, "leaving wins in the same second"
    example.forward(callback("event.subscribe", at=30))
    assert example.stored()[0][2] == 1
    example.forward(callback("event.unsubscribe", at=30))
    assert example.stored()[0][2] == 0, "leaving wins in the same second"


def test_what_is_not_known_is_left_to_the_rules(example):
    for kind in ("image", "event.CLICK", "event.TEMPLATESENDJOBFINISH", "event.something_new", "", "unknown"):
        assert example.forward(callback(kind, at=len(kind))) == (204, None), kind
    assert example.stored() == []


def test_a_body_that_cannot_be_handled_is_not_taken(example):
    """Anything but 2xx brings it again, and in the end lists it as dead: nothing is lost in silence."""
    for body in (b"", b"{", b"\xff\xfe"):
        status, _ = example.ask(body, example.headers(body, "odd"))
        assert status >= 400, body
    body = json.dumps(text("编号\x00𝕏'; DROP TABLE customers; --")).encode()
    assert example.ask(body, example.headers(body, "odd")) == (204, None)
    assert example.stored()
    assert example.ask(b"", {}, "GET")[0] == 405


@contextlib.contextmanager
def bundle(*answers):
    """An API that gives `answers`, a status and a body each, and keeps what it was asked."""
    asked, left = [], list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.path, dict(self.headers), json.loads(body)))
            status, answer = left.pop(0)
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01]).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_message_is_sent_later_under_the_key_of_its_cause(example):
    example.forward(callback("event.subscribe"))
    ok = (200, {"errcode": 0, "errmsg": "ok"})
    with bundle(ok, ok) as (url, asked):
        example.environment["WECHAT_BUNDLE_URL"] = url
        assert example.send("text", "1", "已发货 \"17\"", "order-17-shipped")[0] == 0
        assert example.send("template", "1", "TEMPLATE", '{"thing1":"你好"}', "order-17-paid")[0] == 0
    openid = "oCustomer0000000000000000001"
    (path, headers, body), (template_path, template_headers, template_body) = asked
    assert (path, template_path) == ("/api/sendCustomMessage", "/api/sendTemplateMessage")
    assert body == {"touser": openid, "msgtype": "text", "text": {"content": "已发货 \"17\""}}
    assert template_body == {"touser": openid, "template_id": "TEMPLATE", "data": {"thing1": "你好"}}
    assert (headers["Idempotency-Key"], template_headers["Idempotency-Key"]) == ("order-17-shipped", "order-17-paid")
    assert headers["Authorization"] == "Bearer local"


def test_only_what_may_be_repeated_is_called_so(example):
    example.forward(callback("event.subscribe"))
    window = {"detail": "the window is shut", "errcode": 45015}
    maybe = {"detail": "may have been sent", "may_have_been_sent": True}
    for status, problem, ends in [
        (400, window, {"text": 1, "template": 1}),
        (401, {}, {"text": 1, "template": 1}),
        (302, {}, {"text": 1, "template": 1}),
        (429, {}, {"text": 75, "template": 75}),
        (503, {}, {"text": 75, "template": 75}),
        (504, maybe, {"text": 1, "template": 75}),
    ]:
        for kind, arguments in {"text": ["hi"], "template": ["TEMPLATE", "{}"]}.items():
            with bundle((status, problem)) as (url, asked):
                example.environment["WECHAT_BUNDLE_URL"] = url
                ended, printed = example.send(kind, "1", *arguments, "key")
                assert (ended, len(asked)) == (ends[kind], 1), (status, kind, printed)
                assert problem.get("detail", "") in printed
    example.environment["WECHAT_BUNDLE_URL"] = "http://127.0.0.1:9"
    assert example.send("text", "1", "hi", "key")[0] == 75
    assert example.send("text", "7", "hi", "key")[0] == 1
    assert example.send("text", "1", "hi")[0] == 1


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_*"])
def test_without_a_secret_nothing_is_believed(tmp_path, secret):
    """The examples in Java and Python do not start."""
    with Example("php", tmp_path, secret) as example:
        subscribe = callback("event.subscribe")
        body, now = json.dumps(subscribe).encode(), int(time.time())
        assert example.forward(subscribe, signatures=signature("whsec_", subscribe["id"], now, body), timestamp=now)[0] == 500
    for name in ("java", "python"):
        with pytest.raises(AssertionError), Example(name, tmp_path, secret):
            pass


def test_java_refuses_arguments_that_it_cannot_read(tmp_path):
    """In the locale of a cron job it reads Chinese as unknown letters, which nobody should get."""
    java = Example("java", tmp_path, new_secret())
    java.environment["LC_ALL"] = "C"
    ended, printed = java.send("text", "1", "您好", "key")
    assert ended == 1 and "LC_ALL" in printed, printed


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_shows_the_same_code_in_both_languages(name):
    english, chinese = ((EXAMPLES / name / f"README{language}.md").read_text() for language in ("", ".zh-CN"))
    assert re.findall(r"```.*?```", english, re.DOTALL) == re.findall(r"```.*?```", chinese, re.DOTALL)


def code_of_the_guide(language, kind):
    (code,) = re.findall(rf"```{kind}\n(.*?)```", (EXAMPLES.parent / f"docs/own-code{language}.md").read_text(), re.DOTALL)
    return code


def test_the_guides_php_is_the_examples():
    """Without the comments, which the guide says in its text."""
    example = re.sub(r"\s*// .*", "", (EXAMPLES / "php/public/index.php").read_text()).replace("TOLERANCE", "300")
    assert code_of_the_guide("", "php") == code_of_the_guide(".zh-CN", "php")
    assert code_of_the_guide("", "php").rstrip() in example


def test_the_guides_node_server_verifies_and_answers(tmp_path):
    code = code_of_the_guide("", "js")
    assert code == code_of_the_guide(".zh-CN", "js")
    with Example("node", tmp_path, new_secret(), code=code) as node:
        write = text("你好")
        now, body = int(time.time()), json.dumps(write, ensure_ascii=False).encode()
        right, wrong = (signature(secret, write["id"], now, body) for secret in (node.secret, new_secret()))
        assert node.forward(write) == node.forward(write, timestamp=now, signatures=f"{wrong} {right}") == reply("收到：你好")
        for signatures in (wrong, "v1,", ""):
            assert node.forward(write, timestamp=now, signatures=signatures) == (401, None), signatures
        assert node.forward(write, timestamp=now - 310) == (401, None)
        assert node.forward(callback("image")) == (204, None)
