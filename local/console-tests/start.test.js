// What a new user stumbles over: each in English and in Chinese.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { bilingualTest, callRun, enterKey, intercept, realTest, saveRules, send, userWrites } from "./stage.js";

bilingualTest("a refused delivery is shown as refused, and found under the failures", async (page, say) => {
  await page.locator("#send-thing1").waitFor();
  await page.getByRole("checkbox", { name: say("refuses-templates") }).check();
  await send(page);
  const receipt = page.locator(".event.failed", { hasText: "templatesendjobfinish" });
  await receipt.locator(".pill.bad", { hasText: say("status-blocked") }).waitFor();
  await page.locator("[data-filter=failures]").click();
  assert.equal(await page.locator(".events > li").count(), 1);
  await receipt.waitFor();
  await page.locator("[data-filter=all]").click();
  await page.getByRole("searchbox").fill(say("status-blocked"));
  await page.waitForFunction(() => document.querySelectorAll(".events > li").length === 1);
  await receipt.waitFor();
});

bilingualTest("a message without a rule says so on the phone and in the row, and leads to a rule", async (page, say) => {
  await userWrites(page, "你好");
  await page.locator(".chat .note", { hasText: say("no-rule-matched") }).waitFor();
  const row = page.locator(".event", { hasText: "你好" });
  await row.locator("summary .no-rule", { hasText: say("no-rule-matched") }).waitFor();
  await row.locator("summary").click();
  await row.locator(".event-body .add-rule").waitFor();
  await page.locator(".chat .add-rule").click();
  const reply = page.locator(".keyword-rules textarea");
  await reply.waitFor();
  assert.equal(await page.locator(".keyword-rules input").inputValue(), "你好");
  assert.ok(await reply.evaluate((element) => element === document.activeElement), "the reply has the focus");
  await page.keyboard.type("你也好");
  await page.locator("#rules-save").click();
  await page.getByText(say("rules-saved", 1)).waitFor();
  await userWrites(page, "你好吗");
  await page.locator(".from-account .bubble", { hasText: "你也好" }).waitFor();
});

bilingualTest("a fault is shown in the header, and nothing stays dead when it is ended there", async (page, say, bundle) => {
  await page.locator("#send-thing1").waitFor();
  await page.locator("#tab-platform").click();
  await page.locator("[data-fault=whitelist]").click();
  await page.locator(".fault-bar", { hasText: say("fault-in-force") }).getByText("40164").waitFor();
  await page.locator(".token.dead").waitFor();
  await page.locator("#end-faults").click();
  await page.locator(".fault-bar").waitFor({ state: "hidden" });
  await page.locator(".token:not(.dead)").waitFor();

  await page.locator("[data-fault=quota]").click();
  await page.locator(".fault-bar", { hasText: "45009" }).waitFor();
  await send(page);
  await page.locator("#panel-send .result.bad", { hasText: "45009" }).waitFor();
  await page.locator(".fault-bar").waitFor({ state: "hidden" });

  // Templates that could not be read during a fault appear when it ends.
  await callRun(bundle, "POST", "/console/sim/faults", { path: "/cgi-bin/template/*", errcode: 48001, times: 100 });
  const mend = await intercept(page, "**/api/templates", (route) => route.fulfill({ status: 502, json: { detail: "not now" } }));
  await page.reload();
  await page.locator("#panel-send .result.bad", { hasText: "not now" }).waitFor();
  mend();
  await page.locator("#end-faults").click();
  await page.locator("#send-thing1").waitFor();
});

bilingualTest("no result outlives its question, and nothing is delivered before it is accepted", async (page, say, bundle) => {
  await page.locator("#send-thing1").waitFor();
  await page.route("**/api/messages/**", (route) => route.fulfill({ status: 503, json: {} }));
  await send(page);
  const steps = page.locator(".steps li");
  await steps.nth(1).getByText(say("status-awaited")).waitFor();
  assert.equal(await page.getByText(say("status-delivered"), { exact: true }).count(), 0);
  let answer;
  const held = new Promise((resolve) => { answer = resolve; });
  await page.route("**/api/sendTemplateMessage", async (route) => {
    await held;
    await route.continue();
  });
  await send(page);
  await page.locator("#panel-send button[type=submit][aria-busy]").waitFor();
  assert.equal(await steps.count(), 0, "the earlier result is gone");
  answer();
  await steps.nth(1).waitFor();

  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  await page.route("**/console/sim/state", (route) => route.fulfill({ status: 503, json: {} }));
  await callRun(bundle, "POST", "/console/sim/unfollow", { openid });
  await userWrites(page, "还在吗");
  await page.locator(".toast.bad").waitFor();
  await page.locator(".from-user").waitFor({ state: "detached" });
});

