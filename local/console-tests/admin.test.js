// The console of the built `admin`, behind a gateway that has an authorizer for the staff's tokens.

import assert from "node:assert/strict";
import { join } from "node:path";
import { axeFindings, root } from "./browser.js";
import { CLIENT, startIssuer } from "./issuer.js";
import { start } from "./program.js";
import { pageTest, sayIn } from "./stage.js";

const KEY = "key-of-the-stage-0001";
const STAFF = { sub: "ann@example.com", scope: "openid wechat/send wechat/admin", lifetime: 3600, refreshes: true };

/** The built admin behind its gateway; with `staff`, also their login: {url, issuer, login, stop}. */
async function startAdmin(staff) {
  const login = staff && { ...staff };
  const issuer = login && await startIssuer(login);
  const settings = issuer && {
    JWT_ISSUER: issuer.url, JWT_AUDIENCE: "wechat", JWT_SEND_SCOPE: "wechat/send", JWT_ADMIN_SCOPE: "wechat/admin", JWT_CLIENT_ID: CLIENT,
  };
  const admin = await start(join(root, "target/debug/gateway"), [join(root, "target/debug/admin")], settings ?? {});
  return { url: admin.url, issuer, login, stop: async () => { await admin.stop(); await issuer?.stop(); } };
}

/** A test on the built admin in both languages; with `staff`, behind their login. */
function adminTest(name, staff, body) {
  for (const locale of ["en-GB", "zh-CN"]) {
    pageTest(`${name} (${locale})`, () => startAdmin(staff), { locale, path: "/console/" },
      (page, { url, issuer, login }) => body({ page, say: sayIn(locale), issuer, login, url: `${url}/console/` }));
  }
}

const tabsOf = (page) => page.locator("[role=tab]").evaluateAll((tabs) => tabs.map((each) => each.id.replace("tab-", "")));
const stored = (page) => page.evaluate(() => ({ ...sessionStorage }));

adminTest("staff sign in at their issuer, and stay signed in when the page is loaded again", STAFF, async ({ page, say, issuer, url }) => {
  await page.locator("#sign-in").waitFor();
  assert.deepEqual(await axeFindings(page), []);
  await page.locator("#sign-in").click();
  await page.locator("#sign-out").waitFor();
  assert.equal(page.url(), url, "nothing of the sign-in stays in the address");
  assert.equal(await page.locator("#signed-in").innerText(), "ann@example.com");
  const { parameters } = issuer.asked.find(({ path }) => path === "/authorize");
  assert.equal(parameters.scope, "openid wechat/send wechat/admin");
  assert.equal(parameters.audience, "wechat");
  await page.reload();
  await page.locator("#sign-out").click();
  await page.locator("#sign-in").waitFor();
  assert.ok(!Object.keys(await stored(page)).some((name) => ["console.key", "console.renewal", "console.sign-in"].includes(name)), "all is forgotten");
  await page.getByText(say("sign-in-by-token")).waitFor();
});

adminTest("staff see what the scopes of their token allow", { ...STAFF, scope: "openid wechat/admin" }, async ({ page, say }) => {
  await page.locator("#sign-in").click();
  await page.locator("#sign-out").waitFor();
  assert.deepEqual(await tabsOf(page), ["users", "rules", "menu", "own-code", "keys", "doctor"]);
  await page.locator("#tab-rules").click();
  await page.locator(".version").getByText(say("no-rules")).waitFor();
});

adminTest("a token without the scopes, or for somebody else, is refused with what to do", { ...STAFF, scope: "openid" }, async ({ page, say, issuer, login }) => {
  await page.locator("#sign-in").click();
  await page.getByText(say("token-refused")).waitFor();
  Object.assign(login, { scope: STAFF.scope, audience: "other" });
  const tokens = () => issuer.asked.filter(({ path }) => path === "/token").length;
  const before = tokens();
  await Promise.all([page.waitForResponse(`${issuer.url}/token`), page.locator("#sign-in").click()]);
  await page.getByText(say("token-refused")).waitFor();
  assert.equal(tokens(), before + 1);
  assert.equal(await page.locator("[role=tab]").count(), 0);
});

