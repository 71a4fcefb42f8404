// Uses the console like a person, in a real browser against a real run.

import assert from "node:assert/strict";
import { picture } from "./browser.js";
import { callRun, consoleTest, enterKey, publishExampleMenu, realTest, saveRules, send, submitMessage } from "./stage.js";

consoleTest("a new follower is greeted, and the callback is shown decrypted", {}, async (page) => {
  await page.locator("#new-follower").click();
  await page.locator(".chat .bubble", { hasText: "欢迎关注" }).waitFor();
  const row = page.locator(".event", { hasText: "event.subscribe" });
  await row.locator("summary").click();
  await row.getByText("<Event><![CDATA[subscribe]]></Event>").waitFor();
  assert.equal(await row.locator(".decrypted").count(), 2, "request and answer");
  await row.locator(".sealed summary").first().click();
  await row.getByText("<Encrypt>").first().waitFor();
});

consoleTest("a user writes, taps the menu, and gets the replies of rules that were just saved", {}, async (page) => {
  await publishExampleMenu(page);
  await saveRules(page, {
    keywords: [{ match: "contains", value: "营业时间", reply: { type: "text", content: "每天 9:00-18:00" } }],
    clicks: { MENU_HELP: { type: "text", content: "请直接留言 <b>&</b>" }, MENU_TODAY: { type: "text", content: "第一版" } },
  });
  await page.getByText("Saved as version 1").waitFor();
  await page.locator(".menu-bar").getByRole("button", { name: "帮助" }).click();
  const reply = page.locator(".from-account .bubble", { hasText: "请直接留言" });
  assert.equal(await reply.innerText(), "请直接留言 <b>&</b>", "text is never markup");

  await page.getByRole("button", { name: "Keyboard" }).click();
  await page.locator("#say").fill("你们的营业时间？");
  await page.locator("#say").press("Enter");
  await page.locator(".from-account .bubble", { hasText: "每天 9:00-18:00" }).waitFor();

  await page.locator("#rules-text").fill(JSON.stringify({ clicks: { MENU_TODAY: { type: "text", content: "第二版" } } }));
  await page.locator("#rules-save").click();
  await page.getByText("Saved as version 2").waitFor();
  await page.locator(".phone").getByRole("button", { name: "Menu" }).click();
  await page.locator(".menu-bar").getByRole("button", { name: "更多" }).click();
  await page.getByRole("menuitem", { name: "今日" }).click();
  await page.locator(".from-account .bubble", { hasText: "第二版" }).waitFor();
  await picture(page, "menu-and-rules");
});

