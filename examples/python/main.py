"""Own code behind the callbacks of a WeChat Official Account, with FastAPI: receives each callback that the bundle forwards,
checks its signature, keeps the openid under a customer number of our own, and answers."""

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError

DATABASE = os.environ.get("DATABASE", Path(__file__).with_name("customers.sqlite"))
# Bytes. Callbacks have a few KiB, and whoever is not the bundle should not fill our memory.
LONGEST_BODY = 1024 * 1024
# Seconds. A callback can come again for 33 days: 30 as a dead one, then 3 of retries.
REMEMBERED = 40 * 86400
TABLES = [
    """CREATE TABLE IF NOT EXISTS customers
    (number INTEGER PRIMARY KEY, openid TEXT NOT NULL UNIQUE, follows INTEGER, changed_at INTEGER NOT NULL DEFAULT 0)""",
    "CREATE TABLE IF NOT EXISTS callbacks (id TEXT PRIMARY KEY, answer TEXT, received_at INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS callbacks_by_age ON callbacks (received_at)",
]

# `whsec_` and base64, as the bundle has it. Without it nothing starts: with an empty key anybody could sign.
webhook = Webhook(os.environ["FORWARD_SECRET"])
app = FastAPI(openapi_url=None)


async def signed_callback(request: Request) -> dict:
    """The callback, when the bundle has signed it in the last 5 minutes. While the secret is rotated there are two signatures,
    one of which is ours; the library tries both, in constant time."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise HTTPException(413)
    try:
        # Exactly the bytes that were signed: JSON that was decoded and encoded again has other ones.
        webhook.verify(body, dict(request.headers), json_parse=False)
    # A ValueError is the library's word for a header or body that is malformed.
    except (WebhookVerificationError, ValueError):
        raise HTTPException(401) from None
    return json.loads(body)


# Not `async`: the work waits for the database, and FastAPI runs such functions in threads.
@app.post("/")
def receive(request: Request, callback: Annotated[dict, Depends(signed_callback)]) -> Response:
    key = request.headers["webhook-id"]
    # The bundle waits 3.5 seconds for the answer: a request that waits for another one's writing gives up after 2.
    with closing(sqlite3.connect(DATABASE, timeout=2, isolation_level=None)) as db:
        # The work and the note that it is done are one transaction: after a crash there are both, or neither. IMMEDIATE, so
        # that of two requests with the same callback the second waits for the first and finds its note.
        db.execute("BEGIN IMMEDIATE")
        for table in TABLES:
            db.execute(table)
        # A callback comes at least once. A repeat has the same webhook-id, and gets the first one's answer.
        known = db.execute("SELECT answer FROM callbacks WHERE id = ?", (key,)).fetchone()
        if known:
            answer = known[0]
        else:
            answer = handle(db, callback)
            db.execute("INSERT INTO callbacks VALUES (?, ?, ?)", (key, answer, int(time.time())))
            db.execute("DELETE FROM callbacks WHERE received_at < ?", (int(time.time()) - REMEMBERED,))
        db.execute("COMMIT")
    if answer is None:
        return Response(status_code=204)
    return Response(answer, media_type="application/json")


def handle(db: sqlite3.Connection, callback: dict) -> str | None:
    """Does what one callback asks for. Returns the answer, or None to leave the reply to the bundle's rules."""
    match callback:
        case {"type": "event.subscribe", "from": openid, "created_at": at}:
            number = customer(db, openid)
            follows(db, number, True, at)
            if is_binding_code(callback):
                return None  # The rules say whether this scan has bound a user of the bundle's.
            return text(f"欢迎关注！您的客户编号是 {number}。")
        case {"type": "event.unsubscribe", "from": openid, "created_at": at}:
            follows(db, customer(db, openid), False, at)
            return None  # Nobody can be answered.
        case {"type": "text", "from": openid, "message": {"content": content}}:
            number = customer(db, openid)
            match content.strip():
                case "编号":
                    return text(f"您的客户编号是 {number}。")
                case "人工":
                    # Silence, not even a reply of the rules: a colleague answers, by send.py.
                    return json.dumps({"reply": None})
    return None  # Other texts, other types, and those that WeChat has yet to think of.


def is_binding_code(callback: dict) -> bool:
    """Whether the person has scanned a QR code by which the bundle binds a user (docs/users.md)."""
    match callback:
        case {"event": {"scene": str(scene)}}:
            return scene.startswith("bind.")
    return False


def customer(db: sqlite3.Connection, openid: str) -> int:
    """Our own number of the person: an openid is a name in one account, and changes when the account does."""
    db.execute("INSERT INTO customers (openid) VALUES (?) ON CONFLICT DO NOTHING", (openid,))
    return db.execute("SELECT number FROM customers WHERE openid = ?", (openid,)).fetchone()[0]


def follows(db: sqlite3.Connection, number: int, follows: bool, at: int) -> None:
    """Keeps the newest state, since callbacks come in any order. Of two in the same second, leaving wins."""
    older = "<" if follows else "<="
    state = (follows, at, number, at)
    db.execute(f"UPDATE customers SET follows = ?, changed_at = ? WHERE number = ? AND changed_at {older} ?", state)


def text(content: str) -> str:
    """A text reply. The other types are those of the reply rules: image, voice, video, music, news,
    transfer_customer_service."""
    return json.dumps({"reply": {"type": "text", "content": content}}, ensure_ascii=False)
