// Binds users in the console, finds and unbinds them, writes to them, and opens pages in the phone: each in English and in
// Chinese.

import assert from "node:assert/strict";
import { picture } from "./browser.js";
import { bilingualTest, callRun, choosePhone, consoleTest, enterKey, phoneUser, realTest } from "./stage.js";

async function makeCode(page, user) {
  await page.locator("#tab-bind").click();
  await page.locator("#bind-user").fill(user);
  await page.locator("#bind-make").click();
  await page.locator("#panel-bind .qr").waitFor();
}

bilingualTest("a user is bound by a scan of the phone, found, written to, and unbound", async (page, say, bundle) => {
  await makeCode(page, "用户/1");
  const state = page.locator(".binding-state");
  await state.getByText(say("binding-pending", "用户/1")).waitFor();
  assert.ok(await page.locator(".qr").evaluate((picture) => picture.naturalWidth > 0), "the picture is shown");
  await page.locator("#scan-with-phone").click();
  await state.getByText(say("binding-bound", "用户/1")).waitFor();
  await page.locator(".chat .bubble", { hasText: "绑定成功" }).waitFor();
  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  await state.getByText(openid).waitFor();
  await picture(page, `bound-${say("tab-bind")}`);

  await callRun(bundle, "PUT", "/api/users?user=u-2", { openid: "o-of-somebody-else" });
  await page.locator("#find-user").fill(openid);
  await page.locator("#find-user").press("Enter");
  await page.locator("#panel-bind .users li").nth(1).waitFor({ state: "detached" });
  await page.locator("[data-user='用户/1']").waitFor();
  await page.locator("#find-user").fill("nobody");
  await page.locator("#find-user").press("Enter");
  await page.locator("#panel-bind .users", { hasText: say("no-such-user") }).waitFor();
  await page.locator("#find-user").fill("");
  await page.locator("#find-user").press("Enter");
  await page.locator("#panel-bind .users li").nth(1).waitFor();

  await page.locator("#tab-send").click();
  await page.locator("#send-samples").click();
  await page.locator("#send-user").fill("用户/1");
  assert.ok(await page.locator("#send-touser").isDisabled(), "one of the two");
  await page.locator("#panel-send button[type=submit]").click();
  await page.locator(".template", { hasText: "项目审核" }).waitFor();
  assert.match(await page.locator("#panel-code-curl pre").innerText(), /"user": "用户\/1"/);
  await page.locator("#send-user").fill("nobody");
  await page.locator("#panel-send button[type=submit]").click();
  const refusal = page.locator("#panel-send .result.bad", { hasText: "404" });
  await refusal.getByText(say("bind-first")).waitFor();
  assert.ok(!(await refusal.innerText()).includes("/api/"), "in the words of the console");

  await page.locator("#tab-bind").click();
  const row = page.locator("[data-user='用户/1']");
  await page.getByRole("button", { name: say("unfollow") }).click();
  await row.locator(".pill", { hasText: say("does-not-follow") }).waitFor();
  await row.getByRole("button").click();
  await row.locator("button.sure").click();
  await row.waitFor({ state: "detached" });
  const found = await fetch(`${bundle.url}/api/users?user=${encodeURIComponent("用户/1")}`, { headers: { authorization: "Bearer local" } });
  assert.equal(found.status, 404);
});

bilingualTest("the code of a user who is deleted has ended", async (page, say, bundle) => {
  await callRun(bundle, "PUT", "/api/users?user=u-9", { openid: "o-of-somebody" });
  await makeCode(page, "u-9");
  await callRun(bundle, "DELETE", "/api/users?user=u-9");
  await page.locator(".binding-state").getByText(say("binding-expired", "u-9")).waitFor();
});

bilingualTest("a stranger who scans is bound, and the code is of no use to another", async (page, say) => {
  await makeCode(page, "u-1");
  const before = await phoneUser(page);
  await page.locator("#scan-as-stranger").click();
  await page.locator(".binding-state").getByText(say("binding-bound", "u-1")).waitFor();
  const stranger = await phoneUser(page);
  assert.notEqual(stranger, before, "the stranger's phone is shown");
  await page.locator(".binding-state").getByText(stranger).waitFor();
  await choosePhone(page, before);
  await page.locator("#scan-with-phone").click();
  await page.locator(".chat .bubble", { hasText: "二维码已失效" }).waitFor();

  await makeCode(page, "u-1");
  await page.locator("#scan-with-phone").click();
  await page.getByText(say("replaced-openid", `…${stranger.slice(-6)}`)).waitFor();
  await makeCode(page, "u-2");
  await page.locator("#scan-with-phone").click();
  await page.getByText(say("replaced-user", "u-1")).waitFor();
});

