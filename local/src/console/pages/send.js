// The form that sends a template message, built from the account's templates, and the message's delivery.

import { call, read, run } from "./api.js";
import { ask, busy, fill, h, icon, iconButton, redraw } from "./dom.js";
import { shortOpenid, timeOfDay } from "./format.js";
import { both, language, t } from "./i18n.js";
import { currentUser } from "./phone.js";
import { problemBox } from "./problem.js";
import { snippets } from "./snippets.js";
import { world } from "./world.js";

const POLL_FOR = 30_000;

const state = { templates: [], sending: 0, isChosen: false };

const templates = h("select", { id: "send-template", on: { change: () => renderFields() } });
const follower = h("select", { id: "send-touser", name: "touser", on: { change: () => { state.isChosen = true; } } });
const openid = h("input", { id: "send-touser", name: "touser", autocomplete: "off", spellcheck: "false", placeholder: "o…", list: "seen-openids" });
const user = h("input", { id: "send-user", name: "user", autocomplete: "off", spellcheck: "false", maxlength: "128", on: { input: chooseRecipient } });
const seen = h("datalist", { id: "seen-openids" });
const fields = h("div", { class: "fields" });
const url = h("input", { id: "send-url", name: "url", type: "text", inputmode: "url" });
const key = h("input", { id: "send-key", name: "idempotency-key", autocomplete: "off", maxlength: "200" });
const submit = h("button", { type: "submit", class: "primary wide" }, icon("send"), t("send"));
const outcome = h("div", { class: "outcome", "aria-live": "polite" });
const head = h("div", { class: "outcome" });

export function sendPanel() {
  document.addEventListener("world", renderFollowers);
  document.addEventListener("phone-user", renderFollowers);
  document.addEventListener("recovered", loadTemplates);
  document.addEventListener("openid", (event) => suggest(event.detail));
  const recipient = run.simulated ? follower : [openid, seen];
  if (run.simulated) url.value = "https://example.com/details/1";
  const reload = iconButton("reload", t("reload-templates"), loadTemplates);
  return h("div", { class: "tool" },
    h("h2", { class: "unseen" }, t("template-message")),
    head,
    h("form", { class: "form", novalidate: true, on: { submit: send } },
      field("send-template", t("template"), h("div", { class: "row" }, templates, reload)),
      field("send-touser", t("recipient"), recipient),
      field("send-user", t("or-user-id"), user),
      fields,
      field("send-url", t("link-field"), url),
      h("details", { class: "more-fields" }, h("summary", {}, t("more-options")), field("send-key", "Idempotency-Key", key, t("idempotency-why"))),
      submit),
    outcome);
}

export async function loadTemplates() {
  const answer = await read("/api/templates");
  if (!answer.ok) {
    fill(head, problemBox(answer));
    return;
  }
  fill(head);
  state.templates = answer.body.templates;
  const options = state.templates.map((template) => h("option", { value: template.template_id }, template.title));
  fill(templates, options);
  if (options.length === 0) fill(head, h("p", { class: "empty" }, t("no-templates")));
  renderFields();
}

function renderFollowers() {
  // The phone's current user, until another recipient is chosen.
  const chosen = state.isChosen ? follower.value : currentUser();
  if (!world) return;
  const users = world.users.map((user) => h("option", { value: user.openid, selected: user.openid === chosen },
    (user.follows ? t("user-follows", shortOpenid(user.openid)) : t("user-left", shortOpenid(user.openid))).toString()));
  redraw(follower, [chosen, language(), world.users.map((user) => [user.openid, user.follows])], () => fill(follower, users));
}

/** Suggests a user of a real account who has just written as the recipient. */
function suggest(user) {
  if ([...seen.children].some((option) => option.value === user)) return;
  seen.prepend(h("option", { value: user }));
  openid.value ||= user;
}

/** A user id takes the place of the openid. */
function chooseRecipient() {
  follower.disabled = user.value.trim() !== "";
  openid.disabled = follower.disabled;
}

function template() {
  return state.templates.find((candidate) => candidate.template_id === templates.value);
}

function renderFields() {
  const { fields: names = [], content = "", example = "" } = template() ?? {};
  const examples = valuesOf(content, example);
  fill(fields, names.map((name) => {
    const input = h("input", { id: `send-${name}`, name, autocomplete: "off", value: examples[name] ?? "" });
    return field(input.id, h("span", {}, labelOf(content, name), h("code", {}, name)), input);
  }));
}

/** A field with its label, its hint and a place for its fault. */
function field(id, label, control, hint) {
  return h("div", { class: "field", "data-field": id }, h("label", { for: id }, label), control,
    hint && h("p", { class: "hint" }, hint), h("p", { class: "fault", id: `${id}-fault`, hidden: true }));
}

