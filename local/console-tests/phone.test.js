// The phone while other things happen: it does not disturb its reader, and does not mix up users.

import assert from "node:assert/strict";
import { callRun, choosePhone, consoleTest, phoneUser, userWrites } from "./stage.js";

/** Waits until the phone has read its screen after `act`. */
function afterRead(page, act) {
  return Promise.all([page.waitForResponse(/\/console\/sim\/phones\/[^/]+\/menu$/), act()]);
}

consoleTest("a chat that has not changed keeps its focus and its selection", {}, async (page, bundle) => {
  await userWrites(page, "在吗");
  const rule = page.locator(".chat .add-rule");
  await rule.waitFor();
  // The last read of what the message has caused.
  await page.waitForTimeout(1000);
  await rule.focus();
  await afterRead(page, () => callRun(bundle, "GET", "/api/replies"));
  await page.locator(".event.api", { hasText: "/api/replies" }).waitFor();
  await page.waitForTimeout(200);
  assert.ok(await rule.evaluate((element) => element === document.activeElement), "the focus");

  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector(".chat .words")));
  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  await callRun(bundle, "PUT", "/api/replies", { default: { type: "text", content: "稍后回复" } });
  await callRun(bundle, "POST", "/console/sim/message", { openid, type: "text", content: "还在吗" });
  await page.locator(".chat .from-account .bubble", { hasText: "稍后回复" }).waitFor();
  assert.equal(await page.evaluate(() => String(getSelection())), "在吗");
});

consoleTest("a chat follows its end only for who reads there", {}, async (page, bundle) => {
  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  await callRun(bundle, "PUT", "/api/replies", { default: { type: "text", content: "稍后\n回复" } });
  const writes = () => callRun(bundle, "POST", "/console/sim/message", { openid, type: "text", content: "在吗" });
  const replies = page.locator(".chat .from-account");
  const toEnd = () => page.locator(".chat").evaluate((chat) => chat.scrollHeight - chat.scrollTop - chat.clientHeight);
  for (let times = 0; times < 15; times += 1) await writes();
  await replies.nth(14).waitFor();
  assert.ok((await toEnd()) < 4, "the newest is shown");
  await page.locator(".chat").evaluate((chat) => { chat.scrollTop = 0; });
  await writes();
  await replies.nth(15).waitFor();
  assert.equal(await page.locator(".chat").evaluate((chat) => chat.scrollTop), 0, "who reads above stays there");
  await userWrites(page, "我自己说");
  await replies.nth(16).waitFor();
  assert.ok((await toEnd()) < 4, "who writes sees it");

  // A narrow window shows one place at a time.
  await page.setViewportSize({ width: 375, height: 667 });
  await page.locator(".place-bar [data-place=tools]").click();
  await writes();
  await replies.nth(17).waitFor({ state: "attached" });
  await page.locator(".place-bar [data-place=phone]").click();
  await page.waitForFunction(() => {
    const chat = document.querySelector(".chat");
    return chat.clientHeight > 0 && chat.scrollHeight - chat.scrollTop - chat.clientHeight < 4;
  });
});

consoleTest("an answer that comes after a switch belongs to who has asked", {}, async (page) => {
  const first = await phoneUser(page);
  await page.locator("#new-follower").click();
  await page.locator(".chat .bubble", { hasText: "欢迎关注" }).waitFor();
  const second = await phoneUser(page);
  assert.notEqual(second, first);

  let answer;
  const held = new Promise((resolve) => { answer = resolve; });
  await page.route("**/console/sim/message", async (route) => {
    await held;
    await route.continue();
  });
  await userWrites(page, "谁在问");
  await page.locator(".chat .waiting").waitFor();
  await choosePhone(page, first);
  await page.locator(".chat .waiting").waitFor({ state: "detached" });
  await Promise.all([page.waitForResponse("**/console/sim/message"), answer()]);
  await page.locator(".event", { hasText: "谁在问" }).waitFor();
  assert.equal(await phoneUser(page), first);
  assert.equal(await page.locator(".chat .add-rule").count(), 0, "nobody has asked here");
  await choosePhone(page, second);
  await page.locator(".chat .add-rule").waitFor();
  assert.equal(await page.locator(".chat .waiting").count(), 0);
  await choosePhone(page, first);
  await page.locator(".chat .add-rule").waitFor({ state: "detached" });
});

consoleTest("a phone is found by a part of its openid among many", {}, async (page, bundle) => {
  const { openids } = await callRun(bundle, "POST", "/console/sim/followers", { count: 200 });
  const wanted = openids[123];
  await page.waitForFunction((all) => document.querySelectorAll("#followers option").length > all, 200);
  const first = await phoneUser(page);
  const choice = page.locator("#phone-user");
  await choice.fill("not-an-openid");
  await choice.press("Enter");
  await page.locator(".toast.bad", { hasText: "not-an-openid" }).waitFor();
  await choice.blur();
  assert.equal(await choice.inputValue(), first, "what is not found changes nothing");
  await choice.fill(wanted.slice(-8));
  await choice.press("Enter");
  await choice.blur();
  assert.equal(await choice.inputValue(), wanted);
  assert.equal(await page.locator("#send-touser").inputValue(), wanted, "the message goes to this phone");
});
