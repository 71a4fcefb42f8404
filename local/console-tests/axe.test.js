// axe finds nothing on any page of the console, in both languages, light and dark, wide and narrow.

import assert from "node:assert/strict";
import { axeFindings } from "./browser.js";
import { consoleTest, userWrites } from "./stage.js";

const TOOLS = ["send", "campaigns", "rules", "menu", "bind", "own-code", "platform", "doctor", "connect"];

for (const locale of ["en-GB", "zh-CN"]) {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [320, 1440]) {
      const options = { locale, colorScheme, viewport: { width, height: 900 } };
      consoleTest(`axe finds nothing (${locale}, ${colorScheme}, ${width} px)`, options, (page) => examineAll(page, width));
    }
  }
}

async function examineAll(page, width) {
  const go = async (place) => width < 860 && page.locator(`.place-bar [data-place=${place}]`).click();
  const examine = async (what) => {
    assert.deepEqual(await axeFindings(page), [], what);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `${what} is too wide`);
  };
  await go("phone");
  await page.locator("#new-follower").click();
  await page.locator(".chat .bubble").first().waitFor();
  await userWrites(page, "你好");
  await page.locator(".chat .add-rule").waitFor();
  await examine("phone");
  await page.locator("#open-page").click();
  await page.locator("#page-address").waitFor();
  await examine("page in the phone");
  await page.locator("#page-back").click();
  await go("activity");
  await page.locator(".event summary").first().click();
  await page.locator(".event-body").waitFor();
  await examine("activity");
  await go("tools");
  for (const tool of TOOLS) {
    await page.locator(`#tab-${tool}`).click();
    await use[tool]?.(page);
    await examine(tool);
    await leave[tool]?.(page, examine);
  }
}

/** Fills each tool with what it can show. */
const use = {
  send: async (page) => {
    await page.locator("#send-thing1").waitFor();
    await page.locator("#send-samples").click();
    await page.locator("#panel-send button[type=submit]").click();
    await page.locator(".steps .done").nth(1).waitFor();
  },
  campaigns: (page) => page.locator("#new-campaign > summary").click(),
  rules: async (page) => {
    await page.locator("#panel-rules button", { hasText: /^(Example|示例)$/ }).click();
    await page.locator("#rules-text").fill('{"keywords": [{"match": "no", "value": "a", "reply": 1}]}');
    await page.locator("#rules-save").click();
    await page.locator("#panel-rules .faults li").first().waitFor();
  },
  menu: (page) => page.locator("#panel-menu button", { hasText: /^(Example|示例)$/ }).click(),
  bind: async (page) => {
    await page.locator("#bind-user").fill("u-1");
    await page.locator("#bind-make").click();
    await page.locator(".qr").waitFor();
    await page.locator("#scan-with-phone").click();
    await page.locator(".users [data-user]").waitFor();
  },
  platform: async (page) => {
    await page.locator("[data-fault=quota]").click();
    await page.locator("#end-faults").waitFor();
    await page.locator(".toast").waitFor({ state: "detached" });
  },
  doctor: async (page) => {
    await page.locator("#examine").click();
    await page.locator(".checks").waitFor();
  },
  connect: (page) => page.locator(".openids li").first().waitFor(),
};

const leave = {
  rules: async (page, examine) => {
    await page.locator("#tab-menu").click();
    await page.getByRole("dialog").waitFor();
    await examine("unsaved changes");
    await page.locator("[data-choice=discard]").click();
  },
  menu: async (page) => {
    await page.locator("#tab-bind").click();
    await page.locator("[data-choice=discard]").click();
  },
};