bilingualTest("unsaved changes are asked about and can be undone", async (page, say) => {
  for (const [tool, other] of [["rules", "menu"], ["menu", "rules"]]) {
    await page.locator(`#tab-${tool}`).click();
    const area = page.locator(`#${tool}-text`);
    await page.waitForFunction((id) => document.getElementById(id).value, `${tool}-text`);
    const before = await area.inputValue();
    await page.locator(`#panel-${tool}`).getByRole("button", { name: say("example"), exact: true }).click();
    const edited = await area.inputValue();
    assert.notEqual(edited, before);
    assert.equal(await page.locator(`#panel-${tool} .numbers`).innerText(), edited.split("\n").map((_, at) => at + 1).join("\n"));
    await page.locator(`#panel-${tool}`).getByRole("button", { name: say("undo") }).click();
    assert.equal(await area.inputValue(), before);
    await page.locator(`#panel-${tool}`).getByRole("button", { name: say("redo") }).click();
    assert.equal(await area.inputValue(), edited);

    await page.locator(`#tab-${other}`).click();
    await page.getByRole("dialog", { name: say("unsaved-title") }).getByRole("button", { name: say("unsaved-stay") }).click();
    await page.locator(`#tab-${tool}[aria-selected=true]`).waitFor();
    await page.locator(`#tab-${other}`).click();
    await page.getByRole("button", { name: say("unsaved-keep") }).click();
    await page.locator(`#tab-${other}[aria-selected=true]`).waitFor();
    await page.locator(`#tab-${tool}`).click();
    assert.equal(await area.inputValue(), edited, "the draft is kept");
    await page.locator(`#panel-${tool}`).getByRole("button", { name: say("reload") }).click();
    await page.getByRole("button", { name: say("unsaved-discard") }).click();
    await page.waitForFunction(([id, text]) => document.getElementById(id).value === text, [`${tool}-text`, before]);
  }
});

bilingualTest("a typing error is named with its line", async (page, say) => {
  await page.locator("#tab-rules").click();
  await page.waitForFunction(() => document.querySelector("#rules-text").value);
  await page.locator("#rules-text").fill("{\n\"default\": “x”\n}\n\n");
  await page.locator("#rules-save").click();
  await page.locator("#panel-rules .faults strong").getByText(say("line", 2), { exact: true }).waitFor();
  await page.locator("#panel-rules .faults button").click();
  assert.equal(await page.evaluate(() => {
    const { value, selectionStart, selectionEnd } = document.querySelector("#rules-text");
    return value.slice(selectionStart, selectionEnd);
  }), "“");
});

bilingualTest("trying a rule says what it tries", async (page, say) => {
  await saveRules(page, { keywords: [{ match: "exact", value: "a", reply: { type: "text", content: "saved" } }] });
  await page.getByText(say("rules-saved", 1)).waitFor();
  await page.getByText(say("tries"), { exact: true }).waitFor();
  await page.locator(".keyword-rules textarea").fill("edited");
  await page.getByText(say("tries-stored")).waitFor();
  await page.locator(".try input").fill("a");
  await page.locator(".try button").click();
  await page.locator(".tried pre", { hasText: "saved" }).waitFor();
});

bilingualTest("keyword rules are edited in a form", async (page, say, bundle) => {
  await page.locator("#tab-rules").click();
  await page.locator("#panel-rules .version").waitFor();
  await page.waitForFunction(() => document.querySelector("#rules-text").value);
  await page.locator("#add-keyword").click();
  await page.locator(".keyword-rules select").selectOption({ label: say("match-prefix") });
  await page.locator(".keyword-rules input").fill("查");
  await page.locator(".keyword-rules textarea").fill("第一行\n第二行");
  await page.locator("#add-keyword").click();
  await page.getByRole("button", { name: say("delete-rule", 2) }).click();
  await page.locator("#rules-save").click();
  await page.getByText(say("rules-saved", 1)).waitFor();
  const { keywords } = await callRun(bundle, "GET", "/api/replies");
  assert.deepEqual(keywords, [{ match: "prefix", value: "查", reply: { type: "text", content: "第一行\n第二行" } }]);
  await page.locator("#rules-text").fill("{");
  assert.ok(await page.locator("#add-keyword").isDisabled(), "a form cannot change what is not JSON");
});