consoleTest("a template message is sent from the form, shown on the phone, and reported as delivered", {}, async (page) => {
  await send(page);
  await page.locator(".steps .done", { hasText: "Delivered" }).waitFor();
  const card = page.locator(".template", { hasText: "审核结果通知" });
  await card.getByText("项目审核").waitFor();
  assert.equal(await card.locator("a").getAttribute("href"), "https://example.com/details/1");
  const curl = page.locator("#panel-code-curl pre");
  assert.match(await curl.innerText(), /curl -s http:\/\/127\.0\.0\.1:\d+\/api\/sendTemplateMessage/);
  await page.getByRole("tab", { name: "axios" }).click();
  assert.match(await page.locator("#panel-code-axios pre").innerText(), /axios\.post\(/);
  await picture(page, "sent-and-delivered");
});

consoleTest("what a template does not take is told at its field", {}, async (page) => {
  await page.locator("#send-thing1").fill("超过二十个字的内容超过二十个字的内容超过二十个字的内容");
  await submitMessage(page);
  await page.locator("#send-thing1-fault", { hasText: "at most 20 characters" }).waitFor();
  await page.locator("#send-time2-fault").waitFor();
  assert.equal(await page.locator("#send-thing1").getAttribute("aria-invalid"), "true");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-invalid")), "true");
});

consoleTest("the whitelist fault is diagnosed by the send and by the doctor, and cleared", {}, async (page) => {
  await page.locator("#send-thing1").waitFor();
  await page.getByRole("tab", { name: "Faults" }).click();
  await page.locator("[data-fault=whitelist]").click();
  await page.locator(".active-faults", { hasText: "203.0.113.7" }).waitFor();
  await send(page);
  const result = page.locator("#panel-send .result.bad");
  await result.getByText("40164").waitFor();
  assert.match(await result.locator(".remedy").innerText(), /IP白名单/);
  const refused = page.locator(".event", { hasText: "40164" }).filter({ hasText: "stable_token" }).first();
  await refused.locator("summary").click();
  await refused.locator(".explained", { hasText: "whitelist" }).waitFor();
  await page.getByRole("tab", { name: "Doctor" }).click();
  await page.locator("#examine").click();
  await page.locator(".checks .bad", { hasText: "40164" }).locator(".remedy").first().waitFor();
  await picture(page, "whitelist-diagnosed");
  await page.getByRole("tab", { name: "Faults" }).click();
  await page.locator("#clear-faults").click();
  await page.getByText("No faults.").waitFor();
});

consoleTest("faults of one click come to the send as what they are", {}, async (page) => {
  await page.locator("#send-thing1").waitFor();
  for (const [fault, expected] of [["quota", /45009/], ["html", /HTTP\s*504[\s\S]*client_msg_id/], ["dropped", /HTTP\s*504[\s\S]*client_msg_id/]]) {
    await page.getByRole("tab", { name: "Faults" }).click();
    // A dropped connection is retried with the same client_msg_id.
    await page.locator("#fault-times").fill("4");
    await page.locator(`[data-fault=${fault}]`).click();
    await page.locator(".active-faults code").waitFor();
    await send(page);
    await page.locator("#panel-send .result.bad", { hasText: expected }).waitFor();
    await page.getByRole("tab", { name: "Faults" }).click();
    await page.locator("#clear-faults").click();
    await page.getByText("No faults.").waitFor();
  }
  await page.locator(".event", { hasText: "no answer" }).first().waitFor();
});

consoleTest("a user whose callback is never answered reads WeChat's failure text", {}, async (page) => {
  await page.getByRole("tab", { name: "Faults" }).click();
  await page.locator("[data-fault=callbacks]").click();
  await page.locator(".active-faults", { hasText: "/callback" }).waitFor();
  await page.locator("#say").fill("在吗");
  await page.locator("#say").press("Enter");
  // WeChat delivers three times, 5 s apart.
  await page.locator(".chat", { hasText: "该公众号提供的服务出现故障，请稍后再试" }).waitFor();
  await page.getByText("Delivery 3 of 3 failed").waitFor();
  await picture(page, "callbacks-unanswered");
});

consoleTest("activity is filtered, paused and cleared", {}, async (page) => {
  await page.locator("#new-follower").click();
  const callback = page.locator(".event", { hasText: "event.subscribe" });
  await callback.waitFor();
  await page.getByRole("button", { name: "WeChat API" }).click();
  await callback.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "All", exact: true }).click();
  await page.getByRole("searchbox").fill("subscribe");
  await callback.waitFor();
  assert.equal(await page.locator(".events > li").count(), 1);
  await page.getByRole("searchbox").fill("");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator("#new-follower").click();
  await page.getByText("1 more since you paused").click();
  assert.equal(await callback.count(), 2);
  await page.getByRole("button", { name: "Clear", exact: true }).click();
  await page.getByText("Nothing has happened yet.").waitFor();
});

consoleTest("a token that is killed is replaced by the next call", {}, async (page) => {
  await page.locator(".token-label", { hasText: "no. 1" }).waitFor();
  await page.locator("#kill-token").click();
  await page.locator(".token.dead").waitFor();
  await send(page);
  await page.locator(".token-label", { hasText: "no. 2" }).waitFor();
  await page.locator(".token:not(.dead)").waitFor();
  await page.locator(".event", { hasText: "40001" }).first().waitFor();
});

consoleTest("faulty rules are shown with their lines, and another editor's change is not overwritten unseen", {}, async (page, bundle) => {
  await saveRules(page, { greeting: 1, keywords: [{ match: "regex", value: "(", reply: { type: "text", content: "" } }] });
  const faults = page.locator("#panel-rules .faults li");
  await faults.first().waitFor();
  assert.equal(await faults.count(), 3);
  await faults.filter({ hasText: "/keywords/0/value" }).getByRole("button").click();
  const chosen = await page.evaluate(() => {
    const { value, selectionStart, selectionEnd } = document.querySelector("#rules-text");
    return value.slice(selectionStart, selectionEnd);
  });
  assert.equal(chosen, '"("');

  await saveRules(page, { default: { type: "text", content: "one" } });
  await page.getByText("Saved as version 1").waitFor();
  const theirs = await fetch(`${bundle.url}/api/replies`, {
    method: "PUT",
    headers: { authorization: "Bearer local", "content-type": "application/json" },
    body: JSON.stringify({ default: { type: "text", content: "theirs" } }),
  });
  assert.equal(theirs.status, 200);
  await page.locator("#rules-text").fill(JSON.stringify({ default: { type: "text", content: "mine" } }));
  await page.locator("#rules-save").click();
  await page.getByRole("button", { name: "Take theirs" }).click();
  await page.waitForFunction(() => document.querySelector("#rules-text").value.includes("theirs"));
  await page.getByText("Version 2").waitFor();
  await page.getByRole("button", { name: "Roll back" }).click();
  await page.getByRole("button", { name: "Sure?" }).click();
  await page.waitForFunction(() => document.querySelector("#rules-text").value.includes('"one"'));
});

