// The team's own code answers, is taken down by the switch, and what it has not taken is listed, retried and deleted.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { picture, startBundle } from "./browser.js";
import { consoleTest, pageTest, sayIn, userWrites } from "./stage.js";

/** Own code that answers each request with `answer`, and keeps what it was asked. */
async function startOwnCode() {
  const own = { answer: { status: 200, body: "" }, asked: [] };
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (data) => { body += data; });
    request.on("end", () => {
      own.asked.push({ reply: request.headers["wechat-reply"], ...JSON.parse(body) });
      response.writeHead(own.answer.status).end(own.answer.body);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  own.url = `http://127.0.0.1:${server.address().port}/wechat?key=hidden`;
  own.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return own;
}

/** A run with own code behind it: {url, own, stop}. */
async function startWithOwnCode() {
  const own = await startOwnCode();
  const bundle = await startBundle([], { FORWARD_URL: own.url, FORWARD_SECRET: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" });
  return { url: bundle.url, own, stop: async () => { await bundle.stop(); await own.stop(); } };
}

for (const locale of ["en-GB", "zh-CN"]) {
  const say = sayIn(locale);
  pageTest(`own code that was down gets its callbacks by a click (${locale})`, startWithOwnCode, { locale }, async (page, { own }) => {
    own.answer = { status: 200, body: JSON.stringify({ reply: { type: "text", content: "自有回复" } }) };
    await userWrites(page, "一");
    await page.locator(".chat .bubble", { hasText: "自有回复" }).waitFor();

    await page.locator("#tab-own-code").click();
    await page.locator("#panel-own-code code", { hasText: own.url.split("?")[0] }).waitFor();
    assert.equal(await page.getByText("hidden").count(), 0);
    await page.locator("#own-code-down").check();
    await page.getByText(say("own-code-is-down")).waitFor();
    await userWrites(page, "二");
    const row = page.locator(".forwards [data-forward]");
    await row.waitFor();
    await row.getByText(say("attempts", 1)).waitFor();
    assert.ok(await page.locator("#retry-all").isDisabled(), "none is dead");
    await picture(page, `own-code-${locale}`);
    await page.locator("#own-code-down").uncheck();
    await page.getByText(say("own-code-is-up")).waitFor();
    await row.getByRole("button", { name: say("retry-what", "text") }).click();
    await row.waitFor({ state: "detached" });
    assert.deepEqual(own.asked.map(({ document, reply }) => [document.Content, reply]), [["一", "expected"], ["二", "too-late"]]);

    own.answer = { status: 410, body: "" };
    await userWrites(page, "三");
    await row.getByText("410").waitFor();
    own.answer = { status: 204, body: "" };
    await page.locator("#retry-all").click();
    await row.waitFor({ state: "detached" });
    assert.equal(own.asked.at(-1).document.Content, "三");

    own.answer = { status: 410, body: "" };
    await userWrites(page, "四");
    await row.waitFor();
    await row.getByRole("button", { name: say("delete-what", "text") }).click();
    await row.locator("button.sure").click();
    await row.waitFor({ state: "detached" });
  });
}

consoleTest("a run without own code says how to begin", {}, async (page) => {
  await page.locator("#tab-own-code").click();
  await page.getByText("FORWARD_URL").waitFor();
  assert.equal(await page.locator("#own-code-down").count(), 0);
});
