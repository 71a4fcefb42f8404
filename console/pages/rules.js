// The reply rules: edit them as JSON, compare, try, store and roll back.

import { call, read } from "./api.js";
import { busy, button, fill, h, icon, sureButton, toast } from "./dom.js";
import { jsonEditor, lineDifference } from "./editor.js";
import { keywordForm } from "./keywords.js";
import { t } from "./i18n.js";
import { problemBox } from "./problem.js";
import { replyForm } from "./replies.js";

/** Earlier versions that the server keeps. */
const KEPT = 10;
const EXAMPLE = {
  subscribe: { type: "text", content: "欢迎关注" },
  keywords: [{ match: "contains", value: "营业时间", reply: { type: "text", content: "每天 9:00-18:00" } }],
  clicks: { MENU_HELP: { type: "text", content: "请直接留言" } },
  default: null,
};

/** What can be tried: a text, and the events by their names in the API. */
const TRIED = { text: "msg-text", subscribe: "msg-subscribe", CLICK: "msg-click", SCAN: "a-scan" };

let etag = null;

const editor = jsonEditor("rules-text", t("rules"), () => renderState());
const replies = replyForm(editor, () => number() > 0);
const keywords = keywordForm(editor);
const tries = h("p", { class: "hint" });
const outcome = h("div", { class: "outcome", "aria-live": "polite" });
const version = h("span", { class: "version" });
const earlier = h("select", { "aria-label": t("version-to-restore") });
const save = button(t("save"), () => store(etag), { class: "primary", id: "rules-save" });
const roll = sureButton(t("rollback"), rollBack);

export function rulesPanel() {
  return h("div", { class: "tool" },
    h("h2", { class: "unseen" }, t("rules")),
    h("div", { class: "row" }, version, h("span", { class: "grow" }), button(t("reload"), reload)),
    replies.element,
    keywords.element,
    editor.element,
    h("div", { class: "row wrap" }, save,
      button(t("difference"), () => fill(outcome, lineDifference(editor.saved, editor.text))),
      button(t("example"), () => insertExample()),
      h("span", { class: "grow" }), earlier, roll),
    outcome,
    tryForm());
}

let loading = null;

/** Reads the stored rules. Callers at the same time share one read, so that no late answer replaces a change. */
function loadRules(replacesChanges = false) {
  loading ??= readRules(replacesChanges).finally(() => { loading = null; });
  return loading;
}

async function readRules(replacesChanges) {
  const answer = await read("/api/replies");
  if (!answer.ok) {
    fill(outcome, problemBox(answer));
    return;
  }
  // Somebody began to write while this was read.
  if (editor.isChanged && !replacesChanges) return;
  fill(outcome);
  etag = answer.etag;
  editor.load(answer.body);
}

async function reload() {
  if (await editor.maySetAside(false)) await loadRules();
}

/** Whether the panel may be left: asks when there are unsaved changes. */
export function mayLeaveRules() {
  return editor.maySetAside(true);
}

/** A button that begins a rule for what a user wrote or tapped: the members of the callback. */
export function addRuleButton({ Content: text, EventKey: key }) {
  const begin = () => document.dispatchEvent(new CustomEvent("add-rule", { detail: { text, key } }));
  return button([icon("plus"), t("add-rule")], begin, { class: "small add-rule" });
}

/** Begins a rule for a text or a menu key in the editor, and selects its reply. */
export async function addRule({ text, key }) {
  if (!editor.isChanged) await loadRules();
  const rules = editor.parse();
  if (rules === undefined) return;
  const reply = { type: "text", content: "" };
  if (key) {
    editor.change({ ...rules, clicks: { ...rules.clicks, [key]: reply } });
    editor.select(`/clicks/${key.replaceAll("~", "~0").replaceAll("/", "~1")}/content`);
    return;
  }
  editor.change({ ...rules, keywords: [...(rules.keywords ?? []), { match: "contains", value: text ?? "", reply }] });
  keywords.focusLast();
}

