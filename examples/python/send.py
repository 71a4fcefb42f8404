"""Sends a customer a message later, through the bundle: what took too long for a reply, or what happened since.

python send.py text NUMBER TEXT KEY                    a customer-service message: free text, while the window is open
python send.py template NUMBER TEMPLATE_ID DATA KEY    a template message: at any time, to a follower; DATA is JSON

KEY names what is sent, such as order-17-shipped: the same command again sends nothing twice.
Ends with 0 when it is sent, 75 when the same command may be run again later, 1 when that would not help.
"""

import json
import os
import sqlite3
import sys
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

DATABASE = os.environ.get("DATABASE", Path(__file__).with_name("customers.sqlite"))
BUNDLE = os.environ.get("WECHAT_BUNDLE_URL", "http://127.0.0.1:8000")
API_KEY = os.environ.get("WECHAT_BUNDLE_KEY", "local")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The API key is for one host alone."""

    def redirect_request(self, *_):
        return None


def main(arguments: list[str]) -> int:
    match arguments:
        case ["text", number, content, key]:
            path, message = "sendCustomMessage", {"msgtype": "text", "text": {"content": content}}
        case ["template", number, template_id, data, key]:
            path, message = "sendTemplateMessage", {"template_id": template_id, "data": json.loads(data)}
        case _:
            print(__doc__, file=sys.stderr)
            return 1
    with closing(sqlite3.connect(DATABASE)) as db:
        found = db.execute("SELECT openid FROM customers WHERE number = ?", (number,)).fetchone()
    if not found:
        print(f"there is no customer {number}", file=sys.stderr)
        return 1

    request = urllib.request.Request(
        f"{BUNDLE}/api/{path}",
        json.dumps({"touser": found[0], **message}, ensure_ascii=False).encode(),
        {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json", "Idempotency-Key": key},
    )
    try:
        # Seconds. The bundle answers within 25.
        with urllib.request.build_opener(NoRedirect).open(request, timeout=30) as answer:
            print(answer.read().decode())
            return 0
    except urllib.error.HTTPError as refusal:
        try:
            problem = json.load(refusal)
        except ValueError:
            problem = {}
        status = refusal.code
    except OSError:
        problem, status = {"detail": "no answer"}, 0
    print(status, problem.get("detail", ""), problem.get("hint", ""), file=sys.stderr)
    # 45015 and 45047 among the refusals: the window is shut until the customer writes again. A template message needs no
    # window. 504 with may_have_been_sent: WeChat may have taken it. A template message may be repeated within 9 minutes, with
    # the same KEY; WeChat does not recognise the repeat of a customer-service message, and the bundle makes none.
    again = status in (0, 409, 429, 500, 502, 503, 504)
    if path == "sendCustomMessage" and problem.get("may_have_been_sent"):
        again = False
    return 75 if again else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
