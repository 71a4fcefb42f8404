// The API keys that are made at run time: made, limited, revoked. A key is shown once.

import { call, read } from "./api.js";
import { busy, copy, fill, h, iconButton, redraw, sureButton } from "./dom.js";
import { BETWEEN, clearFaults, field, showFault } from "./fields.js";
import { t } from "./i18n.js";
import { problemBox, sayEnd } from "./problem.js";
import { dateTime } from "./time.js";
import { keepForm } from "./unsaved.js";

const SCOPES = ["send", "campaigns", "users", "menu", "replies", "operate", "relay", "keys"];

const name = h("input", { id: "key-name", autocomplete: "off", placeholder: "shop" });
const scopes = SCOPES.map((scope) => h("input", { type: "checkbox", id: `scope-${scope}`, value: scope, on: { change: showLimits } }));
const templates = lines("key-templates");
const paths = lines("key-paths", "/cgi-bin/message");
const limits = { send: limit(templates, "key-templates"), relay: limit(paths, "key-paths") };
const make = h("button", { type: "submit", class: "primary wide", id: "key-make" }, t("make-key"));
const form = keepForm(h("form", { class: "form", novalidate: true, on: { submit: makeKey } }));
const noScope = h("p", { class: "fault", id: "key-scopes-fault", role: "alert" });
const outcome = h("div", { class: "outcome", "aria-live": "polite" });
const list = h("ul", { class: "users keys" });
const panel = h("div", { class: "tool" });

function lines(id, placeholder = "") {
  return h("textarea", { id, rows: "2", spellcheck: "false", placeholder });
}

function limit(control, label) {
  return h("div", { class: "field" }, h("label", { for: control.id }, t(label)), control, h("p", { class: "hint" }, t(`${label}-why`)));
}

export function keysPanel() {
  showLimits();
  fill(form, field(name.id, t("key-name"), name),
    h("fieldset", { class: "scopes" }, h("legend", {}, t("key-scopes")),
      scopes.map((box) => h("label", { class: "check" }, box, " ", h("span", {}, h("code", {}, box.value), " ", t(`scope-${box.value}`)))), noScope),
    Object.values(limits), make);
  return fill(panel,
    h("h2", {}, t("keys-title")), h("p", { class: "hint" }, t("keys-hint")), list,
    h("h3", {}, t("make-key")), form, outcome);
}

function chosen() {
  return scopes.filter((box) => box.checked).map((box) => box.value);
}

/** Shows the limits that the chosen scopes have. */
function showLimits() {
  const has = (...names) => names.some((each) => chosen().includes(each));
  limits.send.hidden = !has("send", "campaigns");
  limits.relay.hidden = !has("relay");
  fill(noScope);
}

/** Reads the keys. */
export async function showKeys() {
  const answer = await read("/api/keys");
  redraw(list, answer.body, () => fill(list,
    !answer.ok && h("li", {}, problemBox(answer)),
    answer.ok && answer.body.keys.length === 0 && h("li", { class: "empty" }, t("no-keys")),
    answer.ok && answer.body.keys.map(row)));
}

function row({ id, name: title, scopes: may, templates: onlyTemplates, paths: onlyPaths, created_at: created, last_used: used }) {
  return h("li", { "data-key": id },
    h("div", { class: "grow" },
      h("span", {}, h("strong", {}, title), " ", may.map((scope) => [h("code", {}, scope), " "])),
      onlyTemplates && h("span", { class: "hint" }, t("only-templates", onlyTemplates.join(", "))),
      onlyPaths && h("span", { class: "hint" }, t("only-paths", onlyPaths.join(", "))),
      h("span", { class: "hint" }, t("made-at", dateTime(created)), " · ", used ? t("last-used", used) : t("never-used"))),
    sureButton(t("revoke"), () => revoke(id, title), { class: "small danger", "aria-label": t("revoke-what", title) }));
}

async function makeKey(event) {
  event.preventDefault();
  clearFaults(form);
  fill(noScope, chosen().length === 0 && t("no-scope"));
  if (!name.value.trim()) showFault(name, t("key-name-empty"));
  const missing = !name.value.trim() ? name : chosen().length === 0 && scopes[0];
  if (missing) {
    missing.focus();
    return;
  }
  const only = (control, field) => (field.hidden || !control.value.trim() ? undefined : control.value.split(BETWEEN).filter(Boolean));
  const wanted = { name: name.value.trim(), scopes: chosen(), templates: only(templates, limits.send), paths: only(paths, limits.relay) };
  const answer = await busy(make, () => call("POST", "/api/keys", wanted), outcome);
  if (!answer.ok) {
    fill(outcome, problemBox(answer));
    return;
  }
  const { key } = answer.body;
  fill(outcome, h("div", { class: "result good" }, h("p", {}, t("key-once")),
    h("div", { class: "row" }, h("code", { class: "grow", id: "new-key" }, key), iconButton("copy", t("copy-what", t("key")), () => copy(key)))));
  form.reset();
  showLimits();
  await showKeys();
}

async function revoke(id, title) {
  const answer = await call("DELETE", `/api/keys/${id}`);
  sayEnd(answer, t("revoked", title));
  await showKeys();
}
