// One campaign: its dry run and start, what became of its messages, and its recipients.

import { call, read } from "./api.js";
import { busy, button, factList, fill, h, icon, redraw, sureButton, toast } from "./dom.js";
import { rateLine, shareBar, swatch } from "./chart.js";
import { count, span } from "./format.js";
import { both, t } from "./i18n.js";
import { loader } from "./load.js";
import { problemBox } from "./problem.js";
import { statusPill } from "./status.js";
import { messageText, templateOf, templatesRead } from "./template.js";
import { dateTime } from "./time.js";

const STOPPABLE = ["loading", "scheduled", "canary", "running", "waiting"];
const ENDED = ["stopped", "done", "cancelled"];
/** What can be done, and in which states. A draft starts from its dry run. */
const ACTIONS = {
  pause: STOPPABLE,
  resume: ["waiting", "paused", "stopped"],
  cancel: [...STOPPABLE, "paused", "stopped"],
  resend: ENDED,
  delete: ["draft", ...ENDED],
  copy: ["draft", ...STOPPABLE, "paused", ...ENDED],
};
/** The actions that need no second click. */
const AT_ONCE = ["pause", "resume", "copy"];
/** The states of a recipient. */
const RECIPIENT = ["queued", "sent", "delivered", "blocked", "failed", "refused", "unknown"];
/** How many looks the line of the rate shows. */
const RATES = 150;
/** The reasons to refuse a recipient that the page explains. */
const REFUSALS = ["40003", "43004", "43117", "47003", "unknown-user"];

/** The state of a campaign in words. */
export function stateOf({ state }) {
  const kind = { done: "good", stopped: "bad" }[state] ?? "";
  return h("span", { class: `pill ${kind}`, "data-state": state }, t(`campaign-${state}`));
}

/** The share of the recipients that had their turn. It is unknown while they are loaded. */
export function progressOf(campaign) {
  const value = campaign.state === "loading" ? undefined : tried(campaign);
  return h("progress", { max: campaign.recipients || 1, value, "aria-label": t("progress-of", campaign.name) });
}

/** Whether the campaign may change by itself: receipts come after the end too. */
export function mayChange({ state, totals }) {
  return !ENDED.includes(state) || totals.sent > 0;
}

function tried({ recipients, totals }) {
  return recipients - totals.queued;
}