consoleTest("long documents are compared without a hang", {}, async (page) => {
  const marks = (...changed) => page.evaluate(async (changes) => {
    const { lineDifference } = await import("/console/pages/editor.js");
    const lines = Array.from({ length: 16_000 }, (_, index) => `line ${index}`);
    const after = lines.map((line, index) => (changes.includes(index) ? "changed" : line));
    return [...lineDifference(lines.join("\n"), after.join("\n")).children].map((line) => line.textContent[0]).join("");
  }, changed);
  assert.equal(await marks(8000), "  -+  ");
  assert.equal(await marks(8000, 8002), "  -+ -+  ");
  assert.equal(await marks(0, 15_999), "-".repeat(16_000) + "+".repeat(16_000), "too far apart: all is replaced");
});

consoleTest("the console speaks Chinese, and remembers it", {}, async (page) => {
  await page.locator("#send-thing1").waitFor();
  await page.locator("#language").click();
  await page.getByRole("tab", { name: "故障" }).waitFor();
  await page.reload();
  await page.getByRole("tab", { name: "诊断" }).click();
  await page.locator("#examine", { hasText: "开始检查" }).click();
  await page.locator(".verdict", { hasText: "一切正常" }).waitFor();
  await page.locator(".checks", { hasText: "回调地址的主机" }).waitFor();
  await picture(page, "chinese");
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
});

consoleTest("a Chinese browser gets Chinese", { locale: "zh-CN" }, async (page) => {
  await page.getByRole("tab", { name: "发送" }).waitFor();
});

consoleTest("everything fits a phone's screen", { viewport: { width: 375, height: 667 }, colorScheme: "dark" }, async (page) => {
  const fits = async () => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  await page.locator("#new-follower").click();
  await page.locator(".chat .bubble", { hasText: "欢迎关注" }).waitFor();
  await fits();
  assert.ok(await page.locator("#phone-user").evaluate((field) => field.scrollWidth <= field.clientWidth), "the openid is shown whole");
  await picture(page, "narrow-phone");
  const places = page.locator(".place-bar");
  await places.getByRole("button", { name: "Activity" }).click();
  await page.locator(".event summary").first().click();
  await fits();
  await picture(page, "narrow-activity");
  await places.getByRole("button", { name: "Tools" }).click();
  for (const tool of ["Campaigns", "Rules", "Menu", "Faults", "Doctor", "Send"]) {
    await page.getByRole("tab", { name: tool }).click();
    await fits();
  }
  await send(page);
  await page.locator(".steps .done", { hasText: "Delivered" }).waitFor();
  await fits();
  await picture(page, "narrow-tools");
});

consoleTest("a message can be sent by the keyboard alone", {}, async (page) => {
  await page.locator("#send-thing1").waitFor();
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
  const tabTo = async (wanted) => {
    for (let presses = 0; presses < 60; presses += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate((selector) => document.activeElement.matches(selector), wanted)) return;
    }
    assert.fail(`no Tab leads to ${wanted}, only to ${await focused()}`);
  };
  await tabTo("[role=tab][aria-selected=true]");
  await page.keyboard.press("ArrowRight");
  assert.equal(await focused(), "tab-campaigns");
  await page.keyboard.press("ArrowLeft");
  await tabTo("#send-thing1");
  await page.keyboard.type("键盘发送");
  await tabTo("#send-samples");
  await page.keyboard.press("Enter");
  await tabTo("#panel-send button[type=submit]");
  await page.keyboard.press("Enter");
  await page.locator(".template", { hasText: "键盘发送" }).waitFor();
  await page.locator(".steps .done", { hasText: "Delivered" }).waitFor();
  await page.locator("[aria-label='More to send']").focus();
  await page.keyboard.press("Enter");
  await page.locator(".more-popup").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".more-popup").waitFor({ state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "More to send");
});

realTest("a real account's console asks for the key, and has no phone", "", async ({ page, say, bundle }) => {
  await page.getByLabel(say("api-key")).fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText(say("wrong-key")).waitFor();
  await enterKey(page, bundle);
  await page.getByText(bundle.account.app_id).waitFor();
  assert.equal(await page.locator(".phone").count(), 0);
  await page.getByText(say("activity-empty-real")).waitFor();
  await fetch(`${bundle.url}/webhook?signature=0&timestamp=1&nonce=1`, { method: "POST", body: "<xml></xml>" });
  await page.locator(".event.callback.failed").waitFor();
  await picture(page, "real-account");
  await page.locator("#tab-connect").click();
  const heading = page.getByRole("heading", { name: "openid" });
  assert.ok(!(await heading.isVisible()), "there is no openid yet");
  const [{ openid }] = (await callRun(bundle.platform, "GET", "/console/sim/state")).users;
  await callRun(bundle.platform, "POST", "/console/sim/message", { openid, type: "text", content: "在吗" });
  await heading.waitFor();
});
