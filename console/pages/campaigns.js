// Campaigns: the list, the form that makes one, and the one that is open.

import { call, read } from "./api.js";
import { campaignView, mayChange, progressOf, stateOf } from "./campaign.js";
import { busy, button, fill, h, icon, isShown, redraw, toast } from "./dom.js";
import { count } from "./format.js";
import { both, t } from "./i18n.js";
import { problemBox } from "./problem.js";
import { field, templateForm } from "./template.js";
import { dateTime, epochOf } from "./time.js";

/** The interval between two looks while the panel is open, in milliseconds. */
const PAUSE = 2000;

/** The campaigns read so far, newest first, and the one that is open. */
const state = { campaigns: [], cursor: null, loading: 0, isPaged: false, isLooking: false, view: null };

const template = templateForm("campaign", "campaign-data");
const name = input("name", { maxlength: "100", autocomplete: "off" });
const url = input("url", { inputmode: "url" });
const audience = h("select", { id: "campaign-audience", on: { change: showTag } },
  ["list", "followers", "tag"].map((each) => h("option", { value: each }, t(`audience-${each}`))));
const tag = input("audience-tag", { type: "number", min: "0", placeholder: "134" });
const tagField = field(tag.id, t("tag-number"), tag);
const pace = input("pace", { type: "number", min: "1", max: "1000", value: "50" });
const startAt = input("start_at", { type: "datetime-local" });
const canaryCount = input("canary-count", { type: "number", min: "1" });
const canaryWait = input("canary-wait", { type: "number", min: "0", value: "300" });
const reserve = input("keep_for_single_sends", { type: "number", min: "0" });
const make = h("button", { type: "submit", class: "primary wide", id: "campaign-make" }, t("make-campaign"));
const outcome = h("div", { class: "outcome" });
const creation = h("details", { class: "more-fields", id: "new-campaign" });
const failure = h("div", { class: "outcome" });
const list = h("ul", { class: "users campaigns" });
const overview = h("div", { class: "tool" });
const panel = h("div", { class: "tool" });

function input(member, attributes) {
  return h("input", { id: `campaign-${member}`, ...attributes });
}

export function campaignsPanel() {
  showTag();
  setInterval(lookAgain, PAUSE);
  fill(creation, h("summary", {}, icon("plus"), t("new-campaign")), template.head,
    h("form", { class: "form", novalidate: true, on: { submit: makeCampaign } },
      field(name.id, t("campaign-name"), name),
      template.choice, template.inputs,
      field(url.id, t("link-field"), url),
      field(audience.id, t("audience"), audience), tagField,
      field(pace.id, t("pace"), pace),
      field(startAt.id, t("start-at"), startAt, t("start-at-why")),
      h("details", { class: "more-fields" }, h("summary", {}, t("more-options")), h("div", { class: "fields" },
        field(canaryCount.id, t("canary-count"), canaryCount, t("canary-why")),
        field(canaryWait.id, t("canary-wait"), canaryWait),
        field(reserve.id, t("reserve"), reserve, t("reserve-why")))),
      make),
    outcome);
  fill(overview, h("h2", {}, t("campaigns-title")), h("p", { class: "hint" }, t("campaigns-hint")), creation, failure, list);
  return fill(panel, overview);
}

function showTag() {
  tagField.hidden = audience.value !== "tag";
}

/** Reads what is shown: the open campaign, or the first page of the list. */
export async function showCampaigns() {
  if (state.view) {
    await state.view.look();
    return;
  }
  const loading = ++state.loading;
  const answer = await read("/api/campaigns");
  if (loading !== state.loading) return;
  redraw(failure, answer.ok ? null : answer.body, () => fill(failure, !answer.ok && problemBox(answer)));
  if (!answer.ok) return;
  Object.assign(state, { campaigns: answer.body.campaigns, cursor: answer.body.cursor, isPaged: false });
  render();
}

async function showMore() {
  const loading = ++state.loading;
  const answer = await read(`/api/campaigns?cursor=${encodeURIComponent(state.cursor)}`);
  if (loading !== state.loading) return;
  if (!answer.ok) {
    toast(both(answer.body.detail), "bad");
    return;
  }
  Object.assign(state, { campaigns: [...state.campaigns, ...answer.body.campaigns], cursor: answer.body.cursor, isPaged: true });
  render();
}

/** Reads again what is shown and may change. Waits for a slow answer; a list of several pages stays as it is. */
async function lookAgain() {
  if (!isShown(panel) || state.isLooking) return;
  state.isLooking = true;
  if (state.view?.mayChange) await state.view.look();
  else if (!state.view && !state.isPaged && state.campaigns.some(mayChange)) await showCampaigns();
  state.isLooking = false;
}

function render() {
  redraw(list, [state.campaigns, state.cursor], () => fill(list,
    state.campaigns.length === 0 && h("li", { class: "empty" }, t("no-campaigns")),
    state.campaigns.map(row),
    state.cursor && h("li", {}, button(t("more-campaigns"), showMore))));
}

function row(campaign) {
  const { id, name: title, recipients, created_at: created } = campaign;
  return h("li", { "data-campaign": id },
    h("div", { class: "grow" }, button(title, () => open(id), { class: "small campaign-name" }),
      campaign.state !== "draft" && progressOf(campaign),
      h("span", { class: "hint" }, t("recipients-since", count(recipients), dateTime(created)))),
    stateOf(campaign));
}

function open(id) {
  state.view = campaignView(id, close);
  fill(panel, state.view.element);
  state.view.title.focus();
  state.view.look();
}

function close() {
  state.view = null;
  fill(panel, overview);
  creation.querySelector("summary").focus();
  showCampaigns();
}

async function makeCampaign(event) {
  event.preventDefault();
  template.clearFaults();
  const answer = await busy(make, () => call("POST", "/api/campaigns", request()), outcome);
  if (!answer.ok) {
    fill(outcome, problemBox(answer));
    template.showFaults(answer.body)?.focus();
    return;
  }
  toast(t("campaign-made"), "good");
  name.value = "";
  creation.open = false;
  open(answer.body.id);
}

/** What the form says. A value that is left empty may come with each recipient. */
function request() {
  const number = (from) => (from.value === "" ? undefined : Number(from.value));
  return {
    name: name.value.trim(),
    template_id: template.id,
    data: Object.fromEntries(Object.entries(template.data).filter(([, { value }]) => value !== "")),
    url: url.value.trim() || undefined,
    audience: audience.value === "tag" ? { tag: number(tag) } : audience.value,
    pace: number(pace),
    start_at: startAt.value ? epochOf(startAt.value) : undefined,
    canary: canaryCount.value ? { count: number(canaryCount), wait: number(canaryWait) } : undefined,
    keep_for_single_sends: number(reserve),
  };
}
