"""The login on a web page, as docs/users.md shows it, with a stand-in for Express and the bundle."""

import json
import os
import re
import subprocess

import pytest

from stage import EXAMPLES

# Runs the guide's two handlers in one browser, and prints the session before and after with each answer.
BROWSER = """
globalThis.fetch = async () => ({ status: 200, ok: true, json: async () => ({ openid: 'o1', user: '1001' }) })
const first = { id: 'known-before' }
const request = { session: first, query: {} }
first.regenerate = (done) => { request.session = { id: 'new' }; done() }
const visit = async (path) => {
  let to
  await handlers[path](request, { redirect: (address) => { to = address }, status: (code) => ({ send: () => { to = code } }) })
  return to
}
const login = new URL(await visit('/login'))
request.query = Object.fromEntries(new URL(login.searchParams.get('to')).searchParams)
request.query.attempt += ATTEMPT
console.log(JSON.stringify({ to: await visit('/back'), first, now: request.session }))
"""


def login(language, attempt):
    guide = (EXAMPLES.parent / f"docs/users{language}.md").read_text()
    (code,) = (code for code in re.findall(r"```js\n(.*?)```", guide, re.DOTALL) if "app.get" in code)
    express = "const handlers = {}; const app = { get: (path, handler) => { handlers[path] = handler } }\n"
    script = express + code + BROWSER.replace("ATTEMPT", json.dumps(attempt))
    command = ["node", "--input-type=module", "--eval", script]
    environment = os.environ | {"WECHAT_BUNDLE_URL": "https://wechat.example.com"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("language", ["", ".zh-CN"])
def test_a_session_from_before_the_login_is_never_signed_in(language):
    ended = login(language, "")
    assert ended["to"] == "/" and ended["now"] == {"id": "new", "openid": "o1", "user": "1001"}
    assert ended["first"] == {"id": "known-before"}
    refused = login(language, "-of-another-session")
    assert refused["to"] == "/login" and refused["now"] == {"id": "known-before"}
