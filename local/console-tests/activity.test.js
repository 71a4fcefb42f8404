// The activity keeps what happened although the console reads meanwhile, and repeats only the events that it holds in full.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { bilingualTest, callRun, consoleTest } from "./stage.js";

/** Calls the API so many times, as a program or as the console's own read. */
async function readReplies(bundle, times, headers = {}) {
  for (let done = 0; done < times; done += 10) {
    await Promise.all(Array.from({ length: 10 }, () => (
      fetch(`${bundle.url}/api/replies`, { headers: { authorization: "Bearer local", ...headers } }))));
  }
}

consoleTest("the console's own reads push no event out, and cause no others", {}, async (page, bundle) => {
  await page.locator("#send-thing1").waitFor();
  await callRun(bundle, "POST", "/console/sim/follow", {});
  const callback = page.locator(".event", { hasText: "event.subscribe" });
  await callback.waitFor();
  await page.getByRole("checkbox", { name: "Console's own reads" }).check();
  // Everything that the callback has caused is over by then.
  await sleep(1000);
  let states = 0;
  page.on("request", (request) => { states += request.url().endsWith("/console/sim/state"); });
  await readReplies(bundle, 450, { "x-console-read": "1" });
  const reads = page.locator(".event.api", { hasText: "GET /api/replies" });
  await reads.nth(49).waitFor();
  await sleep(500);
  assert.deepEqual([await reads.count(), await callback.count(), states], [50, 1, 0]);
  await page.reload();
  await callback.waitFor();
});

bilingualTest("a long pause keeps the newest, and counts all", async (page, say, bundle) => {
  await page.locator("#send-thing1").waitFor();
  await page.getByRole("button", { name: say("pause") }).click();
  await readReplies(bundle, 410);
  await page.getByText(say("held-cut", 410, 400)).click();
  await page.locator(".events > li").nth(399).waitFor();
  assert.equal(await page.locator(".events > li").count(), 400);
});

bilingualTest("what is replayed is what was sent, and what is masked is not offered", async (page, say, bundle) => {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.locator("#send-thing1").waitFor();
  const open = async (text) => {
    const row = page.locator(".event.api", { hasText: text }).last();
    await row.locator("summary").click();
    await row.locator(".event-body").waitFor();
    return row;
  };
  const csv = "touser\no-1\n";
  const parameters = `part=1&note=${encodeURIComponent("a&b=c")}`;
  await fetch(`${bundle.url}/api/campaigns/none/recipients?${parameters}`, {
    method: "POST", headers: { authorization: "Bearer local", "content-type": "text/csv" }, body: csv,
  });
  const part = await open("POST /api/campaigns/none/recipients");
  await part.getByRole("button", { name: say("copy-curl") }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /-H 'content-type: text\/csv'/);
  const [replayed] = await Promise.all([
    page.waitForRequest(/recipients/), part.getByRole("button", { name: say("replay") }).click(),
  ]);
  assert.deepEqual([replayed.headers()["content-type"], replayed.postData()], ["text/csv", csv]);
  assert.ok(replayed.url().endsWith(`?${parameters}`), replayed.url());

  await callRun(bundle, "POST", "/api/sendTemplateMessage", { touser: "o-1", template_id: "T", data: { code: "4711" } });
  const masked = await open("POST /api/sendTemplateMessage");
  await masked.locator("pre", { hasText: "\"code\": \"…\"" }).waitFor();
  for (const name of ["replay", "copy-curl"]) assert.equal(await masked.getByRole("button", { name: say(name) }).count(), 0, name);
});

bilingualTest("every fault in force has a name", async (page, say, bundle) => {
  await page.locator("#send-thing1").waitFor();
  const path = "/cgi-bin/menu/get";
  for (const fault of [{ truncated: true }, { content_type: "text/x-odd" }, { errcode: 0 }, { delay_ms: 1500 }]) {
    await callRun(bundle, "POST", "/console/sim/faults", { path, ...fault });
  }
  await readReplies(bundle, 10);
  const bar = page.locator(".fault-bar");
  await bar.getByText("1.5 s").waitFor();
  const text = await bar.innerText();
  for (const part of [say("fault-truncated"), "text/x-odd", `0 ${say("times", 1)}`]) assert.ok(text.includes(part), text);
  assert.ok(!text.includes("NaN"), text);
});

consoleTest("the platform's state is read once at a time, and again when something happened meanwhile", {}, async (page, bundle) => {
  await page.locator("#send-thing1").waitFor();
  let running = 0;
  let most = 0;
  await page.route("**/console/sim/state", async (route) => {
    running += 1;
    most = Math.max(most, running);
    const response = await route.fetch();
    await sleep(300);
    running -= 1;
    await route.fulfill({ response });
  });
  for (let times = 0; times < 5; times += 1) {
    await callRun(bundle, "POST", "/console/sim/follow", {});
    await sleep(150);
  }
  const { users } = await callRun(bundle, "GET", "/console/sim/state");
  await page.locator("#followers option").nth(users.length - 1).waitFor({ state: "attached" });
  assert.equal(most, 1);
  await page.unrouteAll({ behavior: "wait" });
});

consoleTest("a read that never ends does not keep the page from the next one", {}, async (page, bundle) => {
  await page.evaluate(() => {
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 100);
  });
  let hung = 0;
  await page.route("**/console/sim/state", (route) => {
    hung += 1;
    return hung === 1 ? null : route.continue();
  });
  const asked = page.waitForRequest("**/console/sim/state");
  const { openid } = await callRun(bundle, "POST", "/console/sim/follow", {});
  await asked;
  const { openid: later } = await callRun(bundle, "POST", "/console/sim/follow", {});
  for (const each of [openid, later]) await page.locator(`#followers option[value=${each}]`).waitFor({ state: "attached" });
});
