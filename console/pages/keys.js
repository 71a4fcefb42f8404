// The API keys that are made at run time: made, limited, revoked. A key is shown once.

import { call, read } from "./api.js";
import { busy, button, copy, fill, h, iconButton, redraw, sureButton, toast } from "./dom.js";
import { both, t } from "./i18n.js";
import { problemBox } from "./problem.js";
import { dateTime } from "./time.js";

const SCOPES = ["send", "campaigns", "users", "menu", "replies", "operate", "relay", "keys"];

const name = h("input", { id: "key-name", required: true, maxlength: "64", autocomplete: "off", placeholder: "shop" });
const scopes = SCOPES.map((scope) => h("input", { type: "checkbox", id: `scope-${scope}`, value: scope, on: { change: showLimits } }));
const templates = lines("key-templates");
const paths = lines("key-paths", "/cgi-bin/message");
const limits = { send: limit(templates, "key-templates"), relay: limit(paths, "key-paths") };
const make = h("button", { type: "submit", class: "primary wide", id: "key-make" }, t("make-key"));
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
  return fill(panel,
    h("h2", {}, t("keys-title")), h("p", { class: "hint" }, t("keys-hint")), list,
    h("h3", {}, t("make-key")),
    h("form", { class: "form", on: { submit: makeKey } },
      h("div", { class: "field" }, h("label", { for: name.id }, t("key-name")), name),
      h("fieldset", { class: "scopes" }, h("legend", {}, t("key-scopes")),
        scopes.map((box) => h("label", { class: "check" }, box, " ", h("span", {}, h("code", {}, box.value), " ", t(`scope-${box.value}`))))),
      Object.values(limits), make),
    outcome);
}

function chosen() {
  return scopes.filter((box) => box.checked).map((box) => box.value);
}

/** Shows the limits that the chosen scopes have. */
function showLimits() {
  const has = (...names) => names.some((each) => chosen().includes(each));
  limits.send.hidden = !has("send", "campaigns");
  limits.relay.hidden = !has("relay");
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
  const only = (control, field) => (field.hidden || !control.value.trim() ? undefined : control.value.split(/\s+/).filter(Boolean));
  const wanted = { name: name.value.trim(), scopes: chosen(), templates: only(templates, limits.send), paths: only(paths, limits.relay) };
  const answer = await busy(make, () => call("POST", "/api/keys", wanted), outcome);
  if (!answer.ok) {
    fill(outcome, problemBox(answer));
    return;
  }
  const { key } = answer.body;
  fill(outcome, h("div", { class: "result good" }, h("p", {}, t("key-once")),
    h("div", { class: "row" }, h("code", { class: "grow", id: "new-key" }, key), iconButton("copy", t("copy-what", t("key")), () => copy(key)))));
  name.value = "";
  await showKeys();
}

async function revoke(id, title) {
  const answer = await call("DELETE", `/api/keys/${id}`);
  if (answer.ok) toast(t("revoked", title), "good");
  else toast(both(answer.body.detail), "bad");
  await showKeys();
}
