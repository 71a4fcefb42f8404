// What a newcomer relies on in the forms: a slip sends nothing, nothing is cut or lost unseen, and a refusal is in the console's words.

import assert from "node:assert/strict";
import { axeFindings, sampleValues } from "./browser.js";
import { bilingualTest, callRun, deployedTest, intercept, signIn, tab } from "./stage.js";

/** Milliseconds in which a question takes no answer. */
const UNREAD = 700;

async function follow(bundle, count) {
  return (await callRun(bundle, "POST", "/console/sim/followers", { count })).openids;
}

/** Makes a campaign without recipients by the API. */
async function makeCampaign(bundle, members) {
  const [template] = (await callRun(bundle, "GET", "/api/templates")).templates;
  return callRun(bundle, "POST", "/api/campaigns", { name: "通知", audience: "list", template_id: template.template_id, data: sampleValues(template), validate: "warn", ...members });
}

async function fillMessage(page) {
  for (const input of await page.locator("#new-message .fields input[name][placeholder]").all()) {
    await input.fill(await input.getAttribute("placeholder"));
  }
}

deployedTest("a double click asks, and the question names how many people get the message", async ({ page, say, bundle }) => {
  const { id } = await makeCampaign(bundle, { start_at: Math.floor(Date.now() / 1000) + 86_400 });
  const openids = await follow(bundle, 3);
  await callRun(bundle, "POST", `/api/campaigns/${id}/recipients`, { part: "1", recipients: openids });
  await page.goto(`${bundle.url}/console/#campaigns/${id}`);
  await signIn(page, say);
  await page.locator("#dry-run").click();
  const start = page.locator("#campaign-start");
  await start.dblclick();
  await start.getByText(say("start-sure", 3)).waitFor();
  await page.waitForTimeout(2 * UNREAD);
  assert.equal((await callRun(bundle, "GET", `/api/campaigns/${id}`)).state, "draft");
  await start.click();
  await page.locator(".campaign-status [data-state]:not([data-state=draft])").waitFor();
});

deployedTest("a draft and its preview say when, how fast and with which trial it goes", async ({ page, say, bundle }) => {
  await follow(bundle, 1);
  const start = Math.floor(Date.now() / 1000) + 86_400;
  const { id } = await makeCampaign(bundle, { pace: 7, canary: { count: 20, wait: 90 }, start_at: start });
  await page.goto(`${bundle.url}/console/#campaigns/${id}`);
  await signIn(page, say);
  await page.locator("#dry-run").click();
  for (const place of [".campaign-status", "#dry-run-result"]) {
    const facts = page.locator(`${place} .facts`);
    await facts.getByText(new Date(start * 1000).toLocaleTimeString("en-GB", { timeZone: "Asia/Shanghai" })).waitFor();
    await facts.getByText(say("canary-plan", 20, 90)).waitFor();
    await facts.getByText("7", { exact: true }).waitFor();
  }
  assert.deepEqual(await axeFindings(page), []);
});

deployedTest("a campaign that nobody gets cannot be started", async ({ page, say, bundle }) => {
  const { id } = await makeCampaign(bundle, {});
  await page.goto(`${bundle.url}/console/#campaigns/${id}`);
  await signIn(page, say);
  await page.locator("#dry-run").click();
  await page.getByText(say("nobody-yet")).waitFor();
  assert.equal(await page.locator("#campaign-start").count(), 0);
});

