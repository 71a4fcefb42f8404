// What other programs need to connect: addresses, keys and openids, each with a copy button.

import { call, run, sim } from "../api.js";
import { busy, button, copy, fill, h, iconButton, redraw } from "../dom.js";
import { language, t } from "../i18n.js";
import { problemText } from "../problem.js";
import { account } from "../token.js";
import { refreshWorld, world } from "./world.js";

const MASKED = "••••••";

const facts = h("dl", { class: "facts connection" });
const openids = h("ul", { class: "openids" });
const target = h("input", { id: "callback-url", type: "url", required: true, placeholder: "http://127.0.0.1:9000/webhook" });
const outcome = h("div", { class: "outcome", "aria-live": "polite" });

/** The secrets of the simulated account. They open nothing, so they are shown. */
let secrets = null;
let isShown = false;

export function connectPanel() {
  document.addEventListener("world", render);
  document.addEventListener("language", render);
  document.addEventListener("account", render);
  document.addEventListener("openid", (event) => suggest(event.detail));
  document.addEventListener("run", forgetSecrets);
  return h("div", { class: "tool" }, h("h2", {}, t("connect-title")), h("p", { class: "hint" }, t("connect-hint")), facts,
    run.simulated && redirectForm(),
    h("h3", {}, "openid"), openids);
}

/** Reads the account of a simulated run. */
export async function showConnection() {
  isShown = true;
  if (run.simulated && !secrets) secrets = (await sim("GET", "account")).body;
  render();
}

/** Another run has another account. */
function forgetSecrets() {
  secrets = null;
  if (isShown) showConnection();
}

function render() {
  if (!isShown) return;
  const rows = [
    [t("webhook-url"), run.simulated ? world?.callback.url : `${location.origin}/webhook`],
    [t("api-address"), `${location.origin}/api`],
    [t("api-key"), run.key, !run.simulated],
    ["AppID", account()?.app_id],
    ...(secrets ? [["AppSecret", secrets.app_secret], ["Token", secrets.token], ["EncodingAESKey", secrets.encoding_aes_key]] : []),
  ].filter(([, value]) => value);
  redraw(facts, [rows.map(([name, value]) => [String(name), value]), language()], () => fill(facts, rows.map(([name, value, isSecret]) => [
    h("dt", {}, name), h("dd", {}, h("code", {}, isSecret ? MASKED : value), copyButton(name, value)),
  ])));
  if (run.simulated) showOpenids(world?.users.map((user) => user.openid) ?? []);
}

function copyButton(name, value) {
  return iconButton("copy", t("copy-what", name), () => copy(value));
}

function showOpenids(list) {
  redraw(openids, list, () => fill(openids, list.map((each) => h("li", {}, h("code", {}, each), copyButton("openid", each)))));
}

const seen = [];

/** Shows a user of a real account who has just written. */
function suggest(openid) {
  if (run.simulated || seen.includes(openid)) return;
  seen.unshift(openid);
  showOpenids(seen);
}

/** The form that makes the simulated platform push to another server. */
function redirectForm() {
  const submit = h("button", { type: "submit", id: "push-there" }, t("push-there"));
  const change = (url) => busy(submit, async () => {
    const answer = await call("POST", "/console/sim/callback", { url });
    if (answer.ok) await showCheck();
    else showResult(false, problemText(answer));
    refreshWorld();
  }, outcome);
  const redirect = (event) => {
    event.preventDefault();
    change(target.value.trim());
  };
  return h("form", { class: "form", novalidate: true, on: { submit: redirect } },
    h("div", { class: "field" }, h("label", { for: "callback-url" }, t("push-elsewhere")), target,
      h("p", { class: "hint" }, t("push-hint"))),
    h("div", { class: "row wrap" }, submit, button(t("push-here"), () => change(null), { id: "push-here" })), outcome);
}

/** Calls the address as WeChat does on 提交. */
async function showCheck() {
  const answer = await sim("POST", "verify");
  const { ok } = answer.body;
  showResult(ok, ok ? t("push-works") : t("push-fails", problemText(answer)));
}

function showResult(ok, text) {
  fill(outcome, h("p", { class: `result ${ok ? "good" : "bad"}` }, text));
}
