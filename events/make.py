#!/usr/bin/env python3
"""Writes the sample events of this folder, with valid signatures and ciphertexts.

    python3 -m venv /tmp/events && /tmp/events/bin/pip install cryptography
    /tmp/events/bin/python events/make.py           # write events/*.json
    /tmp/events/bin/python events/make.py --check   # exit 1 unless the files are what would be written
"""

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from urllib.parse import urlencode

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

APP_ID = "wx0123456789abcdef"
TOKEN = "eventsToken01"
ENCODING_AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
API_KEY = "events-key"

TIMESTAMP = 1767225600  # 2026-01-01T00:00:00Z
NONCE = "998877"
ACCOUNT = "gh_0a1b2c3d4e5f"
OPENID = "oEventsUser00000000000000001"
TEMPLATE_ID = "EventsTemplate00000000000000000000000000001"
MSGID = "3000000000000000001"

HOST = "a1b2c3d4e5.execute-api.ap-southeast-1.amazonaws.com"


def signature(*parts):
    return hashlib.sha1("".join(sorted([TOKEN, str(TIMESTAMP), NONCE, *parts])).encode()).hexdigest()


def encrypt(message):
    """AES-256-CBC as WeChat does it: the IV is the first 16 bytes of the key, and the padding goes to 32 bytes, not 16."""
    key = base64.b64decode(ENCODING_AES_KEY + "=")
    frame = b"0123456789abcdef" + len(message.encode()).to_bytes(4, "big") + message.encode() + APP_ID.encode()
    pad = 32 - len(frame) % 32
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(frame + bytes([pad]) * pad) + encryptor.finalize()).decode()


def http(method, path, *, route=None, query=None, headers=None, body=None, is_base64=False, client="203.0.113.20"):
    """A request as an event of API Gateway's HTTP API, payload format 2.0."""
    route_key = f"{method} {route or path}"
    headers = {"accept": "*/*", "host": HOST, "user-agent": "curl/8.5.0"} | (headers or {})
    headers |= {
        "x-amzn-trace-id": "Root=1-6955b900-5f1e2d3c4b5a69788796a5b4",
        "x-forwarded-for": client,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    if body is not None:
        headers["content-length"] = str(len(body.encode()))
    event = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": urlencode(query or {}),
        "headers": dict(sorted(headers.items())),
    }
    if query:
        event["queryStringParameters"] = query
    event["requestContext"] = {
        "accountId": "123456789012",
        "apiId": HOST.split(".")[0],
        "domainName": HOST,
        "domainPrefix": HOST.split(".")[0],
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": client,
            "userAgent": headers["user-agent"],
        },
        "requestId": "JKJaXmPLvHcESHA=",
        "routeKey": route_key,
        "stage": "$default",
        "time": "01/Jan/2026:00:00:00 +0000",
        "timeEpoch": TIMESTAMP * 1000,
    }
    if route:
        event["pathParameters"] = {"msgid": path.rsplit("/", 1)[1]}
    if body is not None:
        event["body"] = base64.b64encode(body.encode()).decode() if is_base64 else body
    event["isBase64Encoded"] = is_base64
    return event


def webhook(method, query, body=None, **options):
    """A request from WeChat's servers: the signing parameters that all have, then `query`."""
    headers = {"user-agent": "Mozilla/4.0", "pragma": "no-cache"}
    if body is not None:
        headers["content-type"] = "text/xml"
    signed = {"signature": signature(), "timestamp": str(TIMESTAMP), "nonce": NONCE}
    return http(method, "/webhook", query=signed | query, headers=headers, body=body, client="203.0.113.10", **options)


def callback(xml, query=None, **options):
    return webhook("POST", {"openid": OPENID} | (query or {}), xml, **options)


def document(*fields):
    """A callback's XML: text in CDATA, numbers bare, as WeChat writes them."""

    def element(name, value):
        return f"<{name}>{value}</{name}>" if isinstance(value, int) else f"<{name}><![CDATA[{value}]]></{name}>"

    return "<xml>" + "".join(element(name, value) for name, value in fields) + "</xml>"


def message(kind, *fields):
    envelope = [("ToUserName", ACCOUNT), ("FromUserName", OPENID), ("CreateTime", TIMESTAMP), ("MsgType", kind)]
    return document(*envelope, *fields)


