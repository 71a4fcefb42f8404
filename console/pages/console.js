// The console at /console/: asks for a key, then shows what that key may do. Each screen is loaded when it is opened.

import { forgetKey, read, run } from "./api.js";
import { button, fill, h, tabs } from "./dom.js";
import { accountName, header, keyForm, skipLink } from "./frame.js";
import { applyLanguage, t } from "./i18n.js";
import { problemBox } from "./problem.js";
import { followAccount, showToken, tokenBar } from "./token.js";

/** The interval between two looks at the token, in milliseconds. */
const PAUSE = 60_000;

/** The screens, with the scope that each needs and what it shows: {panel, shown?, mayLeave?}. */
const SCREENS = [
  { name: "messages", scope: "send", load: async () => {
    const { messagesPanel } = await import("./messages.js");
    return { panel: messagesPanel() };
  } },
  { name: "campaigns", scope: "campaigns", load: async () => {
    const [{ campaignsPanel, showCampaigns }, { loadTemplates }] = await Promise.all([import("./campaigns.js"), import("./template.js")]);
    loadTemplates();
    return { panel: campaignsPanel(), shown: showCampaigns };
  } },
  { name: "users", scope: "users", load: async () => {
    const { bindPanel, showUsers } = await import("./bind.js");
    return { panel: bindPanel(), shown: showUsers };
  } },
  { name: "rules", scope: "replies", load: async () => {
    const { mayLeaveRules, rulesPanel, showRules } = await import("./rules.js");
    return { panel: rulesPanel(), shown: showRules, mayLeave: mayLeaveRules };
  } },
  { name: "menu", scope: "menu", load: async () => {
    const { mayLeaveMenu, menuPanel, showMenu } = await import("./menu.js");
    return { panel: menuPanel(), shown: showMenu, mayLeave: mayLeaveMenu };
  } },
  { name: "own-code", scope: "operate", load: async () => {
    const { ownCodePanel, showForwards } = await import("./own-code.js");
    return { panel: ownCodePanel(), shown: showForwards };
  } },
  { name: "keys", scope: "keys", load: async () => {
    const { keysPanel, showKeys } = await import("./keys.js");
    return { panel: keysPanel(), shown: showKeys };
  } },
  { name: "doctor", scope: "operate", load: async () => {
    const { doctorPanel } = await import("./doctor.js");
    return { panel: doctorPanel() };
  } },
];

async function start() {
  const answer = run.key ? await read("/api/account") : { ok: false, status: 401 };
  if (answer.ok) show(answer.body);
  else if (answer.status === 401) askForKey();
  else document.body.replaceChildren(header(), h("main", { id: "main", class: "entrance" }, problemBox(answer), button(t("try-again"), start)));
  applyLanguage();
}

function askForKey() {
  const title = [h("h2", {}, t("sign-in")), h("p", { class: "hint" }, t("sign-in-hint"))];
  document.body.replaceChildren(header(h("span", { class: "grow" })),
    h("main", { id: "main", class: "entrance" }, h("section", { class: "place" }, h("div", { class: "tool" }, keyForm(title, show)))));
  document.getElementById("api-key").focus();
}

function show(account) {
  const { scopes, name } = account.caller;
  const screens = SCREENS.filter(({ scope }) => scopes.includes(scope)).map(screen);
  const main = h("main", { id: "main", tabindex: "-1", class: "screens" });
  if (screens.length > 0) {
    const { bar } = tabs(screens, t("place-tools"), "console.screen");
    fill(main, h("section", { class: "place tools-place", "aria-label": t("place-tools") }, bar, screens.map((each) => each.panel)));
  } else {
    fill(main, h("p", { class: "empty" }, t("no-screens", name)));
  }
  document.addEventListener("unauthorized", signOut);
  showToken(account);
  followAccount(PAUSE);
  document.body.replaceChildren(skipLink(), header(h("span", { class: "account" }, accountName(account)), h("span", { class: "grow" }),
    tokenBar(), h("span", { class: "hint", id: "signed-in" }, name), button(t("sign-out"), signOut, { class: "small", id: "sign-out" })), main);
}

/** Forgets the key, and what it showed. */
function signOut() {
  forgetKey();
  location.reload();
}

/** A tab whose content is loaded when it is first shown. */
function screen({ name, load }) {
  const panel = h("div", { class: "screen" });
  let content = null;
  const open = async () => {
    try {
      content ??= await load();
    } catch {
      fill(panel, h("div", { class: "tool" }, h("p", { class: "result bad", role: "alert" }, t("not-loaded")), button(t("try-again"), () => location.reload())));
      return;
    }
    if (!panel.contains(content.panel)) fill(panel, content.panel);
    content.shown?.();
  };
  return { name, label: t(`tab-${name}`), panel, shown: open, mayLeave: () => content?.mayLeave?.() ?? true };
}

start();
