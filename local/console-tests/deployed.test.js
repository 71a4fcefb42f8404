// The console at /console/, as admin serves it in AWS: signing in, and each screen.

import assert from "node:assert/strict";
import { axeFindings, picture, sampleValues } from "./browser.js";
import { callRun, deployedTest, intercept, signIn, tab } from "./stage.js";

/** Makes a key with these scopes. */
async function keyOf(bundle, ...scopes) {
  return (await callRun(bundle, "POST", "/api/keys", { name: scopes.join("-"), scopes })).key;
}

async function sendTo(bundle, touser) {
  const [template] = (await callRun(bundle, "GET", "/api/templates")).templates;
  const answer = await callRun(bundle, "POST", "/api/sendTemplateMessage",
    { touser, template_id: template.template_id, data: sampleValues(template), validate: "warn" });
  assert.ok(answer.msgid, JSON.stringify(answer));
  return answer;
}

/** Looks every 100 ms until `look` finds something, and returns that. */
async function eventually(what, look) {
  for (let looks = 0; looks < 100; looks += 1) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no ${what}`);
}

/** Waits until the record of the message says what became of it. */
function ended(bundle, msgid) {
  return eventually("receipt", async () => {
    const record = await callRun(bundle, "GET", `/api/messages/${msgid}`);
    return record.receipt && record;
  });
}

/** Today's receipts, once `count` are counted: that is written after the record. */
function counted(bundle, count) {
  return eventually("counts", async () => {
    const { days } = await callRun(bundle, "GET", "/api/deliveries");
    const { day, ...counts } = days.at(-1);
    return Object.values(counts).reduce((sum, some) => sum + some, 0) >= count && { day, counts };
  });
}

deployedTest("nothing is shown without a key, and a wrong one is refused", async ({ page, say }) => {
  await page.locator("#api-key").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText(say("wrong-key")).waitFor();
  assert.equal(await page.locator("[role=tab], .token, code").count(), 0);
  assert.deepEqual(await axeFindings(page), []);
  await signIn(page, say);
  assert.equal(await page.locator(".phone").count(), 0, "there is no phone");
  await page.reload();
  await page.locator("#sign-out").click();
  await page.locator("#api-key").waitFor();
  await page.reload();
  await page.locator("#api-key").waitFor();
});

deployedTest("a key sees what its scopes allow, and is signed out when it is refused", async ({ page, bundle, say }) => {
  const key = await keyOf(bundle, "send", "menu");
  await signIn(page, say, key);
  assert.deepEqual(await page.locator("[role=tab]").evaluateAll((tabs) => tabs.map((each) => each.id)), ["tab-messages", "tab-menu"]);
  assert.equal(await page.locator("#signed-in").innerText(), "send-menu");
  // A revoked key is refused within 30 s.
  await page.route("**/api/menu", (route) => route.fulfill({ status: 401, json: {} }));
  await tab(page, "menu");
  await page.getByRole("button", { name: say("sign-in-again") }).click();
  await page.locator("#api-key").waitFor();
});

deployedTest("a key of the relay alone is told that there is nothing for it", async ({ page, bundle, say }) => {
  await signIn(page, say, await keyOf(bundle, "relay"));
  await page.getByText(say("no-screens", "relay")).waitFor();
});

deployedTest("a message is found by msgid, by person and among the day's problems", async ({ page, bundle, say }) => {
  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  const delivered = await sendTo(bundle, openid);
  await ended(bundle, delivered.msgid);
  await callRun(bundle, "POST", "/console/sim/receipts", { status: "failed:user block", times: 1 });
  const blocked = await sendTo(bundle, openid);
  await ended(bundle, blocked.msgid);

  await signIn(page, say);
  await page.locator("#messages-of").fill(openid);
  await page.locator("#messages-find").click();
  await page.locator(`[data-message="${delivered.msgid}"] [data-status=delivered]`).waitFor();
  const row = page.locator(`[data-message="${blocked.msgid}"]`);
  await row.locator("[data-status=blocked]").waitFor();
  await row.getByRole("button").click();
  await page.getByText("failed:user block").waitFor();
  assert.equal(await page.locator(".story .done").count(), 2, "accepted, and its receipt");
  assert.deepEqual(await axeFindings(page), []);
  await picture(page, "deployed-message");
  await page.locator("#message-close").click();

  await page.locator("#messages-by").selectOption("problems");
  await page.locator("#messages-find").click();
  await row.waitFor();
  assert.equal(await page.locator("[data-message]").count(), 1);

  await page.locator("#messages-by").selectOption("msgid");
  await page.locator("#messages-of").fill(delivered.msgid);
  await page.locator("#messages-find").click();
  await page.getByText(`msgid ${delivered.msgid}`).waitFor();
  await page.locator("#message-close").click();
  await page.locator("#messages-of").fill("12345");
  await page.locator("#messages-find").click();
  await page.locator(".result.bad").getByText(say("what-to-do")).waitFor();
});

deployedTest("deliveries are drawn day by day, and a day leads to its problems", async ({ page, bundle, say }) => {
  await signIn(page, say);
  await page.getByText(say("no-deliveries")).waitFor();
  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  await ended(bundle, (await sendTo(bundle, openid)).msgid);
  await callRun(bundle, "POST", "/console/sim/receipts", { status: "failed:user block", times: 1 });
  const blocked = await sendTo(bundle, openid);
  await ended(bundle, blocked.msgid);
  const { day, counts } = await counted(bundle, 2);
  assert.deepEqual(counts, { delivered: 1, blocked: 1, failed: 0 });
  await tab(page, "campaigns");
  await tab(page, "messages");
  const last = page.locator(".chart g").last();
  await last.locator(".of-blocked").waitFor();
  assert.equal(await page.locator(".chart .part.of-delivered").count(), 1, "one day has some");
  assert.equal(await last.locator("title").textContent(), say("day-outcomes", day, 1, 1, 0));
  await last.locator(".of-delivered").click();
  await page.locator(`[data-message="${blocked.msgid}"]`).waitFor();
  await page.locator(".chart summary").click();
  assert.deepEqual(await axeFindings(page), []);
  await page.locator(".chart tbody button", { hasText: day }).click();
  await page.locator(`[data-message="${blocked.msgid}"]`).waitFor();
  assert.equal(await page.locator("[data-message]").count(), 1);
  await picture(page, "deployed-chart");
});

deployedTest("times are Beijing's, or this computer's where its reader says so", async ({ page, bundle, say }) => {
  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  const { msgid } = await sendTo(bundle, openid);
  const { sent_at: sent } = await ended(bundle, msgid);
  await signIn(page, say);
  await page.locator("#messages-of").fill(openid);
  await page.locator("#messages-find").click();
  const hour = (zone) => new Date(sent * 1000).toLocaleTimeString("en-GB", { timeZone: zone });
  const time = page.locator(`[data-message="${msgid}"] .message-name`);
  await time.getByText(hour("Asia/Shanghai")).waitFor();
  await page.locator("#zone").selectOption("own");
  await time.getByText(hour("America/New_York")).waitFor();
  await page.reload();
  assert.equal(await page.locator("#zone").inputValue(), "own");
  // What is entered is in the zone that is shown.
  const chosen = await page.evaluate(async () => (await import("/console/pages/time.js")).epochOf("2027-01-05T09:00"));
  assert.equal(chosen, Date.UTC(2027, 0, 5, 14) / 1000);
  await page.locator("#zone").selectOption("beijing");
  const beijing = await page.evaluate(async () => (await import("/console/pages/time.js")).epochOf("2027-01-05T09:00"));
  assert.equal(beijing, Date.UTC(2027, 0, 5, 1) / 1000);
}, { timezoneId: "America/New_York" });

deployedTest("a key is made, shown once, limited and revoked", async ({ page, bundle, say }) => {
  await signIn(page, say);
  await tab(page, "keys");
  await page.getByText(say("no-keys")).waitFor();
  await page.locator("#key-name").fill("shop");
  await page.locator("#scope-relay").check();
  await page.locator("#key-paths").fill("/cgi-bin/menu\n/cgi-bin/user");
  await page.locator("#key-make").click();
  const key = await page.locator("#new-key").innerText();
  assert.match(key, /^wk_/);
  const row = page.locator(".keys li", { hasText: "shop" });
  await row.getByText("/cgi-bin/menu, /cgi-bin/user").waitFor();
  assert.deepEqual(await axeFindings(page), []);
  const { keys } = await callRun(bundle, "GET", "/api/keys");
  assert.deepEqual(keys.map(({ name, scopes, paths }) => ({ name, scopes, paths })),
    [{ name: "shop", scopes: ["relay"], paths: ["/cgi-bin/menu", "/cgi-bin/user"] }]);
  const revoke = row.getByRole("button");
  await revoke.click();
  await revoke.click();
  await page.getByText(say("no-keys")).waitFor();
});

deployedTest("each other screen shows what the bundle has", async ({ page, bundle, say }) => {
  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  await callRun(bundle, "POST", "/api/users", { users: [{ user: "u-1", openid }] });
  await callRun(bundle, "PUT", "/api/replies", { subscribe: { type: "text", content: "欢迎" } });
  await signIn(page, say);
  await tab(page, "users");
  await page.locator("[data-user=u-1]").waitFor();
  await tab(page, "rules");
  await page.waitForFunction(() => document.querySelector("#rules-text")?.value.includes("欢迎"));
  await tab(page, "menu");
  await page.locator("#panel-menu .version, #panel-menu [data-exists]").first().waitFor();
  await tab(page, "own-code");
  await page.locator("#panel-own-code .empty", { hasText: say("no-forwards") }).first().waitFor();
  await tab(page, "campaigns");
  await page.getByText(say("no-campaigns")).waitFor();
  await tab(page, "doctor");
  await page.locator("#examine").click();
  await page.locator(".verdict").waitFor();
  await picture(page, "deployed-doctor");
  await page.locator(".token .number").waitFor();
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [320, 1440]) {
    deployedTest(`axe finds nothing on any screen (${colorScheme}, ${width} px)`, async ({ page, say }) => {
      await signIn(page, say);
      const names = await page.locator("[role=tab]").evaluateAll((tabs) => tabs.map((each) => each.id.slice("tab-".length)));
      assert.equal(names.length, 8);
      for (const name of names) {
        await tab(page, name);
        await page.locator(`#panel-${name} h2`).first().waitFor({ state: "attached" });
        assert.deepEqual(await axeFindings(page), [], name);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `${name} is too wide`);
      }
    }, { colorScheme, viewport: { width, height: 900 } });
  }
}