deployedTest("the form of a campaign holds no samples, is empty after a draft, and is filled by a copy", async ({ page, say, bundle }) => {
  await signIn(page, say);
  await tab(page, "campaigns");
  await page.locator("#new-campaign > summary").click();
  const thing = page.locator("#campaign-data-thing1");
  await thing.waitFor();
  assert.equal(await thing.inputValue(), "");
  assert.notEqual(await thing.getAttribute("placeholder"), "");
  await page.locator("#campaign-name").fill("停水");
  await page.locator("#campaign-data-time2").fill("10:00");
  await page.locator("#campaign-url").fill("https://example.com/");
  await page.locator("#campaign-pace").fill("7");
  await page.locator("#new-campaign .more-fields summary").click();
  await page.locator("#campaign-canary-count").fill("20");
  await page.locator("#campaign-miniprogram-appid").fill("wx0123456789abcdef");
  // The API refuses a start in the past.
  const accept = await intercept(page, "**/api/campaigns", (route) => route.fulfill({ status: 400, json: { title: "x", status: 400, field: "start_at", detail: "too late / 太晚" } }));
  await page.locator("#campaign-start_at").fill("2020-01-01T09:00");
  await page.locator("#campaign-make").click();
  await page.locator("#campaign-start_at-fault").getByText(say("save") === "Save" ? "too late" : "太晚").waitFor();
  accept();
  await page.locator("#campaign-start_at").fill("");
  await page.locator("#campaign-make").click();
  await page.locator("[data-action=copy]").waitFor();
  const [{ id }] = (await callRun(bundle, "GET", "/api/campaigns")).campaigns;
  const draft = await callRun(bundle, "GET", `/api/campaigns/${id}`);
  assert.deepEqual(draft.data, { time2: { value: "10:00" } }, "no sample went into the draft");

  await page.locator("#all-campaigns").click();
  await page.locator("#new-campaign > summary").click();
  const held = () => page.evaluate(() => Object.fromEntries([...document.querySelectorAll("#new-campaign input")].map((input) => [input.id.replace("campaign-", ""), input.value])));
  const empty = await held();
  assert.deepEqual([empty.name, empty["data-time2"], empty.url, empty.pace, empty["canary-count"]], ["", "", "", "50", ""]);

  await page.locator(`[data-campaign="${id}"] .campaign-name`).click();
  await page.locator("[data-action=copy]").click();
  await page.getByText(say("campaign-copied")).waitFor();
  const copied = await held();
  assert.deepEqual(
    [copied.name, copied["data-time2"], copied.url, copied.pace, copied["canary-count"], copied["canary-wait"], copied["miniprogram-appid"]],
    [say("copy-of", "停水"), "10:00", "https://example.com/", "7", "20", "300", "wx0123456789abcdef"]);
  await page.locator(`[data-campaign="${id}"] .campaign-name`).click();
  await page.locator("[data-action=copy]").click();
  await page.getByRole("dialog", { name: say("unsaved-title") }).getByRole("button", { name: say("unsaved-stay") }).click();
  assert.equal(await page.evaluate(() => location.hash), `#campaigns/${id}`, "what is in the form is not replaced unasked");
});

deployedTest("pasted openids are told apart, and what looks wrong is named before it is loaded", async ({ page, say, bundle }) => {
  const openids = await follow(bundle, 4);
  const { id } = await makeCampaign(bundle, {});
  await page.goto(`${bundle.url}/console/#campaigns/${id}`);
  await signIn(page, say);
  await page.locator("#load-openids").click();
  await page.getByText(say("load-openids-empty")).waitFor();
  await page.locator("#campaign-openids").fill(`${openids[0]}，${openids[1]}; ${openids[2]}\n"${openids[3]}",张三`);
  await page.locator("#load-openids").click();
  const warning = page.locator("#strange-openids");
  await warning.getByText(say("load-strange", 1, 5)).waitFor();
  assert.deepEqual(await warning.locator("li").allInnerTexts(), ["张三"]);
  assert.deepEqual(await axeFindings(page), []);
  assert.equal((await callRun(bundle, "GET", `/api/campaigns/${id}`)).recipients, 0);
  await page.locator("#campaign-openids").fill(openids.join("；"));
  await page.locator("#load-openids").click();
  await page.locator(".campaign-status", { hasText: say("load-total", 4) }).waitFor();
  await page.locator("#campaign-openids").fill("o-of-another-kind");
  await page.locator("#load-openids").click();
  await page.locator("#load-anyway").click();
  await page.locator(".campaign-status", { hasText: say("load-total", 5) }).waitFor();
});

deployedTest("one message is sent now, and another one is scheduled, listed and cancelled", async ({ page, say, bundle }) => {
  const [openid] = await follow(bundle, 1);
  await signIn(page, say);
  await page.locator("#new-message > summary").click();
  await page.locator("#send-thing1").waitFor();
  await page.locator("#new-message button[type=submit]").click();
  await page.locator("#send-touser-fault").getByText(say("recipient-empty")).waitFor();
  await page.locator("#send-user").fill("u".repeat(129));
  await page.locator("#new-message button[type=submit]").click();
  await page.locator("#send-user-fault").getByText(say("user-id-long", 129, 128)).waitFor();
  await page.locator("#send-user").fill("");
  await page.locator("#send-touser").fill(openid);
  await fillMessage(page);
  const sendIt = async () => {
    await page.locator("#new-message button[type=submit]").click();
    await page.getByRole("dialog", { name: say("send-really-title") }).getByRole("button", { name: say("send"), exact: true }).click();
  };
  await sendIt();
  await page.locator("#new-message .steps .done").nth(1).waitFor();

  await page.locator("#new-message .more-fields summary").click();
  await page.locator("#send-send_at").fill("2020-01-01T09:00");
  await sendIt();
  await page.locator("#send-send_at-fault").waitFor();
  await page.locator("#send-send_at").fill(new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 16));
  await sendIt();
  await page.locator("#scheduled > summary", { hasText: "(1)" }).click();
  const row = page.locator("[data-scheduled]");
  await row.getByText(say("by-key", "root")).waitFor();
  assert.deepEqual(await axeFindings(page), []);
  await row.getByRole("button").click();
  await row.getByRole("button").click();
  await page.locator("#scheduled .empty").waitFor();
  assert.deepEqual((await callRun(bundle, "GET", "/api/scheduled")).messages, []);
});

