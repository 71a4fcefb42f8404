// The activity: every callback and every call as it happens, decrypted and explained.

import { authorization, run } from "../api.js";
import { button, fill, h, icon, iconButton, moveFocus } from "../dom.js";
import { elements, pretty, shortOpenid, took } from "../format.js";
import { Phrase, t } from "../i18n.js";
import { actions } from "./replay.js";
import { addRuleButton } from "../rules.js";
import { texts } from "../texts.js";
import { timeOfDay } from "../time.js";

/** The newest events that the list, and a pause, hold. The console's own reads, which it polls, have places of their own. */
const REMEMBERED = 400;
const OWN_READS = 50;
/** errcode "no menu". Not a failure: an account needs no menu. */
const NO_MENU = 46003;
const KINDS = {
  callback: { icon: "down", label: "kind-callback", direction: "to-you" },
  failed_delivery: { icon: "warning", label: "kind-failed", direction: "to-you" },
  call: { icon: "up", label: "kind-call", direction: "to-wechat" },
  api: { icon: "chevron", label: "kind-api", direction: "to-you" },
};
const FILTERS = {
  all: () => true,
  callbacks: (event) => event.kind === "callback" || event.kind === "failed_delivery",
  calls: (event) => event.kind === "call",
  api: (event) => event.kind === "api",
  failures: (event) => failed(event),
};
/** The answers of a webhook that has nothing to say. */
const NO_REPLY = ["", "success"];

const state = { run: null, events: [], held: [], since: 0, filter: "all", words: "", ownReads: false, paused: false, last: 0 };

const list = h("ol", { class: "events", "aria-label": t("place-activity") });
const spoken = h("p", { class: "unseen", "aria-live": "polite" });
const link = h("span", { class: "link-state", role: "status" });
const pause = iconButton("pause", t("pause"), togglePause, { "aria-pressed": "false" });
const held = h("button", { type: "button", class: "held", hidden: true, on: { click: togglePause } });

export function activityPanel() {
  // Calls to WeChat are known in simulated runs only.
  const names = Object.keys(FILTERS).filter((name) => run.simulated || name !== "calls");
  const filters = names.map((name) => button(t(`filter-${name}`), () => {
    state.filter = name;
    for (const other of filters) other.setAttribute("aria-pressed", String(other.dataset.filter === name));
    render();
  }, { class: "chip", "data-filter": name, "aria-pressed": String(name === "all") }));
  const words = h("input", { type: "search", placeholder: t("search"), "aria-label": t("search") });
  words.addEventListener("input", () => {
    state.words = words.value.toLowerCase();
    render();
  });
  const ownReads = h("input", { type: "checkbox" });
  ownReads.addEventListener("change", () => {
    state.ownReads = ownReads.checked;
    render();
  });
  const clear = iconButton("trash", t("clear"), () => {
    state.events = [];
    render();
  });
  render();
  return h(
    "section",
    { class: "place activity-place", "aria-label": t("place-activity") },
    h("div", { class: "place-head" }, h("h2", {}, t("place-activity")), link, h("span", { class: "grow" }), pause, clear),
    h("div", { class: "chips", role: "group", "aria-label": t("filter") }, filters),
    h("div", { class: "row" }, words, h("label", { class: "check" }, ownReads, t("own-reads"))),
    held, list, spoken,
  );
}

list.addEventListener("keydown", (event) => {
  if (event.target.matches(".event > summary")) moveFocus(event, summaries());
});
// The list is one tab stop: the row that had the focus last.
list.addEventListener("focusin", (event) => event.target.matches(".event > summary") && makeStop(event.target));

function summaries() {
  return [...list.querySelectorAll(".event > summary")];
}

function makeStop(chosen) {
  for (const summary of summaries()) summary.tabIndex = summary === chosen ? 0 : -1;
}

/** Follows the stream for ever. Reconnects with backoff after a break; the server's history fills the gap. */
export async function followActivity(happened) {
  for (let pauseFor = 500; ; pauseFor = Math.min(pauseFor * 2, 8000)) {
    try {
      const answer = await fetch("/console/activity", { headers: authorization() });
      if (answer.status === 401) document.dispatchEvent(new Event("unauthorized"));
      if (answer.ok) {
        pauseFor = 500;
        showLink(true);
        await readStream(answer.body, happened);
      }
    } catch {
      // The run has stopped or restarts. The loop retries.
    }
    showLink(false);
    await new Promise((resolve) => setTimeout(resolve, pauseFor));
  }
}

function showLink(isOpen) {
  link.classList.toggle("open", isOpen);
  fill(link, t(isOpen ? "live" : "not-connected"));
}

