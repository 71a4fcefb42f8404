// The form that sends a template message, built from the account's templates, and the message's delivery.

import { call, read, run } from "../api.js";
import { ask, busy, fill, h, icon, redraw } from "../dom.js";
import { shortOpenid } from "../format.js";
import { both, language, t } from "../i18n.js";
import { currentUser } from "./phone.js";
import { problemBox } from "../problem.js";
import { snippets } from "./snippets.js";
import { field, loadTemplates, templateForm } from "../template.js";
import { world } from "./world.js";
import { timeOfDay } from "../time.js";

const POLL_FOR = 30_000;

const state = { sending: 0, isChosen: false };

const template = templateForm("send");
const follower = h("select", { id: "send-touser", name: "touser", on: { change: () => { state.isChosen = true; } } });
const openid = h("input", { id: "send-touser", name: "touser", autocomplete: "off", spellcheck: "false", placeholder: "o…", list: "seen-openids" });
const user = h("input", { id: "send-user", name: "user", autocomplete: "off", spellcheck: "false", maxlength: "128", on: { input: chooseRecipient } });
const seen = h("datalist", { id: "seen-openids" });
const url = h("input", { id: "send-url", name: "url", type: "text", inputmode: "url" });
const key = h("input", { id: "send-key", name: "idempotency-key", autocomplete: "off", maxlength: "200" });
const submit = h("button", { type: "submit", class: "primary wide" }, icon("send"), t("send"));
const outcome = h("div", { class: "outcome", "aria-live": "polite" });

export function sendPanel() {
  document.addEventListener("world", renderFollowers);
  document.addEventListener("phone-user", renderFollowers);
  document.addEventListener("recovered", loadTemplates);
  document.addEventListener("openid", (event) => suggest(event.detail));
  const recipient = run.simulated ? follower : [openid, seen];
  if (run.simulated) url.value = "https://example.com/details/1";
  return h("div", { class: "tool" },
    h("h2", { class: "unseen" }, t("template-message")),
    template.head,
    h("form", { class: "form", novalidate: true, on: { submit: send } },
      template.choice,
      field("send-touser", t("recipient"), recipient),
      field("send-user", t("or-user-id"), user),
      template.inputs,
      field("send-url", t("link-field"), url),
      h("details", { class: "more-fields" }, h("summary", {}, t("more-options")), field("send-key", "Idempotency-Key", key, t("idempotency-why"))),
      submit),
    outcome);
}

function renderFollowers() {
  // The phone's current user, until another recipient is chosen.
  const chosen = state.isChosen ? follower.value : currentUser();
  if (!world) return;
  const label = (user) => t(user.follows ? "user-follows" : "user-left", shortOpenid(user.openid)).toString();
  redraw(follower, [chosen, language(), world.users.map((user) => [user.openid, user.follows])], () => (
    fill(follower, world.users.map((user) => h("option", { value: user.openid, selected: user.openid === chosen }, label(user))))));
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

async function send(event) {
  event.preventDefault();
  template.clearFaults();
  const id = user.value.trim();
  const recipient = id ? { user: id } : { touser: (run.simulated ? follower : openid).value.trim() };
  const request = { ...recipient, template_id: template.id, url: url.value.trim() || undefined, data: template.data };
  const idempotencyKey = key.value.trim();
  const headers = idempotencyKey ? { "idempotency-key": idempotencyKey } : {};
  if (!run.simulated && !(await isMeant(id || request.touser))) return;
  state.sending += 1;
  const answer = await busy(submit, () => call("POST", "/api/sendTemplateMessage", request, headers), outcome);
  const code = snippets(JSON.parse(JSON.stringify(request)), idempotencyKey);
  if (!answer.ok) {
    fill(outcome, problemBox(answer), code);
    outcome.firstChild.scrollIntoView({ block: "nearest" });
    template.showFaults(answer.body)?.focus();
    return;
  }
  template.showFaults(answer.body);
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
