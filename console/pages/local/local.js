// The console of a run on one machine: the phone, what happens, and the tools.

import { activityPanel, followActivity } from "./activity.js";
import { learnRun, run } from "../api.js";
import { bindPanel, showUsers } from "../bind.js";
import { campaignsPanel, showCampaigns } from "../campaigns.js";
import { connectPanel, showConnection } from "./connect.js";
import { agree, button, fill, h, tabs } from "../dom.js";
import { accountName, header, keyForm, skipLink } from "../frame.js";
import { doctorPanel } from "../doctor.js";
import { followerList } from "./followers.js";
import { applyLanguage, t } from "../i18n.js";
import { mayLeaveMenu, menuPanel, showMenu } from "../menu.js";
import { ownCodePanel, showForwards } from "../own-code.js";
import { phonePanel } from "./phone.js";
import { faultBar, killButton, platformPanel } from "./platform.js";
import { inAddress } from "../route.js";
import { addRule, mayLeaveRules, rulesPanel, showRules } from "../rules.js";
import { showScheduled } from "../scheduled.js";
import { sendPanel } from "./send.js";
import { loadTemplates } from "../template.js";
import { followAccount, loadAccount, showRefused, tokenBar } from "../token.js";
import { unsaved } from "../unsaved.js";
import { refreshWorld, world } from "./world.js";

/** The interval between two looks at the token, in milliseconds. */
const PAUSE = 5000;

const account = h("span", { class: "account" });

async function start() {
  try {
    await learnRun();
  } catch (error) {
    document.body.replaceChildren(h("main", { class: "refused" }, h("h1", {}, t("refused")), h("p", {}, error.message)));
    return;
  }
  document.body.replaceChildren(skipLink(), top(), ...layout());
  applyLanguage();
  document.addEventListener("unauthorized", askForKey);
  document.addEventListener("recovered", loadAccount);
  document.addEventListener("run", ({ detail }) => followRun(detail));
  document.addEventListener("world", () => showRefused(world.tokens?.stable?.alive === false));
  followAccount(PAUSE);
  if (run.key) begin();
  else askForKey();
}

const shown = { run: null, isAsking: false };

/** Reloads the page when another run has started, with another account and other addresses. Asks before changes are lost. */
async function followRun(current) {
  const isSame = [null, current].includes(shown.run);
  shown.run = current;
  if (isSame || shown.isAsking) return;
  if (unsaved().length > 0) {
    shown.isAsking = true;
    const isMeant = await agree(t("restarted-title"), t("restarted"), t("restarted-reload"), true);
    shown.isAsking = false;
    if (!isMeant) return;
    for (const source of unsaved()) source.discard();
  }
  location.reload();
}

/** Starts everything that needs the API key. */
function begin() {
  showAccount();
  loadTemplates();
  happened();
  if (!begin.isFollowing) followActivity(happened);
  begin.isFollowing = true;
}

/** Reads everything again after a message was sent or received. */
function happened() {
  loadAccount();
  if (run.simulated) refreshWorld();
}

async function showAccount() {
  const loaded = await loadAccount();
  if (!loaded) return;
  fill(account, accountName(loaded));
}

function top() {
  return header(h("span", { class: `badge ${run.simulated ? "" : "real"}` }, t(run.simulated ? "simulated" : "real-account")),
    account, h("span", { class: "grow" }), run.simulated && faultBar(), tokenBar(run.simulated && killButton()));
}

function layout() {
  const tools = [
    { name: "send", label: t("tab-send"), panel: sendPanel(), shown: () => run.key && showScheduled() },
    { name: "campaigns", label: t("tab-campaigns"), panel: campaignsPanel(), shown: () => run.key && showCampaigns() },
    { name: "rules", label: t("tab-rules"), panel: rulesPanel(), shown: () => run.key && showRules(), mayLeave: mayLeaveRules },
    { name: "menu", label: t("tab-menu"), panel: menuPanel(), shown: () => run.key && showMenu(), mayLeave: mayLeaveMenu },
    { name: "bind", label: t("tab-bind"), panel: bindPanel(), shown: () => run.key && showUsers() },
    { name: "own-code", label: t("tab-own-code"), panel: ownCodePanel(), shown: () => run.key && showForwards() },
    run.simulated && { name: "platform", label: t("tab-platform"), panel: platformPanel() },
    { name: "doctor", label: t("tab-doctor"), panel: doctorPanel() },
    { name: "connect", label: t("tab-connect"), panel: connectPanel(), shown: () => run.key && showConnection() },
  ].filter(Boolean);
  const { bar, show } = tabs(tools, t("place-tools"), inAddress);
  const places = [
    run.simulated && phonePanel(),
    activityPanel(),
    h("section", { class: "place tools-place", "aria-label": t("place-tools") }, bar, tools.map((tool) => tool.panel)),
  ].filter(Boolean);
  const main = h("main", { id: "main", tabindex: "-1", class: run.simulated ? "places" : "places without-phone" }, places);
  const { nav, go } = placeBar(main);
  document.addEventListener("show-phone", () => go("phone"));
  document.addEventListener("add-rule", async ({ detail }) => {
    go("tools");
    if (await show("rules")) await addRule(detail);
  });
  return [main, nav, followerList()];
}

/** The bar that switches places in a narrow window, which shows one at a time. */
function placeBar(main) {
  const names = run.simulated ? ["phone", "activity", "tools"] : ["activity", "tools"];
  const buttons = names.map((name) => button(t(`place-${name}`), () => show(name), { "data-place": name }));
  const show = (name) => {
    main.dataset.place = name;
    for (const each of buttons) each.setAttribute("aria-current", each.dataset.place === name ? "page" : "false");
    sessionStorage.setItem("console.place", name);
  };
  const stored = sessionStorage.getItem("console.place");
  show(names.includes(stored) ? stored : names[0]);
  return { nav: h("nav", { class: "place-bar", "aria-label": t("places") }, buttons), go: show };
}

/** Asks for the API key: the page knows only that of a simulated run. */
function askForKey() {
  if (document.querySelector("dialog[open]")) return;
  const title = [h("h2", { id: "key-title" }, t("key-title")), h("p", { class: "hint" }, t("key-hint"))];
  const accepted = () => {
    dialog.close();
    begin();
  };
  const dialog = h("dialog", { "aria-labelledby": "key-title", on: { close: () => dialog.remove() } }, keyForm(title, accepted));
  document.body.append(dialog);
  dialog.showModal();
}

start();
