// Messages: found by msgid, by person, or as the problems of a day; each with its story.

import { read } from "./api.js";
import { busy, button, factList, fill, h, icon, redraw, toast } from "./dom.js";
import { dayChart } from "./chart.js";
import { clearFaults, showFault } from "./fields.js";
import { shortOpenid, span } from "./format.js";
import { both, t } from "./i18n.js";
import { problemBox, problemText } from "./problem.js";
import { followOpen, go, openIn } from "./route.js";
import { scheduledList, showScheduled } from "./scheduled.js";
import { messageForm } from "./send.js";
import { statusPill } from "./status.js";
import { dateTime, today } from "./time.js";

/** The ways to look for messages: what is entered, and what is asked. */
const WAYS = {
  openid: (value) => ({ touser: value }),
  user: (value) => ({ user: value }),
  msgid: null,
  problems: (value) => ({ problems: value }),
};

const way = h("select", { id: "messages-by", "aria-label": t("messages-by"), on: { change: changeWay } },
  Object.keys(WAYS).map((each) => h("option", { value: each }, t(`by-${each}`))));
const value = h("input", { id: "messages-of", required: true, autocomplete: "off", spellcheck: "false", "aria-label": t("messages-of") });
const day = h("input", { id: "messages-day", type: "date", "aria-label": t("messages-day"), hidden: true });
const find = h("button", { type: "submit", class: "primary", id: "messages-find" }, t("search"));
const outcome = h("div", { class: "outcome", "aria-live": "polite" });
const list = h("ul", { class: "users messages" });
const story = h("section", { class: "story", hidden: true });
const overview = h("div", { class: "tool" });
const chart = h("div", {});
const panel = h("div", { class: "tool" });

/** The open search: its query, and the number of its last reading; and the message whose story is shown. */
const state = { query: null, reading: 0, story: null };

export function messagesPanel() {
  day.value = today();
  const search = (event) => {
    event.preventDefault();
    look();
  };
  followOpen("messages", followStory);
  const creation = h("details", { class: "more-fields", id: "new-message" }, h("summary", {}, icon("plus"), t("new-message")), messageForm());
  fill(overview, creation, scheduledList(),
    h("h2", {}, t("messages-title")), chart, h("p", { class: "hint" }, t("messages-hint")),
    h("form", { class: "row wrap", role: "search", novalidate: true, on: { submit: search } },
      way, h("div", { class: "grow field" }, value, day, h("p", { class: "fault", id: "messages-of-fault", role: "alert", hidden: true }),
        h("p", { class: "fault", id: "messages-day-fault", role: "alert", hidden: true })), find), outcome, list);
  return fill(panel, overview, story);
}

/** Reads what the screen shows again. */
export async function showMessages() {
  showScheduled();
  await Promise.all([followStory(), showDeliveries()]);
}

/** Draws the days again. A key for some templates may not see them. */
async function showDeliveries() {
  const answer = await read("/api/deliveries");
  const days = answer.body?.days ?? [];
  const isEmpty = days.every(({ delivered, blocked, failed }) => delivered + blocked + failed === 0);
  redraw(chart, answer.body, () => {
    if (answer.ok) fill(chart, isEmpty ? h("p", { class: "empty" }, t("no-deliveries")) : dayChart(days, showProblems));
    else fill(chart, answer.status !== 403 && problemBox(answer));
  });
}

function showProblems(of) {
  way.value = "problems";
  day.value = of;
  changeWay();
  look();
}

function changeWay() {
  const isDay = way.value === "problems";
  day.hidden = !isDay;
  value.hidden = isDay;
  clearFaults(find.form);
  value.inputMode = way.value === "msgid" ? "numeric" : "text";
}

