// What the tests of the Node.js SDKs share: a running `local`, one of its keys, and the simulated platform behind it.
//
// LOCAL_BINARY names another binary than target/debug/local. With WITHOUT_RELAY=1 the SDKs call the simulated platform
// itself with its AppSecret, which tells a fault of the relay from one of the simulator or of a test.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";

import { start } from "../console-tests/program.js";

const program = process.env.LOCAL_BINARY ?? fileURLToPath(new URL("../../target/debug/local", import.meta.url));
const withoutRelay = Boolean(process.env.WITHOUT_RELAY);

// Milliseconds. An instance may serve by its copy of the keys for 30 s.
const MOST_AFTER_REVOKING = 40_000;
// Milliseconds. An SDK whose key is refused must say so, not try again and again.
const MOST_FOR_A_REFUSAL = 5_000;

export const MENU = {
  button: [
    { type: "click", name: "今日歌曲", key: "V1001_TODAY_MUSIC" },
    { name: "菜单", sub_button: [{ type: "view", name: "搜索", url: "https://example.com/search?q=a&b=c" }] },
  ],
};
export const TEMPLATE_DATA = {
  thing1: { value: "项目审核" },
  time2: { value: "2026年11月30日 10:00" },
  const3: { value: "通过" },
};
/** Pixels. The side of a `picture` within the 1 MB of uploadimg. */
export const SMALL = 700;
export const PAGE = "https://example.com/page?a=b";

/** A draft's article, with what a recoded body would change: Chinese, quotes, an escape, an emoji. */
export function article(title, thumbMediaId) {
  const content = "<p class=\"a\">你好 &amp; \\u4f60 🎉</p>";
  return { title, author: "作者", content, thumb_media_id: thumbMediaId };
}

/**
 * A test of an SDK with its own run: `stage.api` is the host that the SDK calls, and `stage.secret` what it takes for the
 * AppSecret. Fails when WeChat saw our key, or a request for a token that the bundle did not make itself.
 */
export function sdkTest(name, body) {
  run(name, {}, body);
}

/** An `sdkTest` of what the relay itself does. */
export function relayTest(name, body) {
  run(name, { skip: withoutRelay && "WITHOUT_RELAY=1" }, body);
}

function run(name, options, body) {
  test(name, { timeout: 120_000, ...options }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "sdk-tests-"));
    const { url, stop } = await start(program, ["--port", "0"]);
    try {
      const stage = await Stage.on(url, folder);
      await body(stage);
      if (!withoutRelay) await stage.checkWhatWechatSaw();
    } finally {
      await stop();
      rmSync(folder, { recursive: true });
    }
  });
}

/** The answer as JSON. */
async function call(method, url, body) {
  const answer = await fetch(url, {
    method,
    headers: { authorization: "Bearer local", "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${url}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** A picture of noise, whose bytes take every value: nothing that recodes or cuts them goes unnoticed. */
function png(width, height) {
  const chunk = (kind, data) => {
    const named = Buffer.concat([Buffer.from(kind), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(named));
    return Buffer.concat([length, named, sum]);
  };
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const rows = Array.from({ length: height }, () => Buffer.concat([Buffer.of(0), randomBytes(width)]));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = deflateSync(Buffer.concat(rows));
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

class Stage {
  static async on(gateway, folder) {
    const stage = new Stage();
    stage.folder = folder;
    stage.gateway = gateway;
    stage.simulator = (await call("GET", `${gateway}/console/run`)).simulator;
    const account = await stage.sim("GET", "account");
    stage.appId = account.app_id;
    if (withoutRelay) {
      Object.assign(stage, { api: stage.simulator, secret: account.app_secret });
    } else {
      const { key, id } = await call("POST", `${gateway}/api/keys`, { name: "sdk", scopes: ["relay"] });
      Object.assign(stage, { api: gateway, secret: key, keyId: id });
    }
    return stage;
  }

  sim(method, path, body) {
    return call(method, `${this.simulator}/sim/${path}`, body);
  }

  /** A new follower who has just written, so that the account may answer. */
  async follower() {
    const { openid } = await this.sim("POST", "follow", {});
    await this.sim("POST", "message", { openid, type: "text", content: "你好" });
    return openid;
  }

  /** All that the phone shows, as one text. */
  async phone(openid) {
    return JSON.stringify(await this.sim("GET", `phones/${openid}`));
  }

  /** Fails unless a phone accepts this signature of `PAGE`. */
  async acceptsSignature({ timestamp, nonceStr, signature }) {
    const config = { appId: this.appId, timestamp: Number(timestamp), nonceStr, signature, url: PAGE };
    assert.deepEqual(await this.sim("POST", "jssdk/check", config), { ok: true });
  }

  /** How many calls of this path the platform received. */
  async calls(path) {
    return (await this.sim("GET", "calls")).filter((each) => each.path === path).length;
  }

  /** A square picture: its path and its bytes. Those of the usual side have 2 MB, as photos do. */
  picture(side = 1_400) {
    const path = join(this.folder, `${side}.png`);
    const bytes = png(side, side);
    writeFileSync(path, bytes);
    return { path, bytes };
  }

  /** Ends the token that the bundle holds, as a reset of the AppSecret does. */
  async endTokens() {
    await this.sim("POST", "token/invalidate", {});
  }

  async refuseTokenOnce(path) {
    await this.sim("POST", "faults", { path, errcode: 40001 });
  }

  /** The next call of this path is carried out, and its answer gets lost on the way back. */
  async loseNextAnswer(path) {
    await this.sim("POST", "faults", { path, drop: true });
  }

  async revokeKey() {
    await call("DELETE", `${this.gateway}/api/keys/${this.keyId}`);
  }

  /** Calls until `isRefused` of the answer, or of the error, once the key is revoked. Returns that answer or error. */
  async refusal(ask, isRefused) {
    const end = Date.now() + MOST_AFTER_REVOKING;
    for (;;) {
      const started = Date.now();
      const outcome = await ask().catch((error) => error);
      if (isRefused(outcome)) {
        assert.ok(Date.now() - started < MOST_FOR_A_REFUSAL);
        return outcome;
      }
      assert.ok(!(outcome instanceof Error), outcome);
      assert.ok(Date.now() < end, "the revoked key still works");
      await setTimeout(500);
    }
  }

  async checkWhatWechatSaw() {
    const calls = await this.sim("GET", "calls");
    assert.ok(!JSON.stringify(calls).includes("wk_"));
    assert.ok(calls.every(({ path }) => path !== "/cgi-bin/token"));
  }
}