/** Shows the campaign with this id. `close` leads back to the list, `copy` makes a new one of it. */
export function campaignView(id, close, copy) {
  const path = `/api/campaigns/${encodeURIComponent(id)}`;
  const title = h("h2", { tabindex: "-1" });
  const status = h("div", { class: "campaign-status", role: "status" });
  const buttons = h("div", { class: "row wrap" });
  const failure = h("div", { class: "outcome" });
  const outcome = h("div", { class: "outcome" });
  const content = h("div", { class: "tool" });
  const dry = dryRun(path, () => campaign, () => act("start"));
  const progress = progressView();
  let looks = 0;
  let campaign = null;

  async function look() {
    const mine = ++looks;
    const answer = await read(path);
    if (answer.body?.state === "draft") await templatesRead();
    if (mine !== looks) return;
    redraw(failure, answer.ok ? null : answer.body, () => fill(failure, !answer.ok && problemBox(answer)));
    if (!answer.ok) return;
    campaign = answer.body;
    show();
  }

  function show() {
    const { name, state, totals, audience } = campaign;
    const isDraft = state === "draft";
    fill(title, name);
    redraw(status, [state, campaign.waiting_for, campaign.resumes_at, campaign.reason, isDraft && [campaign.recipients, planOf(campaign)]],
      () => fill(status, statusOf(campaign)));
    const actions = Object.keys(ACTIONS).filter((action) => ACTIONS[action].includes(state) && (action !== "resend" || totals.unknown > 0));
    redraw(buttons, actions, () => fill(buttons, actions.map(actionButton)));
    redraw(content, isDraft, () => fill(content, isDraft
      ? [audience === "list" && loader(path, templateOf(campaign.template_id)?.fields ?? [], changed), dry.element]
      : [progress.element, recipientList(path, name)]));
    progress.show(campaign);
  }

  function actionButton(action) {
    const isSafe = AT_ONCE.includes(action);
    const does = { delete: remove, copy: () => copy(campaign) }[action] ?? (() => busy(element, () => act(action)));
    const attributes = { "data-action": action, class: isSafe ? "" : "danger" };
    const question = () => (action === "resend" ? t("resend-sure", count(campaign.totals.unknown)) : t("sure"));
    const element = isSafe ? button(t(`do-${action}`), does, attributes) : sureButton(t(`do-${action}`), does, attributes, question);
    return element;
  }

  async function act(action) {
    const answer = await call("POST", `${path}/${action === "resend" ? "resend?state=unknown" : action}`);
    fill(outcome, !answer.ok && problemBox(answer));
    if (answer.ok) toast(t(`did-${action}`), "good");
    else outcome.scrollIntoView({ block: "nearest" });
    await look();
  }

  async function remove() {
    const answer = await call("DELETE", path);
    if (!answer.ok) {
      fill(outcome, problemBox(answer));
      return;
    }
    toast(t("did-delete"), "good");
    close();
  }

  /** What the dry run said does not hold for another list. */
  async function changed() {
    dry.forget();
    await look();
  }

  return {
    element: h("div", { class: "tool" },
      h("div", { class: "place-head" }, button([icon("arrowLeft"), t("all-campaigns")], close, { class: "small", id: "all-campaigns" })),
      title, status, failure, outcome, buttons, content),
    title,
    /** Reads the campaign again. */
    look,
    /** Whether another look may show something else. */
    get mayChange() {
      return !campaign || mayChange(campaign);
    },
  };
}

function statusOf(campaign) {
  const { state, waiting_for: waitingFor, resumes_at: resumesAt, start_at: startAt, reason } = campaign;
  return [
    h("div", {}, stateOf(campaign)),
    state === "draft" && h("p", {}, audienceOf(campaign)),
    state === "draft" && factList(planOf(campaign)),
    state === "scheduled" && startAt && h("p", {}, t("starts-at", dateTime(startAt))),
    state === "waiting" && waitingFor && h("p", {}, t(`waits-for-${waitingFor}`)),
    resumesAt && h("p", {}, t("resumes-at", dateTime(resumesAt))),
    reason && h("p", {}, both(reason)),
  ];
}

function audienceOf({ audience, recipients }) {
  if (audience === "list") return t("load-total", count(recipients));
  return audience.tag === undefined ? t("audience-followers") : [t("audience-tag"), ` ${audience.tag}`];
}

/** What was decided when the campaign was made: when it begins, and how fast. */
function planOf({ pace, start_at: startAt, canary }) {
  const isPast = startAt && startAt * 1000 < Date.now();
  return [
    [t("start-at"), startAt ? [dateTime(startAt), isPast ? [" ", t("start-passed")] : ""] : t("once-started")],
    [t("pace"), count(pace)],
    [t("canary"), canary ? t("canary-plan", count(canary.count), count(canary.wait)) : t("no-canary")],
  ];
}

/** The question before the start, with how many people get the message. */
function startQuestion({ audience }, recipients) {
  if (recipients !== undefined) return t("start-sure", count(recipients));
  return audience.tag === undefined ? t("start-sure-followers") : t("start-sure-tag", audience.tag);
}

