// Starts what the tests need: `local` and the example on free ports, and Debian's Chromium.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

import { start } from "./program.js";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const program = process.env.LOCAL_PROGRAM ?? join(root, "target/debug/local");
const pictures = process.env.PICTURES ?? join(root, ".ci/artefacts/console");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** Starts `local`, on any free port unless `parameters` say another, and returns its URL and a function that stops it. */
export function startBundle(parameters = [], environment = {}) {
  const port = parameters.includes("--port") ? [] : ["--port", "0"];
  return start(program, [...port, ...parameters], environment);
}

/** Starts the back end of examples/web, which `npm run build` has built, on a run of `local`. */
export function startExample(bundle) {
  return start(process.execPath, [join(root, "examples/web/server.js")], { PORT: "0", BUNDLE_URL: bundle.url });
}

/** Starts a browser with a temporary profile. */
export async function startBrowser() {
  const profile = mkdtempSync(join(tmpdir(), "console-tests-"));
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: [...FLAGS, `--disk-cache-dir=${profile}`] });
  return {
    browser,
    stop: async () => {
      await browser.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/**
 * Opens the console in a new page. `problems` collects errors and warnings in the browser's console, uncaught errors and
 * violations of the Content-Security-Policy, but not failures that the API answers.
 */
export async function openConsole(browser, url, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    timezoneId: "Asia/Shanghai",
    reducedMotion: "reduce",
    ...options,
  });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    const isAnswer = message.text().startsWith("Failed to load resource: the server responded with a status of");
    if (["error", "warning"].includes(message.type()) && !isAnswer) problems.push(message.text());
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(url);
  return { page, context, problems };
}

/** Saves a screenshot of the page with the other artefacts. */
export async function picture(page, name) {
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`) });
}

/** What axe finds on the page, as one line for each element. */
export async function axeFindings(page) {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => (await window.axe.run({ reporter: "v1" })).violations);
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => (
    `${id}: ${target.join(" ")}: ${failureSummary.split("\n").slice(1).join(" ").trim()}`)));
}

/** A value for each field of the template. */
export function sampleValues({ fields }, time = "15:01") {
  return Object.fromEntries(fields.map((field) => [field, { value: field.startsWith("time") ? time : "1" }]));
}

/** Calls the run: the API, or a control of the simulated platform. */
export async function callRun(bundle, method, path, body) {
  const headers = { authorization: `Bearer ${bundle.key ?? "local"}`, "content-type": "application/json" };
  const answer = await fetch(`${bundle.url}${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}
