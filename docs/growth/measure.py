"""Measures one invocation: its CPU, its calls to DynamoDB, EventBridge and WeChat, and its bytes of log.

    cargo build --release -p webhook -p send-template -p relay
    python3 docs/growth/measure.py target/release

It plays everything that a function talks to, on loopback: the Lambda Runtime API, DynamoDB, EventBridge and WeChat, all of
which answer at once. CPU is the process's, from /proc, so it needs Linux. TLS is not included.
"""

import base64
import collections
import hashlib
import hmac
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EVENTS = pathlib.Path(__file__).parents[2] / "events"
WARM_UP = 20
TEMPLATE = {
    "template_id": "EventsTemplate00000000000000000000000000001",
    "title": "t",
    "content": "{{character_string1.DATA}}{{thing2.DATA}}{{time3.DATA}}",
}
TOKEN = {
    "pk": {"S": "token"},
    "access_token": {"S": "t" * 136},
    "expires_at": {"N": "4000000000"},
    "refreshed_at": {"N": "1767225600"},
    "generation": {"N": "1"},
}
APP_ID = "wx0123456789abcdef"
API_KEY = "events-key"
RELAY_SECRET = "0123456789abcdef" * 4


def relay_token():
    """The token that the relay issues for API_KEY."""

    def sign(purpose, text):
        return hmac.new(RELAY_SECRET.encode(), f"{purpose}\n{APP_ID}\n{text}".encode(), hashlib.sha256).digest()

    signed = f"r-{sign('root', API_KEY)[:16].hex()}.{int(time.time()) + 7200}"
    return f"{signed}.{base64.urlsafe_b64encode(sign('token', signed)).decode().rstrip('=')}"


def write_units(request):
    """One unit for each kilobyte of the item's names and values, as far as the request holds them, and one for the index."""
    values = request.get("Item") or request.get("ExpressionAttributeValues", {}) | request["Key"]
    size = sum(len(name) + len(str(next(iter(value.values()))).encode()) for name, value in values.items())
    is_indexed = "ipk" in values or ":ipk" in values
    return -(-size // 1024) + is_indexed


class World:
    """Everything that the function talks to, with counts of its calls."""

    def __init__(self):
        self.event = b"{}"
        self.asked = threading.Semaphore(0)
        self.answered = threading.Semaphore(0)
        self.status = None
        self.counts = collections.Counter()
        self.msgid = 10**18

    def aws(self, target, body):
        name = target.rpartition(".")[2]
        self.counts[name] += 1
        if name in ("PutItem", "UpdateItem"):
            self.counts["write units"] += write_units(body)
        if name == "PutEvents":
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
        if name == "GetItem" and body["Key"]["pk"]["S"].startswith("token#"):
            return {"Item": TOKEN}
        if name == "GetItem" and body["Key"]["pk"]["S"].startswith("keys#"):
            return {"Item": {"relay_secret": {"S": RELAY_SECRET}}}
        return {}

    def wechat(self, path):
        self.counts["WeChat"] += 1
        if "get_all_private_template" in path:
            return {"template_list": [TEMPLATE]}
        self.msgid += 1
        return {"errcode": 0, "errmsg": "ok", "msgid": self.msgid}


def handler(world):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            if self.path.endswith("/invocation/next"):
                world.asked.acquire()
                deadline = int(time.time() * 1000) + 29_000
                return self.reply(world.event, {"Lambda-Runtime-Aws-Request-Id": "1", "Lambda-Runtime-Deadline-Ms": deadline,
                                                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:1:function:f"})
            return self.reply(json.dumps(world.wechat(self.path)).encode())

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0)) if "content-length" in self.headers else self.chunks()
            if "/runtime/" in self.path:
                world.status = json.loads(body).get("statusCode")
                self.reply(b"{}")
                return world.answered.release()
            target = self.headers.get("x-amz-target")
            answer = world.aws(target, json.loads(body)) if target else world.wechat(self.path)
            return self.reply(json.dumps(answer).encode(), {"content-type": "application/x-amz-json-1.0"})

        def chunks(self):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def reply(self, body, headers={}):
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, str(value))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def cpu_millis(pid):
    """Milliseconds of CPU of all threads."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e6


def measure(binary, event, invocations, **variables):
    world = World()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(world))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_address[1]}"
    environment = {
        "AWS_LAMBDA_RUNTIME_API": address, "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": f"http://{address}", "WECHAT_API_BASE": f"http://{address}",
        "WECHAT_APP_ID": APP_ID, "WECHAT_TOKEN": "eventsToken01", "API_KEYS": API_KEY,
        "WECHAT_ENCODING_AES_KEY": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "WECHAT_MAX_CLOCK_SKEW": "0",
        "TABLE_NAME": "t", "TOKEN_REFRESHER_FUNCTION": "r",
    } | variables
    process = subprocess.Popen([binary], env=environment, stdout=subprocess.PIPE)
    log = bytearray()
    threading.Thread(target=lambda: [log.extend(line) for line in process.stdout], daemon=True).start()
    world.event = json.dumps(event).encode()

    def invoke(times):
        for _ in range(times):
            world.asked.release()
            if not world.answered.acquire(timeout=30):
                sys.exit(f"{binary} does not answer")

    invoke(WARM_UP)
    time.sleep(0.2)
    world.counts.clear()
    log.clear()
    before = cpu_millis(process.pid)
    invoke(invocations)
    time.sleep(0.2)
    result = {
        "status": world.status,
        "cpu_millis": round((cpu_millis(process.pid) - before) / invocations, 3),
        "log_bytes": round(len(log) / invocations),
        "calls": {name: round(count / invocations, 2) for name, count in sorted(world.counts.items())},
    }
    process.kill()
    server.shutdown()
    return result


def main():
    binaries = pathlib.Path(sys.argv[1]).resolve()

    def sample(name):
        return json.loads((EVENTS / f"{name}.json").read_text())

    def send(recipients, key):
        event = sample("send-template")
        body = json.loads(event["body"])
        if recipients > 1:
            body["touser"] = [f"oEventsUser{number:017}" for number in range(recipients)]
        event["body"] = json.dumps(body)
        event["headers"].pop("idempotency-key", None)
        if key:
            event["headers"]["idempotency-key"] = "order-1"
        return event

    relayed = sample("relay-call")
    relayed["rawQueryString"] = f"access_token={relay_token()}"
    webhook, sender, relay = (str(binaries / name) for name in ("webhook", "send-template", "relay"))
    subjects = {
        "reply in safe mode": (webhook, sample("webhook-safe-mode"), 500, {"WECHAT_MESSAGE_MODE": "safe"}),
        "reply, published to a bus": (webhook, sample("webhook-text"), 500, {"WECHAT_MESSAGE_MODE": "plain", "EVENT_BUS_NAME": "b"}),
        "delivery receipt": (webhook, sample("webhook-template-receipt"), 500, {"WECHAT_MESSAGE_MODE": "plain"}),
        "forged callback": (webhook, sample("webhook-bad-signature"), 500, {"WECHAT_MESSAGE_MODE": "plain"}),
        "send to one": (sender, send(1, False), 300, {}),
        "send to one, with a key": (sender, send(1, True), 300, {}),
        "send to 100, with a key": (sender, send(100, True), 30, {}),
        "relayed call": (relay, relayed, 500, {}),
    }
    for name, (binary, event, invocations, variables) in subjects.items():
        print(json.dumps({"subject": name} | measure(binary, event, invocations, **variables)), flush=True)


if __name__ == "__main__":
    main()
