// The form that sends one template message, at once or at a time, built from the account's templates, and the message's delivery.

import { call, read, run } from "./api.js";
import { agree, busy, factList, fill, h, icon } from "./dom.js";
import { clearFaults, field, showFault, userIdFault } from "./fields.js";
import { both, t } from "./i18n.js";
import { problemBox } from "./problem.js";
import { showScheduled } from "./scheduled.js";
import { templateForm } from "./template.js";
import { dateTime, epochOf, timeOfDay } from "./time.js";
import { keepForm, markSaved } from "./unsaved.js";

const POLL_FOR = 30_000;

const state = { sending: 0 };

const template = templateForm("send");
// On one machine its list offers the followers.
const openid = h("input", { id: "send-touser", name: "touser", autocomplete: "off", spellcheck: "false", placeholder: "o…", list: "followers",
  on: { focus: () => openid.select() } });
const user = h("input", { id: "send-user", name: "user", autocomplete: "off", spellcheck: "false", on: { input: chooseRecipient } });
const url = h("input", { id: "send-url", name: "url", type: "text", inputmode: "url" });
const at = h("input", { id: "send-send_at", type: "datetime-local" });
const key = h("input", { id: "send-key", name: "idempotency-key", autocomplete: "off" });
const submit = h("button", { type: "submit", class: "primary wide" }, icon("send"), t("send"));
const form = h("form", { class: "form", novalidate: true });
const outcome = h("div", { class: "outcome", "aria-live": "polite" });

/** The form and the result of a send. On one machine, `code` makes the snippets shown for a request that was sent. */
export function messageForm(code = () => null) {
  form.addEventListener("submit", (event) => send(event, code));
  // Input that is lost on a simulated account does no harm.
  if (!run.simulated) keepForm(form);
  fill(form,
    template.choice,
    field(openid.id, t("recipient"), openid),
    field(user.id, t("or-user-id"), user),
    template.inputs,
    field(url.id, t("link-field"), url),
    h("details", { class: "more-fields" }, h("summary", {}, t("more-options")), h("div", { class: "fields" },
      field(at.id, t("send-at"), at, t("send-at-why")),
      field(key.id, "Idempotency-Key", key, t("idempotency-why")))),
    submit);
  return h("div", { class: "tool" }, template.head, form, outcome);
}

/** Proposes a recipient, until another one is entered, and a link. */
export function propose(recipient, link = url.defaultValue) {
  openid.defaultValue = recipient;
  url.defaultValue = link;
}

/** A user id takes the place of the openid. */
function chooseRecipient() {
  openid.disabled = user.value.trim() !== "";
}

/** What is wrong with the recipient: [the field, the fault]; null when nothing is. */
function recipientFault() {
  if (!user.value) return openid.value.trim() ? null : [openid, t("recipient-empty")];
  const fault = userIdFault(user.value.trim());
  return fault && [user, fault];
}

async function send(event, code) {
  event.preventDefault();
  clearFaults(form);
  const fault = recipientFault();
  if (fault) {
    showFault(...fault);
    fault[0].focus();
    return;
  }
  const id = user.value.trim();
  const recipient = id ? { user: id } : { touser: openid.value.trim() };
  const sendAt = at.value ? epochOf(at.value) : undefined;
  const request = { ...recipient, template_id: template.id, url: url.value.trim() || undefined, data: template.data, send_at: sendAt };
  const idempotencyKey = key.value.trim();
  const headers = idempotencyKey ? { "idempotency-key": idempotencyKey } : {};
  if (!run.simulated && !(await isMeant(id || request.touser, sendAt))) return;
  state.sending += 1;
  const answer = await busy(submit, () => call("POST", "/api/sendTemplateMessage", request, headers), outcome);
  const shown = code(JSON.parse(JSON.stringify(request)), idempotencyKey);
  if (!answer.ok) {
    fill(outcome, problemBox(answer), shown);
    outcome.firstChild.scrollIntoView({ block: "nearest" });
    template.showFaults(answer.body)?.focus();
    return;
  }
  template.showFaults(answer.body);
  markSaved(form);
  const status = h("div", { class: "result" });
  fill(outcome, status, shown);
  if (sendAt) {
    status.classList.add("good");
    fill(status, h("p", {}, t("is-scheduled", dateTime(sendAt))));
    await showScheduled();
    return;
  }
  const sending = state.sending;
  showDelivery(status, { msgid: answer.body.msgid, status: "sent" });
  status.scrollIntoView({ block: "nearest" });
  await followDelivery(answer.body.msgid, status, sending);
}

/** Asks before a real person's phone rings. */
function isMeant(recipient, sendAt) {
  const text = sendAt ? t("schedule-really", recipient, dateTime(sendAt)) : t("send-really", recipient);
  return agree(t("send-really-title"), text, t("send"));
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
    factList([["msgid", message.msgid]]));
}
