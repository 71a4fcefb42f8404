// The console at /console/: signs in, then shows what that allows. Each screen is loaded when it is opened.

import { forgetKey, read, run } from "./api.js";
import { button, fill, h, tabs } from "./dom.js";
import { accountName, header, keyForm, skipLink } from "./frame.js";
import { applyLanguage, t } from "./i18n.js";
import { problemBox } from "./problem.js";
import { inAddress } from "./route.js";
import { forgetSignIn, keepAlive, learnSignIn, leaveToSignIn, returnFromSignIn } from "./sign-in.js";
import { followAccount, showToken, tokenBar } from "./token.js";

/** The interval between two looks at the token, in milliseconds. */
const PAUSE = 60_000;

/** The screens, with the scope that each needs and what it shows: {panel, shown?, mayLeave?}. */
const SCREENS = [
  { name: "messages", scope: "send", load: async () => {
    const [{ messagesPanel, showMessages }, { loadTemplates }] = await Promise.all([import("./messages.js"), import("./template.js")]);
    loadTemplates();
    return { panel: messagesPanel(), shown: showMessages };
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
  try {
    const signIn = await learnSignIn();
    const fault = await returnFromSignIn(signIn);
    keepAlive();
    const answer = run.key ? await read("/api/account") : { ok: false, status: 401 };
    if (answer.ok) show(answer.body);
    else if (fault || !run.key) askToSignIn(signIn, fault);
    else if ([401, 403].includes(answer.status)) askToSignIn(signIn, refusal(signIn));
    else sayWhy(answer);
  } catch (error) {
    sayWhy({ ok: false, status: 0, body: { detail: error.message } });
  }
  applyLanguage();
}

function sayWhy(answer) {
  document.body.replaceChildren(header(), h("main", { id: "main", class: "entrance" }, problemBox(answer), button(t("try-again"), start)));
}

function refusal({ issuer }) {
  return issuer ? t("token-refused") : t("wrong-key");
}

function askToSignIn(signIn, fault) {
  const { issuer, client_id: clientId } = signIn;
  const alert = h("p", { class: "fault", id: "sign-in-fault", role: "alert" }, fault);
  const leave = async () => fill(alert, await leaveToSignIn(signIn));
  const title = [h("h2", {}, t("sign-in")), h("p", { class: "hint" }, t(issuer ? "sign-in-hint-jwt" : "sign-in-hint", issuer && new URL(issuer).host))];
  const form = keyForm(clientId ? [] : title, show, { label: issuer ? t("access-token") : t("api-key"), refused: issuer ? t("pasted-token-refused") : t("wrong-key") });
  const ways = clientId
    ? [title, button(t("sign-in"), leave, { class: "primary wide", id: "sign-in" }), alert, h("details", {}, h("summary", {}, t("sign-in-by-token")), form)]
    : [alert, form];
  document.body.replaceChildren(header(h("span", { class: "grow" })),
    h("main", { id: "main", class: "entrance" }, h("section", { class: "place" }, h("div", { class: "tool" }, ways))));
  document.getElementById(clientId ? "sign-in" : "api-key").focus();
}

function show(account) {
  const { scopes, name } = account.caller;
  const screens = SCREENS.filter(({ scope }) => scopes.includes(scope)).map(screen);
  const main = h("main", { id: "main", tabindex: "-1", class: "screens" });
  if (screens.length > 0) {
    const { bar } = tabs(screens, t("place-tools"), inAddress);
    fill(main, h("section", { class: "place tools-place", "aria-label": t("place-tools") }, bar, screens.map((each) => each.panel)));
  } else {
    fill(main, h("p", { class: "empty" }, t("no-screens", name)));
  }
  document.addEventListener("unauthorized", sayEnded, { once: true });
  showToken(account);
  followAccount(PAUSE);
  document.body.replaceChildren(skipLink(), header(h("span", { class: "account" }, accountName(account)), h("span", { class: "grow" }),
    tokenBar(), h("span", { class: "hint", id: "signed-in" }, name), button(t("sign-out"), signOut, { class: "small", id: "sign-out" })), main);
}

/** Leaves the page as it is: it may hold what was not saved. */
function sayEnded() {
  document.body.prepend(h("div", { class: "result bad ended", role: "alert" }, h("p", {}, t("session-ended")), button(t("sign-in-again"), signOut, { class: "small" })));
}

/** Forgets the key, and what it showed. */
function signOut() {
  forgetKey();
  forgetSignIn();
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
