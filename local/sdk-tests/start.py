"""What the tests of the Python SDKs share: a running `local`, one of its keys, and the simulated platform behind it.

With WITHOUT_RELAY=1 the SDKs call the simulated platform itself with its AppSecret, which tells a fault of the relay from one of
the simulator or of a test.
"""

import json
import os
import random
import struct
import time
import urllib.request
import zlib

import pytest
from program import Program

WITHOUT_RELAY = bool(os.environ.get("WITHOUT_RELAY"))

# Seconds. An instance may serve by its copy of the keys for 30 s.
MOST_AFTER_REVOKING = 40
# Seconds. An SDK whose key is refused must say so, not try again and again.
MOST_FOR_A_REFUSAL = 5


def call(method, url, body=None):
    """The answer as JSON."""
    headers = {"authorization": "Bearer local", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=30) as answer:
        content = answer.read()
    return json.loads(content) if content else None


class Stage(Program):
    """A run of `local`: `api` is the host that an SDK calls, and `secret` what it takes for the AppSecret."""

    def __enter__(self):
        try:
            self.make_key()
        except BaseException:
            self.stop()
            raise
        return self

    def make_key(self):
        self.simulator = call("GET", f"{self.url}/console/run")["simulator"]
        account = self.sim("GET", "account")
        self.app_id = account["app_id"]
        if WITHOUT_RELAY:
            self.api, self.secret = self.simulator, account["app_secret"]
        else:
            key = call("POST", f"{self.url}/api/keys", {"name": "sdk", "scopes": ["relay"]})
            self.api, self.secret, self.key_id = self.url, key["key"], key["id"]

    def sim(self, method, path, body=None):
        return call(method, f"{self.simulator}/sim/{path}", body)

    def follower(self):
        """A new follower who has just written, so that the account may answer."""
        openid = self.sim("POST", "follow", {})["openid"]
        self.sim("POST", "message", {"openid": openid, "type": "text", "content": "你好"})
        return openid

    def phone(self, openid):
        """All that the phone shows, as one text."""
        return json.dumps(self.sim("GET", f"phones/{openid}"), ensure_ascii=False)

    def accepts_signature(self, url, timestamp, nonce, signature):
        """Whether a phone accepts this signature of a page's `wx.config`."""
        config = {"appId": self.app_id, "timestamp": timestamp, "nonceStr": nonce, "signature": signature, "url": url}
        return self.sim("POST", "jssdk/check", config) == {"ok": True}

    def paths(self):
        """The path of each call that the platform received."""
        return [each["path"] for each in self.sim("GET", "calls")]

    def end_tokens(self):
        """Ends the token that the bundle holds, as a reset of the AppSecret does."""
        self.sim("POST", "token/invalidate", {})

    def refuse_token_once(self, path):
        self.sim("POST", "faults", {"path": path, "errcode": 40001})

    def lose_next_answer(self, path):
        """The next call of this path is carried out, and its answer gets lost on the way back."""
        self.sim("POST", "faults", {"path": path, "drop": True})

    def revoke_key(self):
        call("DELETE", f"{self.url}/api/keys/{self.key_id}")

    def refusal(self, call, error):
        """What `call` raises once the revoked key is refused."""
        deadline = time.monotonic() + MOST_AFTER_REVOKING
        while True:
            started = time.monotonic()
            try:
                call()
            except error as refusal:
                assert time.monotonic() - started < MOST_FOR_A_REFUSAL
                return refusal
            assert time.monotonic() < deadline, "the revoked key still works"
            time.sleep(0.5)

    def check_what_wechat_saw(self):
        """WeChat saw neither our key nor a request for a token that the bundle did not make itself."""
        calls = self.sim("GET", "calls")
        assert "wk_" not in json.dumps(calls)
        assert "/cgi-bin/token" not in [each["path"] for each in calls]


needs_relay = pytest.mark.skipif(WITHOUT_RELAY, reason="WITHOUT_RELAY=1")


def png(width, height):
    """A picture of noise, whose bytes take every value: nothing that recodes or cuts them goes unnoticed."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    noise = random.Random(1)
    rows = b"".join(b"\0" + noise.randbytes(width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


MENU = {
    "button": [
        {"type": "click", "name": "今日歌曲", "key": "V1001_TODAY_MUSIC"},
        {"name": "菜单", "sub_button": [{"type": "view", "name": "搜索", "url": "https://example.com/search?q=a&b=c"}]},
    ]
}
TEMPLATE_DATA = {
    "thing1": {"value": "项目审核"},
    "time2": {"value": "2026年11月30日 10:00"},
    "const3": {"value": "通过"},
}


def article(title, thumb_media_id):
    """A draft's article, with what a recoded body would change: Chinese, quotes, an escape, an emoji."""
    content = "<p class=\"a\">你好 &amp; \\u4f60 🎉</p>"
    return {"title": title, "author": "作者", "content": content, "thumb_media_id": thumb_media_id}