/** Shows whom the `campaign()` reaches and what it costs, and lets it start then. */
function dryRun(path, campaign, start) {
  const outcome = h("div", { class: "outcome", "aria-live": "polite" });
  const examine = button(t("dry-run"), async () => {
    const answer = await busy(examine, () => read(`${path}/preview`), outcome);
    fill(outcome, answer.ok ? [previewed(campaign(), answer.body), startOf(answer.body)] : problemBox(answer));
    outcome.scrollIntoView({ block: "nearest" });
  }, { class: "wide", id: "dry-run" });
  const startOf = ({ recipients }) => {
    if (recipients === 0) return h("p", { class: "result bad", id: "nobody-yet" }, t("nobody-yet"));
    const element = sureButton(t("start"), () => busy(element, start), { class: "primary wide", id: "campaign-start" },
      () => startQuestion(campaign(), recipients));
    return element;
  };
  return {
    element: h("section", { class: "tool" }, h("h3", {}, t("dry-run")), h("p", { class: "hint" }, t("dry-run-hint")), examine, outcome),
    forget: () => fill(outcome),
  };
}

function previewed(campaign, { recipients, message, findings = [], seconds, quota }) {
  const facts = [
    [t("recipients"), recipients === undefined ? t("not-known-yet") : count(recipients)],
    ...planOf(campaign),
    [t("duration"), seconds === undefined ? t("not-known-yet") : span(seconds)],
    ...(quota ? [
      [t("quota"), t("quota-use", count(quota.used), count(quota.daily_limit), count(quota.remain))],
      [t("reserve"), count(quota.reserve)],
      [t("days"), quota.days],
    ] : [[t("quota"), t("quota-unknown")]]),
  ];
  return h("div", { class: "result", id: "dry-run-result" }, factList(facts),
    message && [
      h("h4", {}, message.touser ? t("first-message", message.touser) : t("first-message-unknown")),
      h("pre", { tabindex: "0" }, messageText(message)),
      message.url && h("p", {}, t("link-field"), " ", h("code", {}, message.url)),
    ],
    findings.map(({ field, rule }) => h("p", { class: "fault" }, h("code", {}, field), " ", both(rule))));
}

/** The progress of a campaign that has started. */
function progressView() {
  const bar = h("div", {});
  const facts = h("div", {});
  const line = h("div", {});
  const totals = h("div", { class: "tool" });
  const rates = [];
  let last = null;

  /** Messages a second since the look before, which is a second old at least: a click may look again at once. */
  const measure = (campaign) => {
    const now = { at: performance.now(), tried: tried(campaign) };
    const seconds = last ? (now.at - last.at) / 1000 : 0;
    if (last && seconds < 1) return;
    // A resend puts people back into the queue.
    if (last) rates.push(Math.max(0, now.tried - last.tried) / seconds);
    if (rates.length > RATES) rates.shift();
    last = now;
  };

  const show = (campaign) => {
    measure(campaign);
    const isSending = ["canary", "running"].includes(campaign.state);
    const { recipients, pace, started_at: started, finished_at: finished, remaining_seconds: remaining } = campaign;
    const shown = [
      [t("tried"), t("of-all", count(tried(campaign)), count(recipients))],
      isSending && rates.length > 0 && [t("rate"), t("rate-of-pace", rates.at(-1).toFixed(1), pace)],
      isSending && typeof remaining === "number" && [t("remaining"), span(remaining)],
      started && [t("started-at"), dateTime(started)],
      finished && [t("finished-at"), dateTime(finished)],
    ];
    redraw(bar, [campaign.state, recipients, tried(campaign)], () => fill(bar, progressOf(campaign)));
    redraw(facts, shown, () => fill(facts, factList(shown)));
    redraw(line, rates, () => fill(line, rates.length > 1 && h("figure", { class: "chart" },
      h("figcaption", { class: "hint" }, t("rate-so-far", pace)), rateLine(t("rate"), rates, pace))));
    redraw(totals, [campaign.totals, campaign.refusals], () => fill(totals, shareBar(t("totals"), inOrder(campaign.totals)),
      totalsTable(campaign.totals), refusalList(campaign.refusals ?? {})));
  };
  return { element: h("section", { class: "tool" }, bar, facts, line, totals), show };
}

/** The totals, with the good outcomes first and the recipients that wait last. */
function inOrder(totals) {
  return Object.fromEntries([...RECIPIENT.slice(1), RECIPIENT[0]].map((state) => [state, totals[state]]));
}