/** Reads server-sent events: blocks of "field: value" lines, each ended by an empty line. */
async function readStream(body, happened) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    const blocks = buffer.split("\n\n");
    buffer = blocks.pop();
    const fresh = blocks.map(takeBlock).filter(Boolean);
    if (fresh.length) render();
    // The console's own reads would cause others for ever.
    if (fresh.some((event) => !event.is_own_read)) happened();
  }
}

/** Takes one server-sent event; returns what is new for the list, or null. */
function takeBlock(block) {
  const field = (name) => block.split("\n").filter((line) => line.startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).trimStart()).join("\n");
  const kind = field("event");
  if (kind === "hello") {
    const { run: begun } = JSON.parse(field("data"));
    if (begun !== state.run) Object.assign(state, { run: begun, events: [], held: [], since: 0, last: 0 });
    document.dispatchEvent(new CustomEvent("run", { detail: begun }));
  } else if (kind === "lost") {
    return add({ kind: "lost", count: Number(field("data")), at: Date.now() });
  } else if (kind === "activity") {
    const event = JSON.parse(field("data"));
    if (event.id <= state.last) return null;
    state.last = event.id;
    if (event.openid) document.dispatchEvent(new CustomEvent("openid", { detail: event.openid }));
    return add(event);
  }
  return null;
}

function add(event) {
  const list = state.paused ? "held" : "events";
  state[list] = newest([event, ...state[list]]);
  if (state.paused && !event.is_own_read) state.since += 1;
  return event;
}

/** The events that are kept, of all from new to old. */
function newest(events) {
  const left = { own: OWN_READS, others: REMEMBERED };
  return events.filter((event) => (left[event.is_own_read ? "own" : "others"] -= 1) >= 0);
}

function togglePause() {
  state.paused = !state.paused;
  if (!state.paused) {
    Object.assign(state, { events: newest([...state.held, ...state.events]), held: [], since: 0 });
  }
  pause.setAttribute("aria-pressed", String(state.paused));
  fill(pause, icon(state.paused ? "play" : "pause"));
  render();
}

export function failed(event) {
  const isRefused = event.status === null || event.status >= 400;
  if (event.errcode === NO_MENU) return false;
  return event.kind === "failed_delivery" || isRefused || Boolean(event.errcode) || Boolean(refusal(event));
}

/** The status of a receipt of a message that did not arrive, such as "failed:user block"; otherwise null. */
function refusal(event) {
  if (event.kind !== "callback" || !/^event\.TEMPLATE/i.test(event.what ?? "")) return null;
  const status = elements(event.request.text).Status;
  return status && status !== "success" ? status : null;
}

/** Whether a user wrote or tapped something, and no rule had a reply. */
function hasNoRule(event) {
  const wantsReply = event.kind === "callback" && ["text", "event.CLICK"].includes(event.what);
  return wantsReply && event.status === 200 && NO_REPLY.includes(event.response.text.trim());
}

/** Whether the list may show the event. Otherwise it is as if it had not happened. */
function isWanted(event) {
  return state.ownReads || !event.is_own_read;
}

function isShown(event) {
  if (event.kind === "lost") return true;
  if (!isWanted(event)) return false;
  if (!FILTERS[state.filter](event)) return false;
  return !state.words || searchable(event).includes(state.words);
}

function searchable(event) {
  event.searchable ??= [event.path, event.query, event.what, event.openid, event.errcode, event.status,
    refusal(event) && [texts["status-blocked"], texts["status-failed"]], hasNoRule(event) && texts["no-rule-matched"],
    names(title(event)), texts[KINDS[event.kind].label], event.request?.text, event.response?.text].flat(9).join(" ").toLowerCase();
  return event.searchable;
}

/** The words of a title in both languages, since people search for what they read. */
function names(shown) {
  return [shown].flat().map((part) => (part instanceof Phrase ? [part.english, part.chinese] : part?.textContent ?? part));
}