bilingualTest("on one machine a message is scheduled and cancelled too", async (page, say, bundle) => {
  await page.locator("#send-samples").click();
  await page.locator("#panel-send .form .more-fields summary").click();
  await page.locator("#send-send_at").fill(new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 16));
  await page.locator("#panel-send button[type=submit]").click();
  await page.locator("#scheduled > summary", { hasText: "(1)" }).click();
  const cancel = page.locator("[data-scheduled]").getByRole("button");
  await cancel.click();
  await cancel.click();
  await page.getByText(say("scheduled-cancelled")).waitFor();
  assert.deepEqual((await callRun(bundle, "GET", "/api/scheduled")).messages, []);
});

deployedTest("a key needs a scope, and the form of keys is empty after one was made", async ({ page, say, bundle }) => {
  await signIn(page, say);
  await tab(page, "keys");
  await page.locator("#key-make").click();
  await page.locator("#key-name-fault").getByText(say("key-name-empty")).waitFor();
  await page.locator("#key-name").fill("shop");
  await page.locator("#key-make").click();
  await page.getByText(say("no-scope")).waitFor();
  assert.deepEqual(await axeFindings(page), []);
  await page.locator("#scope-send").check();
  await page.locator("#key-templates").fill("T1，T2\nT3");
  await page.locator("#key-make").click();
  await page.locator("#new-key").waitFor();
  assert.deepEqual((await callRun(bundle, "GET", "/api/keys")).keys[0].templates, ["T1", "T2", "T3"]);
  assert.equal(await page.locator("#key-name").inputValue(), "");
  assert.equal(await page.locator(".scopes input:checked").count(), 0);
  assert.ok(await page.locator("#key-templates").isHidden());
  const revoke = page.locator(".keys li").getByRole("button");
  await revoke.dblclick();
  await page.waitForTimeout(2 * UNREAD);
  assert.equal(await page.locator(".keys [data-key]").count(), 1, "a double click revokes nothing");
});

deployedTest("a user id that is empty or too long is told at the field, and none is cut", async ({ page, say, bundle }) => {
  await signIn(page, say);
  await tab(page, "users");
  const user = page.locator("#bind-user");
  for (const [id, fault] of [["   ", say("user-id-empty")], ["u".repeat(129), say("user-id-long", 129, 128)]]) {
    await user.fill(id);
    await page.locator("#bind-make").click();
    await page.locator("#bind-user-fault").getByText(fault).waitFor();
    assert.equal(await user.inputValue(), id);
  }
  await user.fill("u".repeat(128));
  await page.locator("#bind-make").click();
  await page.locator(".binding").waitFor();
  assert.ok(await page.locator("#bind-user-fault").isHidden());
  assert.deepEqual((await callRun(bundle, "GET", "/api/users")).users, []);
});

deployedTest("a search without a day, or without what to look for, is told in the console's words", async ({ page, say }) => {
  await signIn(page, say);
  await page.locator("#messages-find").click();
  await page.getByText(say("messages-of-empty")).waitFor();
  await page.locator("#messages-by").selectOption("problems");
  await page.locator("#messages-day").fill("");
  await page.locator("#messages-find").click();
  await page.getByText(say("messages-day-empty")).waitFor();
  assert.deepEqual(await axeFindings(page), []);
});

deployedTest("a reload keeps the screen and what is open in it, and Back leads to the one before", async ({ page, say, bundle }) => {
  const { id } = await makeCampaign(bundle, { name: "一" });
  await signIn(page, say);
  await tab(page, "campaigns");
  await page.locator(".campaign-name").click();
  const view = page.getByRole("heading", { name: "一" });
  await view.waitFor();
  assert.equal(await page.evaluate(() => location.hash), `#campaigns/${id}`);
  await page.reload();
  await view.waitFor();
  await tab(page, "menu");
  await page.locator("#panel-menu .version").waitFor();
  await tab(page, "campaigns");
  await view.waitFor();
  await page.goBack();
  await page.locator("#tab-menu[aria-selected=true]").waitFor();
  await page.goBack();
  await view.waitFor();
  await page.goBack();
  await page.locator(`[data-campaign="${id}"]`).waitFor();
  await page.goBack();
  await page.locator("#tab-messages[aria-selected=true]").waitFor();
  assert.equal(new URL(page.url()).hash, "");
  await page.goForward();
  await page.goForward();
  await view.waitFor();
});