/** The label before the placeholder, as in "审核事项:{{thing1.DATA}}". */
function labelOf(content, name) {
  const line = content.split("\n").find((candidate) => candidate.includes(`{{${name}.DATA}}`)) ?? "";
  return line.split("{{")[0].replace(/[:：\s]+$/, "");
}

/** The values of the placeholders in the template's example. */
function valuesOf(content, example) {
  const lines = example.split("\n");
  const values = {};
  content.split("\n").forEach((line, index) => {
    const name = line.match(/\{\{(\w+)\.DATA\}\}/)?.[1];
    const [before] = line.split("{{");
    if (name && lines[index]?.startsWith(before)) values[name] = lines[index].slice(before.length);
  });
  return values;
}

async function send(event) {
  event.preventDefault();
  clearFaults();
  const id = user.value.trim();
  const recipient = id ? { user: id } : { touser: (run.simulated ? follower : openid).value.trim() };
  const data = Object.fromEntries([...fields.querySelectorAll("input")].map((input) => [input.name, { value: input.value }]));
  const request = { ...recipient, template_id: templates.value, url: url.value.trim() || undefined, data };
  const idempotencyKey = key.value.trim();
  const headers = idempotencyKey ? { "idempotency-key": idempotencyKey } : {};
  if (!run.simulated && !(await isMeant(id || request.touser))) return;
  state.sending += 1;
  const answer = await busy(submit, () => call("POST", "/api/sendTemplateMessage", request, headers), outcome);
  const code = snippets(JSON.parse(JSON.stringify(request)), idempotencyKey);
  if (!answer.ok) {
    fill(outcome, problemBox(answer), code);
    outcome.firstChild.scrollIntoView({ block: "nearest" });
    showFaults(answer.body)?.focus();
    return;
  }
  showFaults(answer.body);
  const status = h("div", { class: "result" });
  fill(outcome, status, code);
  const sending = state.sending;
  showDelivery(status, { msgid: answer.body.msgid, status: "sent" });
  status.scrollIntoView({ block: "nearest" });
  await followDelivery(answer.body.msgid, status, sending);
}

/** Asks before a real person's phone rings. */
async function isMeant(recipient) {
  const choices = [{ value: true, label: t("send"), class: "primary" }, { value: false, label: t("cancel") }];
  return (await ask(t("send-really-title"), t("send-really", recipient), choices)) === true;
}

/** Shows the message's status until its receipt comes or another message is sent. */
async function followDelivery(msgid, status, sending) {
  const until = Date.now() + POLL_FOR;
  while (Date.now() < until && sending === state.sending) {
    await new Promise((resolve) => setTimeout(resolve, 400));
    const answer = await read(`/api/messages/${msgid}`);
    if (!answer.ok) continue;
    showDelivery(status, answer.body);
    if (answer.body.status !== "sent") return;
  }
}

function showDelivery(element, message) {
  const kind = { delivered: "good", blocked: "bad", failed: "bad" }[message.status] ?? "";
  if (element.dataset.status === message.status && message.meaning === element.dataset.meaning) return;
  Object.assign(element.dataset, { status: message.status, meaning: message.meaning ?? "" });
  element.className = `result ${kind}`;
  const steps = ["sent", message.status === "sent" ? "delivered" : message.status];
  const isDone = (step) => step === "sent" || message.status !== "sent";
  const times = { sent: message.sent_at, [message.status]: message.finished_at ?? message.sent_at };
  fill(element,
    h("ol", { class: "steps" }, steps.map((step) => h("li", { class: isDone(step) ? `done ${kind}` : "" },
      h("span", { class: "step-mark" }, icon(isDone(step) ? (kind === "bad" && step !== "sent" ? "cross" : "check") : "clock")),
      t(isDone(step) ? `status-${step}` : "status-awaited"), isDone(step) && times[step] && h("time", {}, timeOfDay(times[step] * 1000))))),
    message.meaning && h("p", {}, both(message.meaning)),
    message.receipt && h("p", { class: "hint" }, `${t("receipt")}: ${message.receipt}`),
    h("dl", { class: "facts" }, h("dt", {}, "msgid"), h("dd", {}, message.msgid)));
}

/** Shows faults and warnings at their fields ("data.thing1.value" at the input of thing1), and returns the first field. */
function showFaults(body) {
  const faults = body.faults?.map(({ field, detail }) => ({ field, rule: detail }));
  const findings = body.findings ?? faults ?? [{ field: body.field, rule: body.detail }];
  let first = null;
  for (const { field: name = "", rule } of findings) {
    const id = `send-${name.replace(/^data\./, "").replace(/\.value$/, "").replace("template_id", "template")}`;
    const input = document.getElementById(id);
    const place = document.getElementById(`${id}-fault`);
    if (!input || !place) continue;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", place.id);
    place.hidden = false;
    fill(place, both(rule));
    first ??= input;
  }
  return first;
}

function clearFaults() {
  for (const place of document.querySelectorAll(".form .fault")) place.hidden = true;
  for (const input of document.querySelectorAll(".form [aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}