/** Keeps the rows that exist, so that an open row stays open and keeps the focus. */
function render() {
  held.hidden = !(state.paused && state.since);
  fill(held, state.since > REMEMBERED ? t("held-cut", state.since, REMEMBERED) : t("held", state.since));
  const shown = state.events.filter(isShown);
  if (shown.length === 0) {
    const why = state.events.some(isWanted) ? "nothing-matches" : run.simulated ? "activity-empty" : "activity-empty-real";
    fill(list, h("li", { class: "empty" }, t(why)));
    return;
  }
  list.querySelector(":scope > .empty")?.remove();
  const rows = shown.map((event) => (event.row ??= row(event)));
  const keep = new Set(rows);
  for (const child of [...list.children]) if (!keep.has(child)) child.remove();
  rows.forEach((item, index) => {
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
  if (!list.querySelector("summary[tabindex='0']")) makeStop(summaries()[0]);
  const newest = shown[0];
  if (newest.kind !== "lost") fill(spoken, t(KINDS[newest.kind].label), ` ${newest.path} ${newest.status ?? ""}`);
}

function row(event) {
  if (event.kind === "lost") return h("li", { class: "lost" }, t("lost", event.count));
  const kind = KINDS[event.kind];
  const details = h("details", { class: `event ${event.kind} ${failed(event) ? "failed" : ""}` });
  details.append(h("summary", { tabindex: "-1" },
    h("span", { class: "direction", title: t(kind.direction) }, icon(kind.icon)),
    h("span", { class: "event-main" },
      h("span", { class: "event-title" }, title(event)),
      h("span", { class: "event-sub" }, subtitle(event))),
    h("span", { class: "event-end" }, pill(event), h("span", { class: "took" }, took(event.millis)))));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(body(event));
  });
  return h("li", {}, details);
}

function title(event) {
  if (event.kind === "failed_delivery") return t("delivery-failed", event.delivery);
  if (event.kind === "callback" && event.what) return [callbackName(event.what), saying(event)];
  return `${event.method} ${event.path}`;
}

/** The user's text, or the button's or QR code's key. */
function saying(event) {
  const members = elements(event.request.text);
  const said = ["Content", "EventKey", "Recognition", "Label", "Title", "Status"].map((name) => members[name]).find(Boolean);
  return said && h("span", { class: "saying" }, said);
}

/** A plain name for "event.subscribe" and the like. */
function callbackName(what) {
  const name = what.replace(/^event\./, "");
  const known = { text: "msg-text", subscribe: "msg-subscribe", unsubscribe: "msg-unsubscribe", click: "msg-click",
    view: "msg-view", image: "an-image", voice: "a-voice", video: "a-video", location: "a-location", link: "a-link",
    scan: "a-scan", template_send_job_finish: "msg-receipt" };
  const plain = name.toLowerCase();
  const key = known[plain] ?? (plain.includes("template") ? "msg-receipt" : null);
  return key ? t(key) : what;
}

function subtitle(event) {
  const parts = [timeOfDay(event.at), " · ", t(KINDS[event.kind].label)];
  if (hasNoRule(event)) parts.push(" · ", h("strong", { class: "no-rule" }, t("no-rule-matched")));
  if (event.what) parts.push(" · ", event.what);
  if (event.openid) parts.push(" · ", shortOpenid(event.openid));
  if (event.request?.sealed) parts.push(" · ", t("was-encrypted"));
  if (event.is_fault) parts.push(" · ", t("ordered-fault"));
  return parts.map((part) => h("span", {}, part));
}

function pill(event) {
  const refused = refusal(event);
  if (refused) return h("span", { class: "pill bad" }, t(/block/.test(refused) ? "status-blocked" : "status-failed"));
  if (event.errcode) return h("span", { class: `pill ${failed(event) ? "bad" : ""}` }, String(event.errcode));
  if (event.status === null) return h("span", { class: "pill bad" }, t("no-answer"));
  const kind = event.kind === "failed_delivery" || event.status >= 400 ? "bad" : "good";
  return h("span", { class: `pill ${kind}` }, String(event.status));
}

function body(event) {
  const explained = event.explained && h("div", { class: `explained ${failed(event) ? "bad" : ""}` },
    h("strong", {}, `${event.errcode} · `, new Phrase(event.explained.english, event.explained.chinese)),
    h("p", {}, new Phrase(event.explained.remedy_english, event.explained.remedy_chinese)));
  const refused = event.kind === "callback" && event.status === 403
    && h("div", { class: "explained bad" }, h("p", {}, t("callback-refused")));
  const noRule = hasNoRule(event) && h("div", { class: "explained" }, h("p", {}, t("no-rule")),
    addRuleButton(elements(event.request.text)));
  const query = event.query && h("div", { class: "body" }, h("h3", {}, t("query")), h("pre", { tabindex: "0" }, event.query));
  return h("div", { class: "event-body" }, actions(event), explained, refused, noRule, query,
    part(t("request"), event.request), part(event.kind === "failed_delivery" ? t("reason") : t("answer"), event.response));
}

function part(label, shown) {
  if (!shown?.text) return null;
  const sealed = shown.sealed && h("details", { class: "sealed" }, h("summary", {}, t("as-it-travelled")),
    h("pre", { tabindex: "0" }, shown.sealed));
  return h("div", { class: "body" }, h("h3", {}, label, shown.sealed && h("span", { class: "decrypted" }, t("decrypted"))),
    h("pre", { tabindex: "0" }, pretty(shown.text)), shown.is_cut && h("p", { class: "hint" }, t("cut")), sealed);
}
