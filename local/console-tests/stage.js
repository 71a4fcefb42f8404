// What the browser tests share: a test with its own run and page, in one language or in both.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { texts } from "../../console/pages/texts.js";
import { callRun, openConsole, picture, startBrowser, startBundle } from "./browser.js";

export { callRun };

let started;

before(async () => {
  started = await startBrowser();
});

after(async () => {
  await started.stop();
});

/** The browser of this file's tests. */
export function chrome() {
  return started;
}

/**
 * A test with what `start` starts, {url, stop, …}, and a page at `path` of it. It fails on any error in the browser's console.
 */
export function pageTest(name, start, { path = "", ...options }, body) {
  test(name, { timeout: 120_000 }, async () => {
    const bundle = await start();
    const { page, context, problems } = await openConsole(started.browser, `${bundle.url}${path}`, options);
    page.setDefaultTimeout(15_000);
    try {
      await body(page, bundle);
      assert.deepEqual(problems, [], "errors in the browser's console");
    } catch (error) {
      await picture(page, `failed-${name.replace(/\W+/g, "-")}`);
      throw error;
    } finally {
      await context.close();
      await bundle.stop();
    }
  });
}

/** A test with a simulated run of its own. */
export function consoleTest(name, options, body) {
  pageTest(name, startBundle, options, body);
}

/** Starts a platform, and a run with `--wechat` of an account on it: {url, key, account, platform, stop}. */
export async function startRealAccount() {
  const platform = await startBundle();
  const account = await callRun(platform, "GET", "/console/sim/account");
  const { simulator } = await callRun(platform, "GET", "/console/run");
  const key = "key-of-an-operator-0001";
  const bundle = await startBundle(["--wechat", simulator], {
    WECHAT_APP_ID: account.app_id, WECHAT_APP_SECRET: account.app_secret, WECHAT_TOKEN: account.token,
    WECHAT_ENCODING_AES_KEY: account.encoding_aes_key, API_KEYS: key,
  });
  await callRun(platform, "POST", "/console/sim/callback", { url: `${bundle.url}/webhook` });
  return { url: bundle.url, key, account, platform, stop: async () => { await bundle.stop(); await platform.stop(); } };
}

/** The same test in English and in Chinese. `say` gives a text of the console in the test's language. */
export function bilingualTest(name, body, options = {}) {
  for (const locale of ["en-GB", "zh-CN"]) {
    consoleTest(`${name} (${locale})`, { locale, ...options }, (page, bundle) => body(page, sayIn(locale), bundle));
  }
}

/** A test of the page at `path` of a run with a real account, in English and in Chinese. */
export function realTest(name, path, body) {
  for (const locale of ["en-GB", "zh-CN"]) {
    pageTest(`${name} (${locale})`, startRealAccount, { locale, path }, (page, bundle) => body({ page, say: sayIn(locale), bundle }));
  }
}

/** A test of the console that is deployed, in English and in Chinese. */
export function deployedTest(name, body, options = {}) {
  bilingualTest(name, (page, say, bundle) => body({ page, say, bundle }), { path: "/console/", ...options });
}

/** Signs in to the deployed console with a key. */
export async function signIn(page, say, key = "local") {
  await page.locator("#api-key").fill(key);
  await page.getByRole("button", { name: say("open-console") }).click();
  await page.locator("#sign-out").waitFor();
}

/** Enters the key of a real account, for which the console on one machine asks. */
export async function enterKey(page, { key }) {
  await page.locator("#api-key").fill(key);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

export const tab = (page, name) => page.locator(`#tab-${name}`).click();

/** Gives the console's texts in this language. */
export function sayIn(locale) {
  const index = locale === "zh-CN" ? 1 : 0;
  return (text, ...values) => texts[text][index].replace(/\{(\d)\}/g, (_, at) => values[at]);
}

/** Lets the user on the phone write. */
export async function userWrites(page, text) {
  await page.locator("#say").fill(text);
  await page.locator("#say").press("Enter");
}

/**
 * Answers what matches `pattern` with `handler`, and returns a function that ends this. The route stays: a request that is in flight
 * when Playwright turns its interception off or on may never end.
 */
export async function intercept(page, pattern, handler) {
  let isOn = true;
  await page.route(pattern, (route) => (isOn ? handler(route) : route.continue()));
  return () => { isOn = false; };
}

export async function publishExampleMenu(page) {
  await page.getByRole("tab", { name: "Menu" }).click();
  const panel = page.locator("#panel-menu");
  await panel.getByText("No menu yet").waitFor();
  await panel.getByRole("button", { name: "Example" }).click();
  await panel.getByRole("button", { name: "Publish" }).click();
  await panel.getByText("Published.").waitFor();
}

export async function saveRules(page, rules) {
  await page.locator("#tab-rules").click();
  await page.locator("#panel-rules .version").getByText(/Version|No rules|版本|尚未/).waitFor();
  await page.locator("#rules-text").fill(JSON.stringify(rules));
  await page.locator("#rules-save").click();
}

/** Sends the form on one machine, with the template's samples where it is empty. */
export async function send(page) {
  await page.locator("#tab-send").click();
  await page.locator("#send-samples").click();
  await submitMessage(page);
}

/** Sends the form on one machine as it is. */
export async function submitMessage(page) {
  await page.locator("#panel-send button[type=submit]").click();
}

/** Chooses the user whose phone is shown. */
export async function choosePhone(page, openid) {
  await page.locator("#phone-user").fill(openid);
}

/** The openid of the user whose phone is shown. */
export async function phoneUser(page) {
  await page.waitForFunction(() => document.getElementById("phone-user").value);
  return page.locator("#phone-user").inputValue();
}