adminTest("a refusal of the issuer is shown, and a code that this tab did not ask for is not used", STAFF, async ({ page, say, issuer, login, url }) => {
  login.refusal = "access_denied";
  await page.locator("#sign-in").click();
  await page.getByText(say("sign-in-denied", "access_denied")).waitFor();
  const before = issuer.asked.length;
  await page.goto(`${url}?code=stolen&state=of-somebody-else`);
  await page.getByText(say("sign-in-not-ours")).waitFor();
  assert.equal(page.url(), url);
  assert.ok(issuer.asked.slice(before).every(({ path }) => path !== "/token"), "the code went nowhere");
});

adminTest("a token is renewed before its end, and an ended one leaves the page as it is", { ...STAFF, lifetime: 80 }, async ({ page, say, issuer, login }) => {
  await page.locator("#sign-in").click();
  await page.locator("#sign-out").waitFor();
  await page.locator("#tab-rules").click();
  await page.locator(".version").getByText(say("no-rules")).waitFor();
  const renewed = () => issuer.asked.filter(({ parameters }) => parameters.grant_type === "refresh_token").length;
  assert.ok(renewed() > 0, "80 s are near the end");
  // From here on the issuer gives expired tokens.
  Object.assign(login, { lifetime: -1, refreshes: false });
  const written = JSON.stringify({ subscribe: { type: "text", content: "欢迎" } });
  await page.locator("#rules-text").fill(written);
  await page.locator("#rules-save").click();
  await page.getByText(say("session-ended")).waitFor();
  assert.equal(await page.locator("#rules-text").inputValue(), written, "what was written is still there");
  await page.getByRole("button", { name: say("sign-in-again") }).click();
  await page.locator("#sign-in").waitFor();
});

adminTest("a pasted token takes the place of what somebody else signed in with", { ...STAFF, scope: "openid", lifetime: 30 }, async ({ page, say, issuer }) => {
  await page.locator("#sign-in").click();
  await page.getByText(say("token-refused")).waitFor();
  const claims = { iss: issuer.url, sub: "bob@example.com", aud: "wechat", scope: "wechat/admin", exp: Math.floor(Date.now() / 1000) + 600 };
  const token = ["{}", JSON.stringify(claims), "x"].map((part) => Buffer.from(part).toString("base64url")).join(".");
  await page.getByText(say("sign-in-by-token")).click();
  await page.locator("#api-key").fill("garbage");
  await page.keyboard.press("Enter");
  await page.getByText(say("pasted-token-refused")).waitFor();
  await page.locator("#api-key").fill(token);
  await page.keyboard.press("Enter");
  await page.locator("#signed-in", { hasText: "bob@example.com" }).waitFor();
});

adminTest("with API keys each screen of admin works", null, async ({ page, say }) => {
  await page.locator("#api-key").fill(KEY);
  await page.keyboard.press("Enter");
  await page.locator("#sign-out").waitFor();
  await page.locator("#tab-menu").click();
  await page.getByText(say("no-menu")).waitFor();
  await page.locator("#tab-rules").click();
  await page.locator(".version").getByText(say("no-rules")).waitFor();
  await page.locator("#rules-text").fill(JSON.stringify({ subscribe: { type: "text", content: "欢迎" } }));
  await page.locator("#rules-save").click();
  await page.locator("#panel-rules .result.good").waitFor();
  await page.locator("#tab-own-code").click();
  await page.locator("#panel-own-code .tool").waitFor();
  await page.locator("#tab-keys").click();
  await page.locator("#panel-keys form").waitFor();
  await page.locator("#tab-doctor").click();
  await page.locator("#panel-doctor button").first().click();
  await page.locator("#panel-doctor .checks li").first().waitFor();
  assert.deepEqual(await axeFindings(page), []);
});