/** Reads the rules again, unless the editor holds changes. */
export function showRules() {
  if (!editor.isChanged) loadRules();
}

function number() {
  return Number(etag?.replaceAll("\"", "") ?? 0);
}

function renderState() {
  const stored = number() ? t("version", number()) : t("no-rules");
  fill(version, stored, editor.isChanged && h("span", { class: "changed" }, t("changed")));
  save.disabled = !editor.isChanged;
  replies.show();
  keywords.show();
  fill(tries, t(editor.isChanged ? "tries-stored" : "tries"));
  const versions = Array.from({ length: Math.min(KEPT, Math.max(0, number() - 1)) }, (_, index) => number() - 1 - index);
  fill(earlier, versions.map((each) => h("option", { value: each }, t("version", each).toString())));
  earlier.hidden = versions.length === 0;
  roll.hidden = versions.length === 0;
}

function insertExample() {
  editor.change(EXAMPLE);
}

/** Stores the text, if the stored rules still have the ETag `expected`. */
async function store(expected) {
  const document_ = editor.parse();
  if (document_ === undefined) return;
  const headers = expected ? { "if-match": expected } : {};
  const answer = await busy(save, () => call("PUT", "/api/replies", document_, headers), outcome);
  if (answer.ok) {
    etag = answer.etag;
    editor.markSaved();
    fill(outcome, h("p", { class: "result good" }, t("rules-saved", number())));
  } else if (answer.status === 412) {
    fill(outcome, conflict(answer));
  } else {
    if (answer.body.faults) editor.showFaults(answer.body.faults);
    fill(outcome, answer.body.faults ? null : problemBox(answer));
  }
  renderState();
}

/** The choices when somebody else has stored rules since these were read. */
function conflict(answer) {
  return h("div", {}, problemBox(answer), h("div", { class: "row wrap" },
    button(t("take-theirs"), () => loadRules(true)), button(t("compare-theirs"), compareTheirs),
    sureButton(t("overwrite"), () => store("*"), { class: "danger" })));
}

async function compareTheirs() {
  const answer = await read("/api/replies");
  if (answer.ok) outcome.append(lineDifference(JSON.stringify(answer.body, null, 2), editor.text));
}

async function rollBack() {
  if (!(await editor.maySetAside(false))) return;
  fill(outcome);
  const request = { version: Number(earlier.value) };
  const answer = await call("POST", "/api/replies/rollback", request, etag ? { "if-match": etag } : {});
  if (!answer.ok) {
    fill(outcome, answer.status === 412 ? conflict(answer) : problemBox(answer));
    return;
  }
  etag = answer.etag;
  editor.load(answer.body);
  toast(t("rolled-back", request.version, number()), "good");
}

/** The form that asks what the stored rules would answer. */
function tryForm() {
  const kind = h("select", { "aria-label": t("try-what") },
    Object.entries(TRIED).map(([what, label]) => h("option", { value: what }, t(label))));
  const words = h("input", { "aria-label": t("try-words"), placeholder: t("try-words"), autocomplete: "off" });
  const answered = h("div", { class: "tried", "aria-live": "polite" });
  const submit = h("button", { type: "submit" }, t("try"));
  const attempt = async (event) => {
    event.preventDefault();
    const request = kind.value === "text" ? { text: words.value } : { event: kind.value, ...(words.value && { key: words.value }) };
    const answer = await busy(submit, () => call("POST", "/api/replies/try", request), answered);
    if (!answer.ok) fill(answered, problemBox(answer));
    else if (!answer.body.reply) fill(answered, h("p", { class: "empty" }, t("no-rule")));
    else fill(answered, h("p", {}, t("rule"), " ", h("code", {}, String(answer.body.rule))),
      h("pre", { tabindex: "0" }, JSON.stringify(answer.body.reply, null, 2)));
  };
  return h("form", { class: "try", on: { submit: attempt } }, h("h3", {}, t("try-title")), tries,
    h("div", { class: "row" }, kind, words, submit), answered);
}