def notice(event, *fields):
    return message("event", ("Event", event), *fields)


def api(method, path, *, body=None, headers=None, **options):
    headers = {"authorization": f"Bearer {API_KEY}"} | (headers or {})
    if body is not None:
        headers["content-type"] = "application/json"
        body = json.dumps(body, ensure_ascii=False)
    return http(method, path, headers=headers, body=body, **options)


TEXT = message("text", ("Content", "你好"), ("MsgId", 24000000000000001))
ENCRYPTED = encrypt(TEXT)

TEMPLATE_MESSAGE = {
    "touser": OPENID,
    "template_id": TEMPLATE_ID,
    "url": "https://example.com/orders/1",
    "data": {
        "character_string1": {"value": "20260101001"},
        "thing2": {"value": "书"},
        "time3": "2026年1月1日 10:00",
    },
}

CAMPAIGN = {
    "name": "停水通知",
    "template_id": TEMPLATE_ID,
    "data": TEMPLATE_MESSAGE["data"],
    "audience": "list",
    "pace": 50,
    "canary": {"count": 20, "wait": 60},
}

MENU = {
    "button": [
        {"type": "click", "name": "帮助", "key": "MENU_HELP"},
        {
            "name": "更多",
            "sub_button": [
                {"type": "view", "name": "官网", "url": "https://example.com/?a=1&b=2"},
                {"type": "scancode_waitmsg", "name": "扫码", "key": "MENU_SCAN"},
            ],
        },
    ]
}

# These rules answer webhook-text, webhook-subscribe, webhook-click and webhook-scan.
REPLIES = {
    "subscribe": {"type": "text", "content": "欢迎关注"},
    "keywords": [{"match": "exact", "value": "你好", "reply": {"type": "text", "content": "你好"}}],
    "clicks": {"MENU_HELP": {"type": "text", "content": "请直接留言，我们会尽快回复。"}},
    "scans": {"order_42": {"type": "text", "content": "订单 42 已签收。"}},
    "default": None,
}

