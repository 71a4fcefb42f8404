"""The examples behind a running `local`: somebody writes, own code answers, the phone shows it.

LOCAL_BINARY names another binary than target/debug/local.
"""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stage import NAMES, Example, Local, free_port, new_secret

RULES = {
    "keywords": [{"match": "exact", "value": "营业时间", "reply": {"type": "text", "content": "每天 9:00-18:00"}}],
    "default": {"type": "text", "content": "请稍后再试"},
}


@pytest.fixture
def start(tmp_path):
    """Starts `local` with an example behind it, and its rules."""
    started = []

    def start(name):
        secret, port = new_secret(), free_port()
        local = Local(tmp_path, FORWARD_URL=f"http://127.0.0.1:{port}/", FORWARD_SECRET=secret)
        started.append(local)
        assert local.api("PUT", "/api/replies", RULES)[0] == 200
        example = Example(name, tmp_path, secret, local.url, port)
        started.append(example)
        return local, example

    yield start
    for each in reversed(started):
        each.__exit__()


@pytest.mark.parametrize("name", NAMES)
def test_own_code_answers_and_the_phone_shows_it(start, name):
    local, example = start(name)
    example.start()
    openid, greeting = local.person("follow")
    assert greeting == "欢迎关注！您的客户编号是 1。"
    assert local.writes(openid, "编号") == "您的客户编号是 1。"
    assert local.writes(openid, "营业时间") == "每天 9:00-18:00", "204 leaves it to the rules"
    assert local.writes(openid, "人工") is None, "null is silence, also where a rule would answer"
    assert example.stored() == [(1, openid, 1)]

    ended, printed = example.send("text", "1", "您好，我是客服小王", "conversation-1")
    assert ended == 0, printed
    assert example.send("text", "1", "您好，我是客服小王", "conversation-1")[0] == 0
    data = '{"thing1": "项目审核", "time2": "2024年7月19日 10:00", "const3": "通过"}'
    ended, printed = example.send("template", "1", "TEMPLATE_ID", data, "order-1")
    assert ended == 0, printed
    phone = local.phone(openid)
    assert phone.count("客服小王") == 1 and "项目审核" in phone

    local.person("unfollow", openid=openid)
    assert example.stored() == [(1, openid, 0)]


def test_what_own_code_missed_while_it_was_down_comes_later(start):
    local, example = start("php")
    openid, _ = local.person("follow")
    assert local.writes(openid, "编号") == "请稍后再试", "the rules answer for own code that is down"
    status, waiting = local.api("GET", "/api/forwards?state=waiting")
    assert status == 200
    kinds = sorted(each["type"] for each in waiting["forwards"])
    assert kinds == ["event.subscribe", "text"], waiting
    assert all(each["attempts"] == 1 and each["last_error"] and each["from"] == openid for each in waiting["forwards"])

    example.start()
    for each in waiting["forwards"]:
        assert local.api("POST", f"/api/forwards/{each['id']}/retry")[0] == 202
    # `worker` runs every minute.
    deadline = time.monotonic() + 100
    while local.api("GET", "/api/forwards?state=waiting")[1]["forwards"]:
        assert time.monotonic() < deadline, local.log.read_text()
        time.sleep(0.5)
    assert example.stored() == [(1, openid, 1)]
    assert example.rows("SELECT count(*) FROM callbacks") == [(2,)]
    assert local.writes(openid, "编号") == "您的客户编号是 1。"


@contextlib.contextmanager
def own_code_that_answers(answers):
    """Own code on a port of its own, which answers a text message with the JSON of `answers`, and all else with `{}`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            callback = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = json.dumps(answers.get(callback.get("message", {}).get("content"), {})).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_reply_stands_in_reply_and_may_carry_further_ones(tmp_path):
    reply = {"type": "text", "content": "第一条", "then": [{"type": "text", "content": "第二条"}]}
    answers = {"营业时间": {"type": "text", "content": "不在 reply 中"}, "两条": {"reply": reply}}
    with own_code_that_answers(answers) as port:
        settings = {"FORWARD_URL": f"http://127.0.0.1:{port}/", "FORWARD_SECRET": new_secret()}
        with Local(tmp_path, **settings) as local:
            assert local.api("PUT", "/api/replies", RULES)[0] == 200
            openid, _ = local.person("follow")
            assert local.writes(openid, "营业时间") == "每天 9:00-18:00", "JSON without `reply` leaves it to the rules"
            assert local.api("GET", "/api/forwards?state=waiting")[1]["forwards"] == [], "it counts as taken"
            assert "own code's" not in local.log.read_text(), "and no warning says so"
            assert local.writes(openid, "两条") == "第一条"
            deadline = time.monotonic() + 20
            while "第二条" not in local.phone(openid):
                assert time.monotonic() < deadline, local.log.read_text()
                time.sleep(0.1)
