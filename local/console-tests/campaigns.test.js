// Campaigns in the console: a list is loaded, tried, sent and exported; a slow one is paused, resumed and cancelled.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { axeFindings, picture } from "./browser.js";
import { bilingualTest, callRun } from "./stage.js";

/** A campaign's work begins within 60 s of its start. */
const SLOW = { timeout: 75_000 };

/** The openids of new followers. */
async function follow(bundle, number) {
  const openids = [];
  for (let made = 0; made < number; made += 1) {
    openids.push((await callRun(bundle, "POST", "/console/sim/follow", {})).openid);
  }
  return openids;
}

/** Makes a draft with the template's samples as its values, and opens it. */
async function makeDraft(page, name, pace) {
  await page.locator("#tab-campaigns").click();
  await page.locator("#new-campaign > summary").click();
  await page.locator("#campaign-data-thing1").waitFor();
  await page.locator("#campaign-name").fill(name);
  await page.locator("#campaign-pace").fill(String(pace));
  await page.locator("#campaign-samples").click();
  await page.locator("#campaign-make").click();
  await state(page, "draft").waitFor();
}

function state(page, name) {
  return page.locator(`#panel-campaigns .campaign-status [data-state=${name}]`);
}

function action(page, name) {
  return page.locator(`[data-action=${name}]`);
}

async function start(page) {
  await page.locator("#dry-run").click();
  await page.locator("#campaign-start").click();
  await page.locator("#campaign-start.sure").click();
}

async function upload(page, text) {
  await page.locator("#campaign-files").setInputFiles({ name: "会员.csv", mimeType: "text/csv", buffer: Buffer.from(text) });
}

async function looksRight(page, what) {
  assert.deepEqual(await axeFindings(page), [], what);
}

bilingualTest("a campaign reaches everyone of a file, and its results are exported", async (page, say, bundle) => {
  const openids = await follow(bundle, 3);
  await makeDraft(page, "通知 1", 50);
  await looksRight(page, "draft");

  await upload(page, "touser,thing1\n,无人\n");
  await page.locator("#panel-campaigns .result.bad", { hasText: "400" }).waitFor();
  await page.getByText(say("load-line", "会员.csv", 2)).waitFor();
  await page.locator(".campaign-status", { hasText: say("load-total", 0) }).waitFor();
  await page.locator("#campaign-files").setInputFiles({ name: "gbk.csv", mimeType: "text/csv", buffer: Buffer.from([0xbb, 0xe1, 0xd4, 0xb1]) });
  await page.getByText(say("load-not-utf8", "gbk.csv")).waitFor();

  const file = `\ufefftouser,thing1\r\n${openids[0]},"只给你, ""你"""\r\n${openids[1]},\r\n${openids[2]},\r\n`;
  for (const _ of ["once", "and again: nobody is loaded twice"]) {
    await upload(page, file);
    await page.locator(".toast", { hasText: say("load-total", 3) }).waitFor();
    await page.locator(".toast").waitFor({ state: "detached" });
  }
  await page.locator(".campaign-status", { hasText: say("load-total", 3) }).waitFor();

  await page.locator("#dry-run").click();
  const dry = page.locator("#dry-run-result");
  await dry.getByText(openids[0]).waitFor();
  await dry.locator("pre", { hasText: "你" }).waitFor();
  await looksRight(page, "dry run");
  await picture(page, `campaign-dry-run-${say("tab-send")}`);
  await start(page);

  await state(page, "done").waitFor(SLOW);
  await page.locator("[data-total=delivered]", { hasText: "3" }).waitFor();
  for (const other of ["queued", "sent", "blocked", "failed", "refused", "unknown"]) {
    assert.equal(await page.locator(`[data-total=${other}] .number`).innerText(), "0", other);
  }
  const phone = await callRun(bundle, "GET", `/console/sim/phones/${openids[0]}`);
  assert.ok(JSON.stringify(phone).includes("只给"), "the first one gets the own value");

  await page.locator("#campaign-recipients > summary").click();
  await page.locator("#campaign-recipients .users code", { hasText: openids[2] }).waitFor();
  await page.locator("#recipient-state").selectOption("refused");
  await page.locator("#campaign-recipients .empty", { hasText: say("no-recipients") }).waitFor();
  await page.locator("#recipient-state").selectOption("");
  await looksRight(page, "done");
  await picture(page, `campaign-done-${say("tab-send")}`);

  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#export").click()]);
  assert.equal(download.suggestedFilename(), "通知 1.csv");
  const [header, ...rows] = readFileSync(await download.path(), "utf8").replace("\ufeff", "").trim().split(/\r?\n/).map((line) => line.split(","));
  const of = (row, column) => row[header.indexOf(column)];
  assert.deepEqual(rows.map((row) => of(row, "touser")).sort(), [...openids].sort());
  for (const row of rows) {
    assert.equal(of(row, "state"), "delivered");
    assert.match(of(row, "msgid"), /^\d+$/);
  }

  await page.locator("#all-campaigns").click();
  await page.locator("[data-campaign] [data-state=done]").waitFor();
  await page.locator("[data-campaign] button").click();
  await action(page, "delete").click();
  await page.locator("[data-action=delete].sure").click();
  await page.getByText(say("no-campaigns")).waitFor();
});

bilingualTest("a slow campaign is paused, resumed and cancelled", async (page, say, bundle) => {
  const openids = await follow(bundle, 30);
  await makeDraft(page, "慢", 1);
  await page.locator("#campaign-openids").fill(openids.join("\n"));
  await page.locator("#load-openids").click();
  await page.locator(".campaign-status", { hasText: say("load-total", 30) }).waitFor();
  assert.equal(await action(page, "pause").count(), 0, "nothing to pause in a draft");
  await start(page);

  await state(page, "running").waitFor(SLOW);
  await page.locator("#panel-campaigns .facts", { hasText: say("remaining") }).waitFor();
  await action(page, "cancel").waitFor();
  assert.equal(await action(page, "resume").count(), 0);
  await looksRight(page, "running");
  await picture(page, `campaign-running-${say("tab-send")}`);
  await action(page, "pause").click();
  await state(page, "paused").waitFor();
  await action(page, "resume").click();
  await state(page, "paused").waitFor({ state: "detached" });
  await action(page, "cancel").click();
  await page.locator("[data-action=cancel].sure").click();
  await state(page, "cancelled").waitFor();
  await action(page, "delete").waitFor();
  assert.equal(await action(page, "cancel").count(), 0);
  assert.notEqual(await page.locator("[data-total=queued] .number").innerText(), "0", "some got nothing");
});
