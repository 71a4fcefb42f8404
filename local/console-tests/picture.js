// Takes the documents' screenshots of the console: `.ci/just pictures`, or `node picture.js` in this folder after `cargo build -p local`.

import { fileURLToPath } from "node:url";
import { callRun, openConsole, sampleValues, startBrowser, startBundle } from "./browser.js";

const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
const rules = {
  subscribe: { type: "text", content: "欢迎关注！回复“营业时间”或点下方菜单试试。" },
  keywords: [{ match: "contains", value: "营业时间", reply: { type: "text", content: "每天 9:00-18:00" } }],
};

const chrome = await startBrowser();
for (const [suffix, locale] of [["", "en-GB"], [".zh-CN", "zh-CN"]]) {
  await pictureOfLocalRun(`console${suffix}`, locale);
  await pictureOfDeployedConsole(`console-deployed${suffix}`, locale);
}
await chrome.stop();

async function pictureOfLocalRun(name, locale) {
  const bundle = await startBundle();
  const { page, context } = await openConsole(chrome.browser, bundle.url, { locale, viewport: { width: 1440, height: 880 } });
  await page.locator("#send-thing1").waitFor();
  await page.locator("#tab-menu").click();
  await page.locator("#panel-menu").getByText(/No menu yet|尚无菜单/).waitFor();
  await page.locator("#panel-menu button", { hasText: /Example|示例/ }).click();
  await page.locator("#menu-publish").click();
  await page.locator("#panel-menu .result.good").waitFor();
  await page.locator("#tab-rules").click();
  await page.locator("#panel-rules .version").getByText(/No rules|尚未保存/).waitFor();
  await page.locator("#rules-text").fill(JSON.stringify(rules));
  await page.locator("#rules-save").click();
  await page.locator("#panel-rules .result.good").waitFor();
  await page.locator("#new-follower").click();
  await page.locator(".chat .bubble", { hasText: "欢迎关注" }).waitFor();
  await page.locator(".phone .switch").click();
  await page.locator("#say").fill("你们的营业时间？");
  await page.locator("#say").press("Enter");
  await page.locator(".chat .bubble", { hasText: "9:00" }).waitFor();
  await page.locator(".phone .switch").click();
  await page.locator("#tab-send").click();
  await page.locator("#send-samples").click();
  await page.locator("#panel-send button[type=submit]").click();
  await page.locator(".steps .done").nth(1).waitFor();
  await page.locator(".template").waitFor();
  await page.locator("#kill-token").click();
  await page.locator("#panel-send button[type=submit]").click();
  await page.locator(".token-label", { hasText: "2" }).and(page.locator(":has(b)")).waitFor();
  await page.locator(".steps .done").nth(1).waitFor();
  await page.locator(".event", { hasText: "40001" }).first().locator("summary").click();
  await page.locator(".toast").waitFor({ state: "detached" });
  await page.mouse.move(700, 5);
  await page.evaluate(() => document.activeElement.blur());
  await page.screenshot({ path: `${docs}${name}.png` });
  await context.close();
  await bundle.stop();
}

/** The messages of one person, among others that did not arrive. */
async function pictureOfDeployedConsole(name, locale) {
  const bundle = await startBundle();
  const [{ openid }] = (await callRun(bundle, "GET", "/console/sim/state")).users;
  const [template] = (await callRun(bundle, "GET", "/api/templates")).templates;
  const outcomes = ["success", "success", "failed:user block", "success", "failed: system failed", "success", "success"];
  for (const [index, status] of outcomes.entries()) {
    await callRun(bundle, "POST", "/console/sim/receipts", { status, times: 1 });
    const data = sampleValues(template, `15:0${index}`);
    await callRun(bundle, "POST", "/api/sendTemplateMessage", { touser: openid, template_id: template.template_id, data, validate: "warn" });
  }
  const { page, context } = await openConsole(chrome.browser, `${bundle.url}/console/`, { locale, viewport: { width: 1100, height: 820 } });
  await page.locator("#api-key").fill("local");
  await page.keyboard.press("Enter");
  await page.locator("#messages-of").fill(openid);
  await page.locator("#messages-find").click();
  await page.locator("[data-message]").nth(outcomes.length - 1).waitFor();
  await page.mouse.move(550, 5);
  await page.screenshot({ path: `${docs}${name}.png` });
  await context.close();
  await bundle.stop();
}