deployedTest("Back closes the story of a message, and asks before it leaves what is not saved", async ({ page, say, bundle }) => {
  const [openid] = await follow(bundle, 1);
  const [template] = (await callRun(bundle, "GET", "/api/templates")).templates;
  const { msgid } = await callRun(bundle, "POST", "/api/sendTemplateMessage", { touser: openid, template_id: template.template_id, data: sampleValues(template), validate: "warn" });
  await signIn(page, say);
  await page.locator("#messages-of").fill(openid);
  await page.locator("#messages-find").click();
  await page.locator(`[data-message="${msgid}"] button`).click();
  const story = page.getByRole("heading", { name: `msgid ${msgid}` });
  await story.waitFor();
  await page.goBack();
  await page.locator(`[data-message="${msgid}"]`).waitFor();
  await page.goForward();
  await story.waitFor();
  await page.reload();
  await story.waitFor();

  await tab(page, "rules");
  await page.waitForFunction(() => document.querySelector("#rules-text")?.value);
  await page.locator("#rules-text").fill("{ }");
  await page.goBack();
  await page.getByRole("dialog", { name: say("unsaved-title") }).getByRole("button", { name: say("unsaved-stay") }).click();
  await page.waitForFunction(() => location.hash === "#rules");
  assert.equal(await page.locator("#rules-text").inputValue(), "{ }");
});

deployedTest("the browser asks before input is lost with the page", async ({ page, say, bundle }) => {
  const { id } = await makeCampaign(bundle, {});
  const asked = [];
  page.on("dialog", async (dialog) => {
    asked.push(dialog.type());
    await dialog.accept();
  });
  const reloads = async (expected, what) => {
    await page.reload();
    await page.locator("#sign-out").waitFor();
    assert.deepEqual(asked.splice(0), expected, what);
  };
  await signIn(page, say);
  await tab(page, "campaigns");
  await reloads([], "nothing was entered");
  await page.locator("#new-campaign > summary").click();
  await page.locator("#campaign-name").fill("停水");
  await reloads(["beforeunload"], "a new campaign");
  await page.locator(`[data-campaign="${id}"] .campaign-name`).click();
  await page.locator("#campaign-openids").fill("o1");
  await reloads(["beforeunload"], "pasted openids");
  await tab(page, "keys");
  await page.locator("#scope-send").check();
  await reloads(["beforeunload"], "a key");
  await tab(page, "messages");
  await page.locator("#new-message > summary").click();
  await page.locator("#send-touser").fill("o1");
  await reloads(["beforeunload"], "a message");
});

deployedTest("the greeting and the default reply are texts in a form, and what can be tried has names", async ({ page, say, bundle }) => {
  await callRun(bundle, "PUT", "/api/replies", { default: { type: "image", media_id: "M" }, bound: null,
    keywords: [{ match: "exact", value: "a", reply: { type: "text", content: "b", then: [{ type: "text", content: "c" }] } }] });
  await signIn(page, say);
  await tab(page, "rules");
  const form = page.locator(".set-replies");
  await form.getByText(say("reply-as-json", "image")).waitFor();
  await form.getByLabel(say("reply-subscribe")).fill("欢迎");
  await form.getByLabel(say("reply-bind_failed")).fill("再试一次");
  await page.locator(".keyword-rules textarea").fill("B");
  await page.locator("#rules-save").click();
  await page.getByText(say("rules-saved", 2)).waitFor();
  assert.deepEqual(await callRun(bundle, "GET", "/api/replies"), {
    subscribe: { type: "text", content: "欢迎" }, default: { type: "image", media_id: "M" }, bound: null, bind_failed: { type: "text", content: "再试一次" },
    keywords: [{ match: "exact", value: "a", reply: { type: "text", content: "B", then: [{ type: "text", content: "c" }] } }],
  });
  await form.getByLabel(say("reply-subscribe")).fill("");
  await page.waitForFunction(() => !("subscribe" in JSON.parse(document.querySelector("#rules-text").value)));
  assert.deepEqual(await page.locator(".try option").allInnerTexts(), ["msg-text", "msg-subscribe", "msg-click", "a-scan"].map((name) => say(name)));
  await page.locator("#rules-text").fill("{\n\"a\": x}");
  await page.locator("#rules-save").click();
  await page.locator("#panel-rules .faults").getByText(say("not-json")).waitFor();
  assert.deepEqual(await axeFindings(page), []);
});