function totalsTable(totals) {
  return h("table", { class: "totals" }, h("caption", { class: "unseen" }, t("totals")),
    h("tbody", {}, RECIPIENT.map((state) => h("tr", { "data-total": state },
      h("th", { scope: "row" }, swatch(state), t(`status-${state}`)), h("td", { class: "number" }, count(totals[state])),
      h("td", { class: "hint" }, t(`means-${state}`))))));
}

function refusalList(refusals) {
  const list = Object.entries(refusals);
  return list.length > 0 && [h("h3", {}, t("refusals")),
    factList(list.map(([code, number]) => [code, [count(number), REFUSALS.includes(code) && [" · ", t(`refusal-${code}`)]]]))];
}

/** The recipients by state, a page at a time, and all of them as a file. */
function recipientList(path, name) {
  const choice = h("select", { id: "recipient-state", on: { change: () => load() } },
    h("option", { value: "" }, t("filter-all")), RECIPIENT.map((state) => h("option", { value: state }, t(`status-${state}`))));
  const list = h("ul", { class: "users" });
  const outcome = h("div", { class: "outcome" });
  const save = button(t("export"), () => busy(save, saveAll, outcome), { id: "export" });
  const of = () => `${path}/recipients${choice.value && `?state=${choice.value}`}`;

  async function load(next = of(), before = []) {
    const chosen = choice.value;
    const answer = await read(next);
    if (chosen !== choice.value) return;
    fill(outcome, !answer.ok && problemBox(answer));
    if (!answer.ok) return;
    const { recipients, cursor } = answer.body;
    const shown = [...before, ...recipients];
    const more = cursor && `${of()}${chosen ? "&" : "?"}cursor=${encodeURIComponent(cursor)}`;
    fill(list, shown.map(recipientRow), !cursor && shown.length === 0 && h("li", { class: "empty" }, t("no-recipients")),
      cursor && h("li", {}, button(t("more-recipients"), () => load(more, shown))));
  }

  /** Follows the pages and saves them as one file. Every page has the header; the file has it once. */
  async function saveAll() {
    const file = `${name}${choice.value && `-${choice.value}`}.csv`;
    const pages = [];
    let header = "";
    for (let next = of(); next;) {
      const answer = await read(next, { accept: "text/csv" });
      if (!answer.ok) {
        fill(outcome, problemBox(answer));
        return;
      }
      header ||= answer.text.slice(0, answer.text.indexOf("\n") + 1);
      pages.push(pages.length > 0 && answer.text.startsWith(header) ? answer.text.slice(header.length) : answer.text);
      fill(outcome, h("p", { class: "hint" }, t("pages-read", pages.length)));
      ({ next } = answer);
    }
    fill(outcome);
    // Excel reads a file without the byte order mark in the encoding of the country.
    saveFile(file, ["\ufeff", ...pages.map(withoutFormulas)]);
  }

  return h("details", { class: "more-fields", id: "campaign-recipients", on: { toggle: (event) => event.target.open && load() } },
    h("summary", {}, t("recipients")),
    h("div", { class: "row" }, h("label", { for: "recipient-state" }, t("recipient-state")), choice, save), outcome, list);
}

function recipientRow({ touser, user, state, msgid, errcode }) {
  return h("li", {},
    h("div", { class: "grow" }, user && h("strong", {}, user), h("code", {}, touser ?? ""), msgid && h("span", { class: "hint" }, `msgid ${msgid}`)),
    errcode && h("code", {}, String(errcode)), statusPill(state));
}

/** Marks cells that a spreadsheet would run as a formula: ids come from callers of the API. */
function withoutFormulas(csv) {
  return csv.replace(/(^|[,\n])("?)(?=[=+@]|-(?!\d*(?:[,\r\n]|$)))/g, "$1$2'");
}

function saveFile(name, parts) {
  const url = URL.createObjectURL(new Blob(parts, { type: "text/csv" }));
  h("a", { href: url, download: name }).click();
  // The browser reads the file after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
