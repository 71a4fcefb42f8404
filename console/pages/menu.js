// The custom menu: edit it as WeChat's own JSON, compare, publish and roll back.

import { call, read } from "./api.js";
import { menuForm } from "./buttons.js";
import { busy, button, fill, h, sureButton, toast } from "./dom.js";
import { jsonEditor } from "./editor.js";
import { t } from "./i18n.js";
import { problemBox } from "./problem.js";

const EXAMPLE = {
  button: [
    { type: "click", name: "帮助", key: "MENU_HELP" },
    { type: "view", name: "官网", url: "https://example.com/" },
    { name: "更多", sub_button: [
      { type: "click", name: "今日", key: "MENU_TODAY" },
      { type: "view", name: "订单", url: "https://example.com/orders" },
    ] },
  ],
};

let etag = null;

const editor = jsonEditor("menu-text", t("menu"), () => renderState());
const form = menuForm(editor);
const outcome = h("div", { class: "outcome", "aria-live": "polite" });
const status = h("span", { class: "version" });
const publish = button(t("publish"), publishMenu, { class: "primary", id: "menu-publish" });

export function menuPanel() {
  return h("div", { class: "tool" },
    h("h2", { class: "unseen" }, t("menu")),
    h("div", { class: "row" }, status, h("span", { class: "grow" }), button(t("reload"), reload)),
    form.element,
    editor.element,
    h("div", { class: "row wrap" }, publish, button(t("what-would-change"), compare), button(t("example"), insertExample),
      h("span", { class: "grow" }), sureButton(t("rollback"), rollBack), sureButton(t("delete"), remove, { class: "danger" })),
    outcome);
}

async function reload() {
  if (await editor.maySetAside(false)) await loadMenu();
}

/** Whether the panel may be left: asks when there are unsaved changes. */
export function mayLeaveMenu() {
  return editor.maySetAside(true);
}

export function showMenu() {
  if (!editor.isChanged) loadMenu();
}

async function loadMenu(replacesChanges = false) {
  const answer = await read("/api/menu");
  if (!answer.ok && answer.status !== 404) {
    fill(outcome, problemBox(answer));
    return;
  }
  // Somebody began to write while this was read.
  if (editor.isChanged && !replacesChanges) return;
  fill(outcome);
  etag = answer.etag;
  editor.load(answer.ok ? asPublished(answer.body.menu) : { button: [] });
  status.dataset.exists = String(answer.ok);
  renderState();
}

/** The menu without the members that WeChat adds when it is read. */
function asPublished(menu) {
  const clean = ({ sub_button: children = [], ...entry }) => (children.length
    ? { ...entry, sub_button: children.map(clean) } : entry);
  return { button: (menu?.button ?? []).map(clean) };
}

function renderState() {
  form.show();
  const exists = status.dataset.exists === "true";
  fill(status, t(exists ? "menu-published" : "no-menu"), editor.isChanged && h("span", { class: "changed" }, t("changed")));
}

function insertExample() {
  editor.change(EXAMPLE);
}

function refused(answer) {
  if (answer.body.faults) editor.showFaults(answer.body.faults);
  fill(outcome, answer.body.faults ? null : problemBox(answer));
}

async function publishMenu() {
  const menu = editor.parse();
  if (menu === undefined) return;
  const answer = await busy(publish, () => call("POST", "/api/menu", menu), outcome);
  if (!answer.ok) {
    refused(answer);
    return;
  }
  editor.markSaved();
  etag = (await read("/api/menu")).etag;
  status.dataset.exists = "true";
  renderState();
  document.dispatchEvent(new Event("menu-published"));
  fill(outcome, h("p", { class: "result good" }, t("menu-is-published")));
}

async function compare() {
  const menu = editor.parse();
  if (menu === undefined) return;
  fill(outcome);
  const answer = await call("POST", "/api/menu?dry_run=true", menu);
  if (!answer.ok) {
    refused(answer);
    return;
  }
  const { changes } = answer.body;
  fill(outcome, changes.length === 0 ? h("p", { class: "empty" }, t("no-difference")) : h("ul", { class: "changes" }, changes.map(change)));
}

function change({ pointer, from, to }) {
  const side = (value, kind) => value !== undefined && value !== null
    && h("pre", { class: `diff-line ${kind}` }, `${kind === "added" ? "+" : "-"} ${JSON.stringify(value, null, 2)}`);
  return h("li", {}, h("code", {}, pointer || "/"), side(from, "removed"), side(to, "added"));
}

async function rollBack() {
  if (!(await editor.maySetAside(false))) return;
  fill(outcome);
  // If-Match, because a second click would roll back the rollback.
  const answer = await call("POST", "/api/menu/rollback", undefined, etag ? { "if-match": etag } : {});
  if (!answer.ok) {
    fill(outcome, problemBox(answer));
    return;
  }
  toast(t("menu-rolled-back"), "good");
  await loadMenu(true);
}

async function remove() {
  const answer = await call("DELETE", "/api/menu");
  if (!answer.ok) {
    fill(outcome, problemBox(answer));
    return;
  }
  toast(t("menu-deleted"), "good");
  await loadMenu(true);
}