deployedTest("what is stored is never replaced unseen: before it is read, nothing can be written", async ({ page, bundle, say }) => {
  await callRun(bundle, "PUT", "/api/replies", { subscribe: { type: "text", content: "欢迎" } });
  let answer;
  const held = new Promise((resolve) => { answer = resolve; });
  await page.route("**/api/replies", async (route) => {
    await held;
    await route.continue();
  });
  await signIn(page, say);
  await tab(page, "rules");
  assert.ok(await page.locator(".editor").evaluate((editor) => editor.inert));
  answer();
  await page.waitForFunction(() => document.querySelector("#rules-text").value.includes("欢迎"));
  await page.locator("#rules-text").fill("{}");
  await tab(page, "rules");
  assert.equal(await page.locator("#rules-text").inputValue(), "{}", "another look keeps what is being written");
});

deployedTest("a lost connection, and an answer with only a message, are told in words", async ({ page, bundle, say }) => {
  await page.evaluate(() => {
    const { fetch } = window;
    window.fetch = async () => {
      window.fetch = fetch;
      throw new TypeError("Failed to fetch");
    };
  });
  await page.locator("#api-key").fill("local");
  await page.keyboard.press("Enter");
  await page.getByText(say("no-connection", "Failed to fetch")).waitFor();
  await callRun(bundle, "PUT", "/api/users?user=u-1", { openid: "o-1" });
  await signIn(page, say);
  await tab(page, "users");
  await page.route("**/api/users?user=u-1", (route) => route.fulfill({ status: 429, json: { message: "Too Many Requests" } }));
  const unbind = page.locator("[data-user=u-1] button");
  await unbind.click();
  await page.locator("[data-user=u-1] button.sure:not([aria-disabled])").click();
  await page.locator(".toast.bad").getByText("Too Many Requests", { exact: true }).waitFor();
});

deployedTest("a screen that cannot be loaded says so", async ({ page, say }) => {
  const mend = await intercept(page, "**/keys.js", (route) => route.fulfill({ status: 503, body: "" }));
  await signIn(page, say);
  await tab(page, "keys");
  await page.getByText(say("not-loaded")).waitFor();
  mend();
  await page.getByRole("button", { name: say("try-again") }).click();
  await page.locator("#key-name").waitFor();
});
