// A page that is open while `local` restarts shows the new run.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { openConsole, startBundle } from "./browser.js";
import { callRun, chrome, sayIn } from "./stage.js";

/** A port that is free, and the one after it, which the simulator takes. */
async function freePort() {
  const listen = (port) => new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
  const close = (server) => new Promise((resolve) => server.close(resolve));
  for (;;) {
    const first = await listen(0);
    const { port } = first.address();
    const second = await listen(port + 1).catch(() => null);
    await close(first);
    if (!second) continue;
    await close(second);
    return String(port);
  }
}

for (const locale of ["en-GB", "zh-CN"]) {
  const say = sayIn(locale);
  test(`a page of a run that has restarted shows the new one (${locale})`, { timeout: 120_000 }, async () => {
    const parameters = ["--port", await freePort()];
    let bundle = await startBundle(parameters);
    const restart = async () => {
      await bundle.stop();
      bundle = await startBundle(parameters);
    };
    const { page, context } = await openConsole(chrome().browser, bundle.url, { locale });
    page.setDefaultTimeout(15_000);
    const shows = async () => {
      const { app_secret: secret } = await callRun(bundle, "GET", "/console/sim/account");
      await page.locator(".connection code", { hasText: secret }).waitFor();
      return secret;
    };
    try {
      await page.locator("#tab-connect").click();
      const before = await shows();
      await restart();
      assert.notEqual(await shows(), before);
      assert.ok(!(await page.locator(".connection").innerText()).includes(before), "the dead account's secrets are gone");

      await page.locator("#tab-rules").click();
      await page.waitForFunction(() => document.querySelector("#rules-text").value);
      await page.locator("#panel-rules").getByRole("button", { name: say("example"), exact: true }).click();
      const edited = await page.locator("#rules-text").inputValue();
      await restart();
      const dialog = page.getByRole("dialog", { name: say("restarted-title") });
      await dialog.getByRole("button", { name: say("unsaved-stay") }).click();
      assert.equal(await page.locator("#rules-text").inputValue(), edited);
      await restart();
      await dialog.getByRole("button", { name: say("restarted-reload") }).click();
      await page.waitForFunction((text) => {
        const now = document.querySelector("#rules-text")?.value;
        return now && now !== text;
      }, edited);
      await page.locator("#tab-connect").click();
      await shows();
    } finally {
      await context.close();
      await bundle.stop();
    }
  });
}