bilingualTest("the menu is edited in a form", async (page, say) => {
  await page.locator("#tab-menu").click();
  const panel = page.locator("#panel-menu");
  await panel.getByText(say("no-menu")).waitFor();
  await panel.locator("[data-add=top]").click();
  await panel.getByLabel(say("button-name")).fill("帮助");
  await panel.getByLabel(say("button-key")).fill("HELP");
  await panel.locator("[data-add=top]").click();
  const second = panel.locator("[data-path='1']");
  await second.getByLabel(say("button-name")).fill("更多");
  await second.getByLabel(say("button-kind")).selectOption("sub");
  await panel.locator("[data-add='1']").click();
  const below = panel.locator("[data-path='1,0']");
  await below.getByLabel(say("button-kind")).selectOption("view");
  await below.getByLabel(say("button-name")).fill("官网");
  await below.getByLabel(say("button-url")).fill("https://example.com/");
  assert.deepEqual(JSON.parse(await page.locator("#menu-text").inputValue()), { button: [
    { type: "click", name: "帮助", key: "HELP" },
    { name: "更多", sub_button: [{ type: "view", name: "官网", url: "https://example.com/" }] },
  ] });
  await page.locator("#menu-publish").click();
  await panel.getByText(say("menu-is-published")).waitFor();
  await page.locator(".menu-bar").getByRole("button", { name: "更多" }).click();
  await page.getByRole("menuitem", { name: "官网" }).waitFor();
  await panel.getByRole("button", { name: say("delete-button", "帮助") }).click();
  assert.equal(await panel.locator(".form-rows > li").count(), 2);
});

bilingualTest("what other programs need is copied with a click", async (page, say, bundle) => {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const account = await callRun(bundle, "GET", "/console/sim/account");
  await page.locator("#tab-connect").click();
  for (const [name, value] of [
    [say("webhook-url"), `${bundle.url}/webhook`], [say("api-address"), `${bundle.url}/api`], [say("api-key"), "local"],
    ["AppID", account.app_id], ["Token", account.token], ["EncodingAESKey", account.encoding_aes_key],
  ]) {
    await page.getByRole("button", { name: say("copy-what", name), exact: true }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), value, name);
  }
  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  await page.locator(".openids li", { hasText: openid }).getByRole("button").click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), openid);
});

bilingualTest("callbacks are pushed to another address, and back here", async (page, say) => {
  const seen = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    seen.push(request.method);
    response.end(url.searchParams.get("echostr") ?? "success");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await page.locator("#tab-connect").click();
    await page.locator("#callback-url").fill("ftp://127.0.0.1/");
    await page.locator("#push-there").click();
    await page.locator("#panel-connect .result.bad").waitFor();
    await page.locator("#callback-url").fill(`http://127.0.0.1:${server.address().port}/wx`);
    await page.locator("#push-there").click();
    await page.getByText(say("push-works")).waitFor();
    await page.locator(".connection", { hasText: "/wx" }).waitFor();
    await page.locator("#new-follower").click();
    await page.getByText(say("did-follow")).waitFor();
    assert.deepEqual(seen, ["GET", "POST"]);
    await page.locator("#push-here").click();
    await page.getByText(say("push-works")).waitFor();
    await page.locator("#new-follower").click();
    await page.locator(".chat .bubble", { hasText: "欢迎关注" }).waitFor();
    assert.equal(seen.length, 2);
  } finally {
    server.close();
  }
});

bilingualTest("a send is shown as code in five languages", async (page) => {
  await page.locator("#send-thing1").fill("it's \"quoted\" \\ here");
  await send(page);
  await page.locator(".snippets").waitFor();
  const parts = { curl: "curl -s", axios: "axios.post(", php: "curl_init(", java: "HttpRequest.newBuilder(", python: "requests.post(" };
  for (const [name, part] of Object.entries(parts)) {
    await page.locator(`#tab-code-${name}`).click();
    const code = await page.locator(`#panel-code-${name} pre`).innerText();
    assert.ok(code.includes(part) && code.includes("Bearer local"), code);
    if (name !== "python") continue;
    const parsed = spawnSync("python3", ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], { input: code, encoding: "utf8" });
    assert.equal(parsed.status, 0, parsed.stderr);
  }
});

bilingualTest("the common errcodes, and any other, are injected with a click", async (page, say) => {
  await page.locator("#send-thing1").waitFor();
  const inject = async (errcode, order) => {
    await page.locator("#tab-platform").click();
    await order();
    await page.locator(".active-faults", { hasText: errcode }).waitFor();
    await send(page);
    await page.locator("#panel-send .result.bad .facts", { hasText: errcode }).waitFor();
    await page.locator(".fault-bar").waitFor({ state: "hidden" });
  };
  for (const [name, errcode] of [["bad-value", "47003"], ["left", "43004"], ["no-right", "48001"]]) {
    await inject(errcode, () => page.locator(`[data-fault=${name}]`).click());
  }
  await inject("45047", async () => {
    await page.getByLabel(say("fault-code")).fill("45047");
    await page.locator("#fault-code-order").click();
  });
  // The bundle retries once after -1, so one fault is not enough.
  await page.locator("#tab-platform").click();
  await page.locator("#fault-times").fill("9");
  await page.locator("[data-fault=busy]").click();
  await page.locator(".active-faults", { hasText: "-1" }).waitFor();
});