bilingualTest("a link binds in the phone, as the person whose phone it is", async (page, say, bundle) => {
  await makeCode(page, "u-1");
  const openid = await phoneUser(page);
  await page.locator("#open-link").click();
  await page.frameLocator(".phone iframe").getByText("绑定成功").waitFor();
  await page.locator(".binding-state").getByText(openid).waitFor();
  await picture(page, `link-${say("tab-bind")}`);
  await page.locator("#page-back").click();
  await page.locator(".chat").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "open-page");

  // A link in a message opens in the phone, and an address of another machine does not.
  await callRun(bundle, "PUT", "/api/replies", { default: { type: "text", content: `<a href="${bundle.url}/bind/0">LINK</a>` } });
  await page.locator("#say").fill("?");
  await page.locator("#say").press("Enter");
  await page.locator(".chat a", { hasText: "LINK" }).click();
  await page.frameLocator(".phone iframe").getByText("绑定链接不存在").waitFor();
  await page.locator("#page-address").fill("https://example.com/");
  await page.locator("#page-address").press("Enter");
  await page.getByText(say("page-elsewhere")).waitFor();
});

consoleTest("a link leads to the phone in a narrow window too", { viewport: { width: 375, height: 667 } }, async (page) => {
  await page.locator(".place-bar [data-place=tools]").click();
  await makeCode(page, "u-1");
  await page.locator("#open-link").click();
  await page.frameLocator(".phone iframe").getByText("绑定成功").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
});

bilingualTest("what makes somebody a user is masked in the activity", async (page, say) => {
  await makeCode(page, "u-1");
  const link = await page.locator(".binding code").first().innerText();
  const row = page.locator(".event.api", { hasText: "POST /api/bindings" });
  await row.locator("summary").click();
  await row.locator(".event-body").waitFor();
  assert.equal(await row.getByRole("button", { name: say("replay") }).count(), 1);
  await page.getByRole("checkbox", { name: say("own-reads") }).check();
  await page.locator(".event.api", { hasText: "GET /api/bindings/…" }).last().waitFor();
  const look = page.locator(".event.api", { hasText: "GET /api/bindings/…" }).last();
  await look.locator("summary").click();
  await look.locator(".event-body").waitFor();
  assert.equal(await look.getByRole("button", { name: say("replay") }).count(), 0, "what is masked cannot be asked again");
  assert.ok(!(await page.locator(".events").innerText()).includes(link.split("/").at(-1)));
});

consoleTest("a page of users is added once, and not to a later search", {}, async (page) => {
  const held = [];
  const users = (user, cursor) => ({ json: { users: [{ user, openid: "o-1", followed: true }], cursor } });
  await page.route("**/api/users*", (route) => {
    const query = new URL(route.request().url()).searchParams;
    if (query.has("cursor")) return held.push(() => route.fulfill(users("second")));
    return route.fulfill(query.has("user") ? { json: users("found").json.users[0] } : users("first", "c"));
  });
  const comesLate = async (requests) => {
    while (held.length < requests) await page.waitForTimeout(20);
    for (const answer of held.splice(0)) await answer();
    await page.waitForTimeout(200);
    return page.locator("[data-user]").evaluateAll((rows) => rows.map((row) => row.dataset.user));
  };
  const more = page.getByRole("button", { name: "More users" });
  await page.locator("#tab-bind").click();
  await more.dblclick();
  assert.deepEqual(await comesLate(2), ["first", "second"]);
  await page.locator("#find-user").press("Enter");
  await more.click();
  await page.locator("#find-user").fill("found");
  await page.locator("#find-user").press("Enter");
  await page.locator("[data-user=found]").waitFor();
  assert.deepEqual(await comesLate(1), ["found"]);
});

realTest("a real account's console makes codes without a phone", "", async ({ page, bundle }) => {
  await enterKey(page, bundle);
  await makeCode(page, "u-1");
  assert.equal(await page.locator("#scan-with-phone, #open-link, .phone").count(), 0);
  await callRun(bundle, "PUT", "/api/users?user=u-1", { openid: "o-1" });
  await page.locator("#find-user").press("Enter");
  await page.locator("[data-user='u-1']").waitFor();
});