async function look() {
  const wanted = value.value.trim();
  clearFaults(find.form);
  const asked = day.hidden ? value : day;
  if (!asked.value.trim()) {
    showFault(asked, t(day.hidden ? "messages-of-empty" : "messages-day-empty"));
    asked.focus();
    return;
  }
  fill(list);
  if (way.value === "msgid") {
    const answer = await busy(find, () => read(`/api/messages/${encodeURIComponent(wanted)}`), outcome);
    if (answer.ok) open(answer.body);
    else fill(outcome, problemBox(answer));
    return;
  }
  state.query = WAYS[way.value](way.value === "problems" ? day.value : wanted);
  await busy(find, () => readPage(null), outcome);
}

/** Reads a page of the open search, and shows it below the others. */
async function readPage(cursor) {
  const reading = ++state.reading;
  const query = new URLSearchParams({ ...state.query, ...(cursor && { cursor }) });
  const answer = await read(`/api/messages?${query}`);
  if (reading !== state.reading) return;
  list.querySelector(".more")?.remove();
  if (!answer.ok) {
    if (cursor) toast(problemText(answer), "bad");
    else fill(outcome, problemBox(answer));
    return;
  }
  const { messages, cursor: next } = answer.body;
  list.append(...messages.map(row));
  if (next) list.append(h("li", { class: "more" }, button(t("more-messages"), () => readPage(next))));
  else if (list.childElementCount === 0) list.append(h("li", { class: "empty" }, t(state.query.problems ? "no-problems" : "no-messages")));
}

function row(message) {
  const { touser, template_id: template, sent_at: sent, finished_at: finished } = message;
  const at = sent ?? finished;
  return h("li", { "data-message": message.msgid ?? message.scheduled },
    h("div", { class: "grow" },
      button(at ? dateTime(at) : t("time-unknown"), () => open(message), { class: "small message-name" }),
      h("span", { class: "hint" }, touser && h("code", { title: touser }, shortOpenid(touser)), " ", template && h("code", {}, template))),
    statusPill(message.status));
}

/** Opens the story of a message; in the address too, so that Back closes it, unless it was never sent and has no msgid. */
function open(message) {
  state.story = message;
  drawStory(message);
  if (message.msgid) go("messages", message.msgid);
}

/** Shows the story of the message that the address names, or none. */
async function followStory() {
  const id = openIn("messages");
  if (id === (state.story?.msgid ?? null)) return;
  if (!id) {
    close();
    return;
  }
  const answer = await read(`/api/messages/${encodeURIComponent(id)}`);
  if (id !== openIn("messages")) return;
  if (answer.ok) {
    open(answer.body);
  } else {
    close();
    fill(outcome, problemBox(answer));
  }
}

/** Shows a message from its send to its receipt, with what to do. */
function drawStory(message) {
  const { msgid, scheduled, touser, template_id: template, campaign, errcode, sent_at: sent, finished_at: finished, receipt, meaning } = message;
  const title = h("h2", { tabindex: "-1" }, msgid ? `msgid ${msgid}` : t("scheduled-message", scheduled ?? ""));
  const facts = [["openid", touser], [t("template-id"), template], [t("campaign"), campaign], ["errcode", errcode], [t("receipt"), receipt]];
  const steps = [
    [t("step-accepted"), sent],
    [t("step-receipt"), finished, sent && finished && t("after", span(finished - sent)), ["blocked", "failed"].includes(message.status)],
  ];
  fill(story, h("div", { class: "row" }, title, h("span", { class: "grow" }), statusPill(message.status)),
    h("ol", { class: "steps" }, steps.map(([step, at, after, isBad]) => h("li", { class: at ? "done" : "" }, icon(at ? (isBad ? "cross" : "check") : "pause"),
      h("span", {}, step, ": ", at ? dateTime(at) : t("not-yet"), after && [" ", after])))),
    h("div", { class: "remedy" }, h("strong", {}, t("meaning")), h("p", {}, scheduled && !msgid ? t("not-sent") : both(meaning))),
    factList(facts),
    h("div", { class: "row" }, button(t("back-to-list"), close, { id: "message-close" })));
  overview.hidden = true;
  story.hidden = false;
  title.focus();
}

function close() {
  state.story = null;
  if (openIn("messages")) go("messages");
  story.hidden = true;
  overview.hidden = false;
  find.focus();
}
