// The messages that wait for their time. Each can be cancelled until it is sent.

import { call, read } from "./api.js";
import { button, fill, h, isShown, redraw, sureButton } from "./dom.js";
import { shortOpenid } from "./format.js";
import { t } from "./i18n.js";
import { problemBox, sayEnd } from "./problem.js";
import { templateOf, templatesRead } from "./template.js";
import { dateTime } from "./time.js";

/** The interval between two looks while messages wait, in milliseconds. */
const PAUSE = 15_000;

const state = { messages: [], isPaged: false, loading: 0 };

const number = h("span", {});
const outcome = h("div", { class: "outcome" });
const list = h("ul", { class: "users" });
const element = h("details", { class: "more-fields", id: "scheduled", on: { toggle: () => element.open && showScheduled() } },
  h("summary", {}, t("scheduled-messages"), " ", number), outcome, list);

/** Returns the list, which is read again while it is shown. A list of several pages stays as it is. */
export function scheduledList() {
  setInterval(() => isShown(element) && state.messages.length > 0 && !state.isPaged && showScheduled(), PAUSE);
  return element;
}

/** Reads the first page, or the next one after it. */
export async function showScheduled(cursor = null) {
  const loading = ++state.loading;
  const answer = await read(`/api/scheduled${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ""}`);
  await templatesRead();
  if (loading !== state.loading) return;
  fill(outcome, !answer.ok && problemBox(answer));
  if (!answer.ok) return;
  const { messages, cursor: next = null } = answer.body;
  Object.assign(state, { messages: cursor ? [...state.messages, ...messages] : messages, isPaged: Boolean(cursor) });
  fill(number, `(${state.messages.length}${next ? "+" : ""})`);
  redraw(list, [state.messages, next], () => fill(list,
    state.messages.length === 0 && h("li", { class: "empty" }, t("no-scheduled")),
    state.messages.map(row),
    next && h("li", {}, button(t("more-messages"), () => showScheduled(next)))));
}

function row({ scheduled, send_at: at, touser, user, template_id: template, key }) {
  const recipient = user ?? touser;
  return h("li", { "data-scheduled": scheduled },
    h("div", { class: "grow" }, h("strong", {}, dateTime(at)),
      h("span", { class: "hint" }, h("code", { title: recipient }, user ?? shortOpenid(touser)), " · ", templateOf(template)?.title ?? h("code", {}, template),
        " · ", t("by-key", key))),
    sureButton(t("cancel"), () => cancel(scheduled), { class: "small danger", "aria-label": t("cancel-what", recipient) }));
}

async function cancel(id) {
  const answer = await call("DELETE", `/api/scheduled/${encodeURIComponent(id)}`);
  sayEnd(answer, t("scheduled-cancelled"));
  await showScheduled();
}