bilingualTest("an event is replayed, and copied as curl that works", async (page, say) => {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await userWrites(page, "it's 你好");
  const rows = page.locator(".event.callback", { hasText: "it's" });
  await rows.locator("summary").click();
  await rows.getByRole("button", { name: say("replay") }).click();
  await rows.nth(1).waitFor();
  await rows.last().getByRole("button", { name: say("copy-curl") }).click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const ran = spawnSync("bash", ["-c", command], { encoding: "utf8" });
  assert.equal(JSON.parse(ran.stdout).deliveries, 1, `${command}\n${ran.stdout}${ran.stderr}`);
  await rows.nth(2).waitFor();

  await send(page);
  const api = page.locator(".event.api", { hasText: "sendTemplateMessage" });
  await api.locator("summary").click();
  await api.getByRole("button", { name: say("replay") }).click();
  await api.nth(1).waitFor();
});

bilingualTest("the doctor tells one cause once, and when a callback was accepted", async (page, say) => {
  await userWrites(page, "你好");
  await page.locator(".event.callback").first().waitFor();
  await page.locator("#tab-platform").click();
  await page.locator("[data-fault=whitelist]").click();
  await page.locator("#end-faults").waitFor();
  await page.locator("#tab-doctor").click();
  await page.locator("#examine").click();
  await page.locator(".verdict", { hasText: say("unhealthy", 1) }).waitFor();
  assert.equal(await page.locator(".checks .bad").count(), 1, "one cause, whatever it breaks");
  assert.match(await page.locator(".checks").innerText(), say("save") === "Save" ? /a callback was accepted \d+ s ago/ : /最近一次接受回调是在 \d+ 秒前/);
});

bilingualTest("rows, menus and the way past the header go by the keyboard", async (page, say) => {
  await page.locator("#new-follower").click();
  await page.locator(".chat .bubble").first().waitFor();
  await userWrites(page, "你好");
  await page.locator(".event", { hasText: "你好" }).waitFor();
  assert.equal(await page.locator(".event > summary[tabindex='0']").count(), 1, "one stop");
  await page.locator(".event > summary[tabindex='0']").focus();
  const focused = () => page.evaluate(() => (
    [...document.querySelectorAll(".event > summary")].indexOf(document.activeElement)));
  await page.keyboard.press("Home");
  assert.equal(await focused(), 0);
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(), 1);
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  assert.equal(await focused(), await page.locator(".event").count() - 1);

  await page.getByRole("button", { name: say("more"), exact: true }).focus();
  await page.keyboard.press("ArrowDown");
  const text = () => page.evaluate(() => document.activeElement.textContent);
  assert.equal(await text(), say("an-image"));
  await page.keyboard.press("End");
  assert.equal(await text(), say("a-scan"));
  await page.keyboard.press("ArrowDown");
  assert.equal(await text(), say("an-image"));
  await page.keyboard.press("Escape");

  await page.reload();
  await page.locator("#send-thing1").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await text(), say("skip"));
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
});

realTest("sending to a real person asks first", "", async ({ page, say, bundle }) => {
  const sent = [];
  page.on("request", (request) => request.url().endsWith("/api/sendTemplateMessage") && sent.push(request));
  await enterKey(page, bundle);
  await page.locator("#send-thing1").waitFor();
  await page.locator("#send-touser").fill("odhkK64I1uXqoUQjt7QYx4O0yUvs");
  const submit = page.locator("#panel-send button[type=submit]");
  await submit.click();
  const dialog = page.getByRole("dialog", { name: say("send-really-title") });
  await dialog.getByText("odhkK64I1uXqoUQjt7QYx4O0yUvs").waitFor();
  await dialog.getByRole("button", { name: say("cancel") }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal(sent.length, 0);
  await submit.click();
  await Promise.all([page.waitForRequest(/sendTemplateMessage/), dialog.locator(".primary").click()]);
  assert.equal(sent.length, 1);

  const row = page.locator(".event.api", { hasText: "sendTemplateMessage" });
  await row.locator("summary").click();
  await row.getByRole("button", { name: say("replay") }).click();
  await page.getByRole("dialog").getByRole("button", { name: say("cancel") }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(sent.length, 1, "a replay asks too");
});
