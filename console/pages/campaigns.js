// Campaigns: the list, the form that makes one, and the one that is open.

import { call, read } from "./api.js";
import { campaignView, mayChange, progressOf, stateOf } from "./campaign.js";
import { agree, busy, button, fill, h, icon, isShown, redraw, toast } from "./dom.js";
import { field } from "./fields.js";
import { count } from "./format.js";
import { t } from "./i18n.js";
import { problemBox, problemText } from "./problem.js";
import { followOpen, go, openIn } from "./route.js";
import { templateForm } from "./template.js";
import { dateTime, enteredOf, epochOf } from "./time.js";
import { hasInput, keepForm } from "./unsaved.js";

/** The interval between two looks while the panel is open, in milliseconds. */
const PAUSE = 2000;

/** The campaigns read so far, newest first, and the one that is open: its id and its view. */
const state = { campaigns: [], cursor: null, loading: 0, isPaged: false, isLooking: false, open: null, view: null };

const template = templateForm("campaign", "campaign-data");
const name = input("name", { autocomplete: "off" });
const url = input("url", { inputmode: "url" });
const appid = input("miniprogram-appid", { autocomplete: "off", spellcheck: "false", placeholder: "wx…" });
const pagepath = input("miniprogram-pagepath", { autocomplete: "off", spellcheck: "false" });
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
const form = keepForm(h("form", { class: "form", novalidate: true, on: { submit: makeCampaign } }));
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
  followOpen("campaigns", showCampaigns);
  fill(form,
    field(name.id, t("campaign-name"), name),
    template.choice, template.inputs,
    field(url.id, t("link-field"), url),
    field(audience.id, t("audience"), audience), tagField,
    field(pace.id, t("pace"), pace),
    field(startAt.id, t("start-at"), startAt, t("start-at-why")),
    h("details", { class: "more-fields" }, h("summary", {}, t("more-options")), h("div", { class: "fields" },
      field(canaryCount.id, t("canary-count"), canaryCount, t("canary-why")),
      field(canaryWait.id, t("canary-wait"), canaryWait),
      field(reserve.id, t("reserve"), reserve, t("reserve-why")),
      field(appid.id, t("mini-program-appid"), appid, t("mini-program-why")),
      field(pagepath.id, t("mini-program-path"), pagepath))),
    make);
  fill(creation, h("summary", {}, icon("plus"), t("new-campaign")), template.head, form, outcome);
  fill(overview, h("h2", {}, t("campaigns-title")), h("p", { class: "hint" }, t("campaigns-hint")), creation, failure, list);
  return fill(panel, overview);
}

function showTag() {
  tagField.hidden = audience.value !== "tag";
}

/** Reads what is shown: the campaign that the address names, or the first page of the list. */
export async function showCampaigns() {
  if (state.open !== openIn("campaigns")) turnTo(openIn("campaigns"));
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
    toast(problemText(answer), "bad");
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
    h("div", { class: "grow" }, button(title, () => go("campaigns", id), { class: "small campaign-name" }),
      campaign.state !== "draft" && progressOf(campaign),
      h("span", { class: "hint" }, t("recipients-since", count(recipients), dateTime(created)))),
    stateOf(campaign));
}

/** Turns to the campaign with this id, or to the list. */
function turnTo(id) {
  Object.assign(state, { open: id, view: id && campaignView(id, () => go("campaigns"), copyCampaign) });
  fill(panel, state.view?.element ?? overview);
  (state.view?.title ?? creation.querySelector("summary")).focus();
}

/** Fills the form with another campaign's plan, without its recipients. */
async function copyCampaign(campaign) {
  if (hasInput(form) && !(await agree(t("unsaved-title"), t("form-holds-input"), t("unsaved-discard"), true))) return;
  resetForm();
  const { audience: whom, miniprogram, canary, start_at: start } = campaign;
  template.set(campaign.template_id, campaign.data ?? {});
  const values = [
    [name, t("copy-of", campaign.name).toString()], [url, campaign.url], [appid, miniprogram?.appid], [pagepath, miniprogram?.pagepath],
    [audience, typeof whom === "string" ? whom : "tag"], [tag, whom.tag], [pace, campaign.pace],
    [startAt, start * 1000 > Date.now() ? enteredOf(start) : ""], [canaryCount, canary?.count], [reserve, campaign.keep_for_single_sends],
  ];
  for (const [control, value] of values) control.value = value ?? "";
  if (canary) canaryWait.value = canary.wait;
  showTag();
  creation.open = true;
  go("campaigns");
  await showCampaigns();
  name.focus();
  toast(t("campaign-copied"));
}

function resetForm() {
  form.reset();
  template.clearFaults();
  template.reset();
  showTag();
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
  resetForm();
  creation.open = false;
  go("campaigns", answer.body.id);
}

/** What the form says. A value that is left empty may come with each recipient. */
function request() {
  const number = (from) => (from.value === "" ? undefined : Number(from.value));
  return {
    name: name.value.trim(),
    template_id: template.id,
    data: Object.fromEntries(Object.entries(template.data).filter(([, { value }]) => value !== "")),
    url: url.value.trim() || undefined,
    // The API reads a mini program with empty members as none.
    miniprogram: { appid: appid.value.trim(), pagepath: pagepath.value.trim() },
    audience: audience.value === "tag" ? { tag: number(tag) } : audience.value,
    pace: number(pace),
    start_at: startAt.value ? epochOf(startAt.value) : undefined,
    canary: canaryCount.value ? { count: number(canaryCount), wait: number(canaryWait) } : undefined,
    keep_for_single_sends: number(reserve),
  };
}
