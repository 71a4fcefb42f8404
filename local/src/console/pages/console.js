// The console: lays out the panels and keeps them up to date.

import { activityPanel, followActivity } from "./activity.js";
import { learnRun, run, tryKey } from "./api.js";
import { bindPanel, showUsers } from "./bind.js";
import { campaignsPanel, showCampaigns } from "./campaigns.js";
import { connectPanel, showConnection } from "./connect.js";
import { button, fill, h, tabs } from "./dom.js";
import { doctorPanel } from "./doctor.js";
import { applyLanguage, both, language, setLanguage, t } from "./i18n.js";
import { mayLeaveMenu, menuPanel, showMenu } from "./menu.js";
import { ownCodePanel, showForwards } from "./own-code.js";
import { phonePanel } from "./phone.js";
import { faultBar, platformPanel } from "./platform.js";
import { addRule, mayLeaveRules, rulesPanel, showRules } from "./rules.js";
import { sendPanel } from "./send.js";
import { loadTemplates } from "./template.js";
import { loadAccount, tokenBar } from "./token.js";
import { refreshWorld } from "./world.js";

const account = h("span", { class: "account" });

async function start() {
  try {
    await learnRun();
  } catch (error) {
    document.body.replaceChildren(h("main", { class: "refused" }, h("h1", {}, t("refused")), h("p", {}, error.message)));
    return;
  }
  document.body.replaceChildren(skipLink(), header(), ...layout());
  applyLanguage();
  document.addEventListener("unauthorized", askForKey);
  document.addEventListener("recovered", loadAccount);
  if (run.key) begin();
  else askForKey();
}

/** The first stop of the keyboard: leads past the header. */
function skipLink() {
  return h("a", { class: "skip", href: "#main" }, t("skip"));
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
  fill(account, h("code", {}, loaded.app_id), h("span", { class: "mode" }, t(`mode-${loaded.mode}`)));
}

function header() {
  const toggle = button(language() === "zh" ? "English" : "中文", () => {
    setLanguage(language() === "zh" ? "en" : "zh");
    fill(toggle, language() === "zh" ? "English" : "中文");
  }, { class: "small", id: "language" });
  return h("header", { class: "top" },
    h("img", { src: "/console/pages/icon.svg", alt: "", width: "28", height: "28" }),
    h("h1", {}, "WeChat bundle"),
    h("span", { class: `badge ${run.simulated ? "" : "real"}` }, t(run.simulated ? "simulated" : "real-account")),
    account, h("span", { class: "grow" }), run.simulated && faultBar(), tokenBar(), toggle);
}

function layout() {
  const tools = [
    { name: "send", label: t("tab-send"), panel: sendPanel() },
    { name: "campaigns", label: t("tab-campaigns"), panel: campaignsPanel(), shown: () => run.key && showCampaigns() },
    { name: "rules", label: t("tab-rules"), panel: rulesPanel(), shown: () => run.key && showRules(), mayLeave: mayLeaveRules },
    { name: "menu", label: t("tab-menu"), panel: menuPanel(), shown: () => run.key && showMenu(), mayLeave: mayLeaveMenu },
    { name: "bind", label: t("tab-bind"), panel: bindPanel(), shown: () => run.key && showUsers() },
    { name: "own-code", label: t("tab-own-code"), panel: ownCodePanel(), shown: () => run.key && showForwards() },
    run.simulated && { name: "platform", label: t("tab-platform"), panel: platformPanel() },
    { name: "doctor", label: t("tab-doctor"), panel: doctorPanel() },
    { name: "connect", label: t("tab-connect"), panel: connectPanel(), shown: () => run.key && showConnection() },
  ].filter(Boolean);
  const { bar, show } = tabs(tools, t("place-tools"), "console.tool");
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
  return [main, nav];
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
  const input = h("input", { type: "password", id: "api-key", autocomplete: "off", required: true });
  const fault = h("p", { class: "fault", id: "api-key-fault", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    const answer = await tryKey(input.value.trim());
    if (answer.ok) {
      dialog.close();
      begin();
      return;
    }
    fill(fault, answer.status === 401 ? t("wrong-key") : both(answer.body.detail ?? ""));
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", fault.id);
    input.select();
  };
  const dialog = h("dialog", { "aria-labelledby": "key-title", on: { close: () => dialog.remove() } },
    h("form", { class: "form", on: { submit } },
      h("h2", { id: "key-title" }, t("key-title")), h("p", { class: "hint" }, t("key-hint")),
      h("div", { class: "field" }, h("label", { for: "api-key" }, "API key"), input, fault),
      h("button", { type: "submit", class: "primary wide" }, t("open-console"))));
  document.body.append(dialog);
  dialog.showModal();
}

start();