# The webhook's invocation of the worker, after the effects of webhook-template-receipt have failed.
EFFECTS = {
    "action": "effects",
    "received_at": TIMESTAMP,
    "publish": False,
    "callback": {
        "ToUserName": ACCOUNT,
        "FromUserName": OPENID,
        "CreateTime": str(TIMESTAMP),
        "MsgType": "event",
        "Event": "TEMPLATESENDJOBFINISH",
        "MsgID": MSGID,
        "Status": "success",
    },
}
# The webhook's invocation of the worker, after a passive reply whose rule has another one after it.
THEN = {
    "action": "then",
    "openid": OPENID,
    "key": hashlib.sha256(MSGID.encode()).hexdigest(),
    "messages": [{"msgtype": "text", "text": {"content": "稍后为您处理。"}}],
    "at": TIMESTAMP,
}
# Lambda's message in the queue, after the worker has failed three times.
RECORD = json.dumps(
    {
        "version": "1.0",
        "timestamp": "2026-01-01T00:03:00.000Z",
        "requestContext": {
            "requestId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            "functionArn": "arn:aws:lambda:ap-southeast-1:123456789012:function:wechat-WorkerFunction-1A2B:live",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": EFFECTS,
        "responseContext": {"statusCode": 200, "executedVersion": "1", "functionError": "Unhandled"},
        "responsePayload": {"errorType": "Effects", "errorMessage": "PutItem: DynamoDB did not answer in time"},
    }
)

EVENTS = {
    "webhook-verify": webhook("GET", {"echostr": "6871542190871234567"}),
    "webhook-text": callback(TEXT),
    "webhook-image": callback(
        message(
            "image",
            ("PicUrl", "http://mmbiz.qpic.cn/mmbiz_jpg/events/0?a=1&b=2"),
            ("MediaId", "events-image-media-id"),
            ("MsgId", 24000000000000002),
        )
    ),
    "webhook-subscribe": callback(notice("subscribe", ("EventKey", ""))),
    "webhook-scan": callback(notice("SCAN", ("EventKey", "order_42"), ("Ticket", "gQEventsTicket=="))),
    "webhook-click": callback(notice("CLICK", ("EventKey", "MENU_HELP"))),
    "webhook-view": callback(notice("VIEW", ("EventKey", "https://example.com/?a=1&b=2"), ("MenuId", 430000001))),
    "webhook-template-receipt": callback(
        notice("TEMPLATESENDJOBFINISH", ("MsgID", int(MSGID)), ("Status", "success"))
    ),
    "webhook-safe-mode": callback(
        document(("ToUserName", ACCOUNT), ("Encrypt", ENCRYPTED)),
        {"encrypt_type": "aes", "msg_signature": signature(ENCRYPTED)},
    ),
    "webhook-base64": callback(TEXT, is_base64=True),
    "webhook-bad-signature": callback(TEXT, {"signature": hashlib.sha1(b"not the token").hexdigest()}),
    "send-template": api(
        "POST", "/api/sendTemplateMessage", body=TEMPLATE_MESSAGE, headers={"idempotency-key": "order-1-shipped"}
    ),
    "send-template-array": api(
        "POST",
        "/api/sendTemplateMessage",
        body=TEMPLATE_MESSAGE | {"touser": [OPENID, OPENID[:-1] + "2"]},
    ),
    "send-custom": api(
        "POST",
        "/api/sendCustomMessage",
        body={"touser": OPENID, "msgtype": "text", "text": {"content": "处理完成"}},
        headers={"idempotency-key": "case-1-done"},
    ),
    "message-status": api("GET", f"/api/messages/{MSGID}", route="/api/messages/{msgid}"),
    "message-history": api("GET", "/api/messages", query={"touser": OPENID}),
    "list-templates": api("GET", "/api/templates"),
    "campaign-create": api("POST", "/api/campaigns", body=CAMPAIGN),
    "campaigns-list": api("GET", "/api/campaigns"),
    "binding-create": api("POST", "/api/bindings", body={"user": "1001"}),
    "users-import": api("POST", "/api/users", body={"users": [{"user": "1001", "openid": OPENID}]}),
    "login-begin": http("GET", "/oauth/login", query={"to": "https://shop.example.com/back"}),
    "jssdk-config": http("GET", "/jssdk/config", query={"url": "https://shop.example.com/page"}),
    "relay-token": http(
        "GET", "/cgi-bin/token", query={"grant_type": "client_credential", "appid": APP_ID, "secret": API_KEY}
    ),
    "relay-call": http("GET", "/cgi-bin/menu/get", query={"access_token": "what-relay-token-is-answered-with"}),
    "keys-create": api("POST", "/api/keys", body={"name": "shop", "scopes": ["send", "users"]}),
    "menu-create": api("POST", "/api/menu", body=MENU),
    "menu-get": api("GET", "/api/menu"),
    "menu-delete": api("DELETE", "/api/menu"),
    "replies-put": api("PUT", "/api/replies", body=REPLIES),
    "replies-get": api("GET", "/api/replies"),
    "doctor": api("GET", "/api/doctor"),
    "refresh-schedule": {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": "ap-southeast-1",
        "resources": ["arn:aws:events:ap-southeast-1:123456789012:rule/wechat-TokenRefresherFunctionEveryMinute-1A2B"],
        "detail": {},
    },
    "worker-effects": EFFECTS,
    "worker-then": THEN,
    "worker-run": {"action": "run"},
    "worker-queue": {
        "Records": [
            {
                "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": RECORD,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1767225780000",
                    "SenderId": "AROAEXAMPLE:awslambda_123_20260101000300000",
                    "ApproximateFirstReceiveTimestamp": "1767225780001",
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(RECORD.encode()).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:ap-southeast-1:123456789012:wechat-LateEffects-1A2B",
                "awsRegion": "ap-southeast-1",
            }
        ]
    },
    "refresh-on-demand": {"action": "refresh"},
    "refresh-replace": {
        "action": "replace",
        "stale_token_sha256": hashlib.sha256(b"stale-access-token").hexdigest(),
    },
    "exchange-code": {"action": "exchange_code", "code": "eventsOAuthCode00000000000000001"},
    "ticket": {"action": "ticket"},
}


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    check = options.parse_args().check
    folder = Path(__file__).resolve().parent
    made = {f"{name}.json": json.dumps(event, ensure_ascii=False, indent=2) + "\n" for name, event in EVENTS.items()}
    if not check:
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
        return 0
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    stale = sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name))
    for name in stale:
        print(f"events/{name} is not what events/make.py writes", file=sys.stderr)
    print(f"{len(made)} events, {len(stale)} differ")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
