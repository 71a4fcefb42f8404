// The console of a run with `--wechat`: the account and its followers are on a platform elsewhere, which a second run plays.

import assert from "node:assert/strict";
import { axeFindings, sampleValues } from "./browser.js";
import { callRun, realTest, signIn, tab } from "./stage.js";

/** A test by an operator who has signed in. */
function operatorTest(name, body) {
  realTest(name, "/console/", async ({ page, say, bundle }) => {
    await signIn(page, say, bundle.key);
    await body({ page, say, platform: bundle.platform, call: (...request) => callRun(bundle, ...request) });
    assert.deepEqual(await axeFindings(page), []);
  });
}

async function message(call, touser) {
  const [template] = (await call("GET", "/api/templates")).templates;
  return { touser, template_id: template.template_id, data: sampleValues(template), validate: "warn" };
}

operatorTest("a message that was blocked is found, with why", async ({ page, say, platform, call }) => {
  const [{ openid }] = (await callRun(platform, "GET", "/console/sim/state")).users;
  await callRun(platform, "POST", "/console/sim/receipts", { status: "failed:user block", times: 1 });
  const { msgid } = await call("POST", "/api/sendTemplateMessage", await message(call, openid));
  await page.locator("#messages-of").fill(openid);
  await page.locator("#messages-find").click();
  const row = page.locator(`[data-message="${msgid}"]`);
  await row.locator("[data-status=blocked]").or(row.locator("[data-status=sent]")).waitFor();
  await row.getByRole("button").click();
  await page.getByText(`msgid ${msgid}`).waitFor();
  await page.locator("#message-close").click();
  await tab(page, "campaigns");
  await tab(page, "messages");
  await page.locator(".chart .of-blocked").first().waitFor();
  await page.locator("#messages-by").selectOption("problems");
  await page.locator("#messages-find").click();
  await row.locator("[data-status=blocked]").waitFor();
  await page.getByRole("heading", { name: say("messages-title") }).waitFor();
});

operatorTest("a rule and a menu that are made here answer the followers there", async ({ page, say, platform }) => {
  const [{ openid }] = (await callRun(platform, "GET", "/console/sim/state")).users;
  await tab(page, "rules");
  await page.locator("#panel-rules .version").waitFor();
  await page.locator("#rules-text").fill(JSON.stringify({ default: { type: "text", content: "稍后回复您" } }));
  await page.locator("#rules-save").click();
  await page.locator("#panel-rules .result.good").waitFor();
  await callRun(platform, "POST", "/console/sim/message", { openid, type: "text", content: "在吗" });
  const phone = await callRun(platform, "GET", `/console/sim/phones/${openid}`);
  assert.match(JSON.stringify(phone), /稍后回复您/);
  await tab(page, "menu");
  await page.locator("#panel-menu").getByText(say("no-menu")).waitFor();
  await page.locator("#panel-menu button", { hasText: /Example|示例/ }).click();
  await page.locator("#menu-publish").click();
  await page.locator("#panel-menu .result.good").waitFor();
  const menu = await callRun(platform, "GET", `/console/sim/phones/${openid}/menu`);
  assert.ok(menu.button.length > 0);
});

operatorTest("a user is bound by a code that is scanned there", async ({ page, platform, call }) => {
  const [{ openid }] = (await callRun(platform, "GET", "/console/sim/state")).users;
  const { qr } = await call("POST", "/api/bindings", { user: "u-1" });
  await callRun(platform, "POST", "/console/sim/scan", { openid, url: qr.url });
  await tab(page, "users");
  await page.locator("[data-user=u-1]").waitFor();
});

operatorTest("a campaign that is started here reaches everybody there", async ({ page, platform, call }) => {
  const { openids } = await callRun(platform, "POST", "/console/sim/followers", { count: 3 });
  const { touser: _, ...content } = await message(call, "");
  const { id } = await call("POST", "/api/campaigns", { name: "通知", audience: "list", pace: 100, ...content });
  await call("POST", `/api/campaigns/${id}/recipients`, { part: "1", recipients: openids });
  await tab(page, "campaigns");
  await page.locator(".campaign-name", { hasText: "通知" }).click();
  await page.locator("#dry-run").click();
  await page.locator("#campaign-start").click();
  await page.locator("#campaign-start").click();
  await page.locator("[data-total=delivered] .number", { hasText: "3" }).waitFor();
  await page.locator(".drawing .of-delivered").waitFor();
});

operatorTest("keys, own code and the doctor work on a real account", async ({ page, say, call }) => {
  await tab(page, "keys");
  await page.locator("#key-name").fill("shop");
  await page.locator("#scope-send").check();
  await page.locator("#key-make").click();
  assert.match(await page.locator("#new-key").innerText(), /^wk_/);
  assert.deepEqual((await call("GET", "/api/keys")).keys.map(({ name }) => name), ["shop"]);
  await tab(page, "own-code");
  await page.locator("#panel-own-code").getByText(say("no-own-code")).waitFor();
  await tab(page, "doctor");
  await page.locator("#examine").click();
  await page.locator(".verdict").waitFor();
  await page.locator("#panel-doctor").getByText(/calls left today|额度剩余/).first().waitFor();
});
