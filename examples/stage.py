"""What the tests of the examples share: a running example, callbacks signed by code of their own, and a running `local`."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
sys.path.append(str(EXAMPLES.parent / "local/sdk-tests"))
from program import Program, environment  # noqa: E402: its folder is none of the examples'

NAMES = ["java", "php", "python"]
# Where Debian puts it.
SQLITE_JDBC = os.environ.get("SQLITE_JDBC", "/usr/share/java/sqlite-jdbc.jar")


def new_secret():
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret, key, timestamp, body):
    """One signature of Standard Webhooks 1.0, by its text and by no library: an example may use one."""
    signed = b"%s.%d.%s" % (key.encode(), timestamp, body)
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def callback(kind, openid="oCustomer0000000000000000001", at=1_796_000_000, **members):
    """A callback as the bundle forwards it."""
    key = hashlib.sha256(json.dumps([kind, openid, at, members]).encode()).hexdigest()
    return {"id": key, "type": kind, "from": openid, "to": "gh_1", "created_at": at, **members, "document": {"MsgType": "x"}}


def text(content, **members):
    return callback("text", message={"type": "text", "content": content, "msg_id": "1"}, **members)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Example:
    """One example as its README starts it, with a database of its own; or `code` for Node.js, which listens on port 9000."""

    def __init__(self, name, folder, secret, bundle="http://127.0.0.1:9", port=None, code=""):
        self.name, self.secret, self.port = name, secret, port or free_port()
        self.folder = EXAMPLES / name if name in NAMES else folder
        self.code = code.replace("9000", str(self.port))
        self.database = folder / "customers.sqlite"
        self.environment = environment(
            DATABASE=str(self.database),
            FORWARD_SECRET=secret,
            WECHAT_BUNDLE_URL=bundle,
            WECHAT_BUNDLE_KEY="local",
            # PHP's own server answers one request after the other otherwise.
            PHP_CLI_SERVER_WORKERS="4",
            # What Java finds its classes by, and reads its arguments by.
            CLASSPATH=f"{folder / 'classes'}{os.pathsep}{SQLITE_JDBC}",
            LC_ALL="C.UTF-8",
        )
        if name == "java":
            sources = self.folder.glob("*.java")
            subprocess.run(["javac", "-encoding", "UTF-8", "-d", folder / "classes", *sources], check=True)
        self.log = (folder / "example.log").open("ab")
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        commands = {
            "java": ["java", "Receiver", str(self.port)],
            "php": ["php", "-S", f"127.0.0.1:{self.port}", "-t", "public"],
            "python": [sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", str(self.port)],
            "node": ["node", "--input-type=module", "--eval", self.code],
        }
        # A session of its own, whose end is the end of PHP's workers too.
        self.process = subprocess.Popen(
            commands[self.name],
            cwd=self.folder,
            env=self.environment,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 20
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, Path(self.log.name).read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)

    def stop(self):
        if self.process:
            os.killpg(self.process.pid, 15)
            self.process.wait()
            self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()

    def ask(self, body, headers, method="POST"):
        """The status, and the answer as JSON: None when it is empty."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, "/", body, headers)
            answer = connection.getresponse()
            content = answer.read()
        return answer.status, json.loads(content) if content and answer.status == 200 else None

    def headers(self, body, key, timestamp=None, signatures=None):
        timestamp = int(time.time()) if timestamp is None else timestamp
        if signatures is None:
            signatures = signature(self.secret, key, timestamp, body)
        return {
            "content-type": "application/json",
            "webhook-id": key,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures,
            "wechat-reply": "expected",
        }

    def forward(self, callback, **changed):
        """Forwards a callback as the bundle does, with what is `changed` of its headers."""
        body = json.dumps(callback, ensure_ascii=False).encode()
        return self.ask(body, self.headers(body, callback["id"], **changed))

    def rows(self, query):
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            return database.execute(query).fetchall()

    def stored(self):
        """Customers as number, openid and whether they follow; nothing when no callback was accepted yet."""
        try:
            return self.rows("SELECT number, openid, follows FROM customers ORDER BY number")
        except sqlite3.OperationalError:
            return []

    def send(self, *arguments):
        """Runs the script that sends later. Returns how it ended and what it printed."""
        scripts = {"java": ["java", "Send"], "php": ["php", "send.php"], "python": [sys.executable, "send.py"]}
        done = subprocess.run(
            [*scripts[self.name], *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


class Local(Program):
    """`cargo run -p local` with its simulated platform, of which the examples are the own code."""

    def __init__(self, folder, **variables):
        super().__init__(folder, **variables)
        self.simulator = re.search(r"simulated WeChat platform: ([^,\s]+)", self.log.read_text()).group(1)

    def call(self, method, url, body=None):
        """The status, and the answer as JSON."""
        request = urllib.request.Request(
            url,
            None if body is None else json.dumps(body).encode(),
            {"authorization": "Bearer local", "content-type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.loads(refusal.read() or b"null")

    def api(self, method, path, body=None):
        return self.call(method, self.url + path, body)

    def person(self, path, **body):
        """Somebody acts on the phone. Returns the openid, and the text of the reply that the phone shows, if any."""
        status, answer = self.call("POST", f"{self.simulator}/sim/{path}", body)
        assert status == 200, answer
        return answer["openid"] if "openid" in answer else body["openid"], (answer["reply"] or {}).get("Content")

    def writes(self, openid, content):
        return self.person("message", openid=openid, type="text", content=content)[1]

    def phone(self, openid):
        """All that the phone shows, as one text."""
        return json.dumps(self.call("GET", f"{self.simulator}/sim/phones/{openid}")[1], ensure_ascii=False)
