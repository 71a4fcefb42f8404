// Takes the documents' screenshots of the console. Run `node picture.js` in this folder after `cargo build -p local`.

import { fileURLToPath } from "node:url";
import { openConsole, startBrowser, startBundle } from "./browser.js";

const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
const rules = {
  subscribe: { type: "text", content: "欢迎关注！回复“营业时间”或点下方菜单试试。" },
  keywords: [{ match: "contains", value: "营业时间", reply: { type: "text", content: "每天 9:00-18:00" } }],
};

const chrome = await startBrowser();
for (const [name, locale] of [["console", "en-GB"], ["console.zh-CN", "zh-CN"]]) {
  const bundle = await startBundle();
  const { page, context } = await openConsole(chrome.browser, bundle.url, { locale, viewport: { width: 1440, height: 880 } });
  await page.locator("#send-thing1").waitFor();
  await page.locator("#tab-menu").click();
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
await chrome.stop();
