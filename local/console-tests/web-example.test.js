// Uses examples/web like people do: somebody at a computer, and the same person in WeChat, in the phone of the console.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { axeFindings, openConsole, picture, startBundle, startExample } from "./browser.js";
import { callRun, chrome } from "./stage.js";

/** A test with its own run, its own example, and the page at a computer. */
function exampleTest(name, body) {
  test(name, { timeout: 120_000 }, async () => {
    const bundle = await startBundle();
    const example = await startExample(bundle);
    const { page, context, problems } = await openConsole(chrome().browser, example.url);
    page.setDefaultTimeout(15_000);
    try {
      await body({ page, context, bundle, example });
      assert.deepEqual(problems.filter((problem) => !problem.includes("ERR_ABORTED")), [], "errors in the browser's console");
    } catch (error) {
      await picture(page, `failed-${name.replace(/\W+/g, "-")}`);
      throw error;
    } finally {
      await context.close();
      await example.stop();
      await bundle.stop();
    }
  });
}

async function signIn(page, user) {
  await page.getByLabel("用户名").fill(user);
  await page.keyboard.press("Enter");
  await page.locator("[data-test=user]", { hasText: user }).waitFor();
}

/** The openid of the follower whose phone the console shows first. */
async function follower(bundle) {
  return (await callRun(bundle, "GET", "/console/sim/state")).users[0].openid;
}

exampleTest("a user binds at the computer, logs in inside WeChat as the same user, and gets what is pushed", async ({ page, context, bundle, example }) => {
  const openid = await follower(bundle);
  const seen = [];
  page.on("response", async (response) => seen.push(response.url(), await response.text().catch(() => "")));

  await signIn(page, "alice");
  await page.locator("[data-test=bound]", { hasText: "not bound" }).waitFor();
  const [made] = await Promise.all([page.waitForResponse(/me\/binding/), page.getByRole("button", { name: "Make a code" }).click()]);
  const code = page.getByRole("img", { name: "Scan with WeChat" });
  assert.ok(await code.evaluate((image) => image.decode().then(() => image.naturalWidth > 0)));
  assert.deepEqual(await axeFindings(page), []);
  await picture(page, "example-code");
  const { link } = await made.json();
  const scanned = await callRun(bundle, "POST", "/console/sim/scan", { openid, scene: `bind.${link.split("/").at(-1)}` });
  assert.equal(scanned.reply.Content, "绑定成功");
  await page.locator("[data-test=state]", { hasText: "bound" }).waitFor();
  await page.locator("[data-test=bound]", { hasText: "/ bound to WeChat" }).waitFor();

  const phone = await openConsole(chrome().browser, bundle.url);
  phone.page.on("request", (request) => request.url().startsWith(example.url) && seen.push(request.url()));
  await phone.page.locator("#say").waitFor();
  await phone.page.locator("#open-page").click();
  await phone.page.locator("#page-address").fill(`${example.url}/`);
  await phone.page.locator("#page-address").press("Enter");
  const inWeChat = phone.page.frameLocator(".phone iframe");
  await inWeChat.getByRole("link", { name: "Log in with WeChat" }).click();
  await inWeChat.locator("[data-test=user]", { hasText: "alice" }).waitFor();
  await picture(phone.page, "example-in-wechat");

  await page.getByLabel("通知内容").fill("<b>订单已发货</b>");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("[data-test=sent]").getByText("<b>订单已发货</b>").waitFor();
  await phone.page.locator("#page-back").click();
  await phone.page.locator(".template", { hasText: "<b>订单已发货</b>" }).waitFor();
  const sendTwice = () => page.evaluate(async () => {
    const body = JSON.stringify({ text: "只发一次", key: "the-same-key-twice" });
    const post = () => fetch("/me/messages", { method: "POST", headers: { "content-type": "application/json" }, body });
    return [(await post()).status, (await post()).status];
  });
  assert.deepEqual(await sendTwice(), [200, 200]);
  const messages = (await callRun(bundle, "GET", `/console/sim/phones/${openid}`)).filter(({ type }) => type === "template");
  assert.equal(messages.length, 2, "a repeated click sends nothing twice");

  for (const { name, httpOnly, sameSite } of await context.cookies(example.url)) {
    assert.ok(httpOnly && sameSite === "Lax", name);
  }
  assert.ok(seen.some((text) => text.includes("/wechat/back")), "the way back was seen");
  assert.ok(!seen.some((text) => text.includes(openid)), "neither an address nor an answer holds the openid");
  assert.deepEqual(phone.problems, []);
  await phone.context.close();
});

exampleTest("another browser cannot finish somebody's login, and spends nothing", async ({ page, context, bundle, example }) => {
  const { simulator } = await callRun(bundle, "GET", "/console/run");
  const openid = await follower(bundle);
  // The browser is on its way back with the one-time code when its request is held up.
  const devtools = await context.newCDPSession(page);
  await devtools.send("Fetch.enable", { patterns: [{ urlPattern: "*/wechat/back*" }] });
  const stolen = new Promise((resolve) => {
    devtools.once("Fetch.requestPaused", ({ requestId, request }) => {
      devtools.send("Fetch.failRequest", { requestId, errorReason: "Aborted" });
      resolve(request.url);
    });
  });
  const login = encodeURIComponent(`${example.url}/wechat/login`);
  await page.goto(`${simulator}/sim/phones/${openid}/open?url=${login}`).catch(() => {});
  const back = await stolen;
  await devtools.send("Fetch.disable");
  assert.match(back, /[?&]login=/);

  const other = await openConsole(chrome().browser, example.url);
  assert.equal((await other.page.goto(back)).status(), 400);
  await other.page.getByText("another browser").waitFor();
  await other.page.goto(example.url);
  await other.page.getByRole("link", { name: "Log in with WeChat" }).waitFor();
  assert.equal(await other.page.locator("[data-test=visitor]").count(), 0, "nobody is logged in");
  await other.context.close();

  await page.goto(back);
  await page.locator("[data-test=visitor]").waitFor();
  assert.ok(!page.url().includes("login="), "the code has left the address");
  assert.equal((await page.goto(back)).status(), 400, "once");
});

exampleTest("a POST that another page forges is refused", async ({ page, context, example }) => {
  await signIn(page, "alice");
  let cookies = "";
  const evil = createServer((request, response) => {
    cookies += request.headers.cookie ?? "";
    response.writeHead(200, { "content-type": "text/html" });
    response.end(`<form method="post" action="${example.url}/sign-out"></form>`);
  });
  await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
  try {
    // Another port is another origin of the same site, so SameSite keeps no cookie back.
    const forger = await context.newPage();
    await forger.goto(`http://127.0.0.1:${evil.address().port}/`);
    const [fetched] = await Promise.all([
      forger.waitForResponse(/sign-out/),
      forger.evaluate((url) => {
        fetch(`${url}/sign-out`, { method: "POST", mode: "no-cors", credentials: "include", body: "{}" }).catch(() => {});
      }, example.url),
    ]);
    assert.match(cookies, /session=/, "the browser sends the session's cookie from here");
    assert.equal(fetched.status(), 403);
    const [posted] = await Promise.all([forger.waitForResponse(/sign-out/), forger.evaluate(() => document.forms[0].submit())]);
    assert.equal(posted.status(), 403);
  } finally {
    evil.close();
  }
  await page.reload();
  await page.locator("[data-test=user]", { hasText: "alice" }).waitFor();
});
