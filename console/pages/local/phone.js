// The phone: one follower at a time, the chat with the account, and the account's menu as WeChat shows it.

import { oneAtATime, read, sim } from "../api.js";
import { button, busy, fill, h, icon, iconButton, moveFocus, put, redraw, toast } from "../dom.js";
import { t } from "../i18n.js";
import { note, ownMessage, shownMessage } from "./bubbles.js";
import { isOfThisMachine, pageView } from "./page.js";
import { problemText } from "../problem.js";
import { addRuleButton } from "../rules.js";
import { loadWorld, refreshWorld, world } from "./world.js";

const STORED = "console.phone";

/** The current user, the actions of every user on this page, and the current user's screen and menu, null before they are read. */
const state = { run: null, openid: null, screen: null, menu: null, actions: {}, typing: true, ...stored() };

/** How many answers of the account each user waits for. */
const waiting = new Map();

const chat = h("div", { class: "chat", role: "log", "aria-live": "polite", "aria-label": t("chat"), tabindex: "0" });
const bar = h("div", { class: "phone-bar" });
const page = h("div", { class: "phone-page", hidden: true });
const choice = h("input", { id: "phone-user", class: "grow", list: "followers", "aria-label": t("follower"), autocomplete: "off", spellcheck: "false",
  on: { focus: offerAll, input: pick, change: find, blur: showChoice } });
const controls = h("div", { class: "row wrap" });

export function phonePanel() {
  const open = iconButton("globe", t("open-page"), () => openPage(""), { id: "open-page" });
  const header = h("div", { class: "phone-title" }, icon("arrowLeft"), h("strong", {}, t("account-name")), open);
  const add = button([icon("plus"), t("new-follower")], newFollower, { class: "primary", id: "new-follower" });
  document.addEventListener("world", worldChanged);
  document.addEventListener("language", render);
  document.addEventListener("scan", ({ detail }) => scan(detail.url, detail.isStranger));
  document.addEventListener("open-page", ({ detail }) => openPage(detail.url));
  document.addEventListener("menu-published", showMenuBar);
  document.addEventListener("run", (event) => forgetOtherRuns(event.detail));
  document.addEventListener("keydown", (event) => event.key === "Escape" && closePopups());
  document.addEventListener("click", (event) => event.target.closest(".popup-owner") || closePopups());
  return h(
    "section",
    { class: "place phone-place", "aria-label": t("place-phone") },
    h("h2", { class: "unseen" }, t("place-phone")),
    h("div", { class: "row wrap" }, choice, add),
    controls,
    h("div", { class: "phone" }, header, chat, bar, page),
  );
}

// A link to a page of this machine opens in the phone, the others in a tab of their own.
chat.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || !isOfThisMachine(link.href)) return;
  event.preventDefault();
  openPage(link.href);
});

/** Opens an address in the phone as its user. Without an address, shows an empty field to enter one. */
function openPage(url) {
  if (!state.openid) {
    toast(t("no-follower"));
    return;
  }
  // In a narrow window the phone may not be shown.
  document.dispatchEvent(new Event("show-phone"));
  page.dataset.openid = state.openid;
  page.hidden = false;
  fill(page, pageView(state.openid, url, closePage));
  page.querySelector(url ? "#page-back" : "#page-address").focus();
}

function closePage() {
  if (page.hidden) return;
  const hadFocus = page.contains(document.activeElement);
  page.hidden = true;
  fill(page);
  if (hadFocus) document.getElementById("open-page").focus();
}

/** Scans the QR code with this address: the phone's user, or a stranger, whose phone is shown then. */
function scan(url, isStranger) {
  const action = { kind: "note", text: "did-scan-code" };
  closePage();
  if (isStranger || !state.openid) return newcomerDoes("scan", { url }, action);
  return userDoes("scan", { url }, action);
}

/** The openid of the current user. */
export function currentUser() {
  return state.openid;
}

/** Switches to a user's phone. */
export async function choose(openid) {
  Object.assign(state, { openid, screen: null, menu: null });
  render();
  await loadScreen();
  render();
  document.dispatchEvent(new Event("phone-user"));
}

async function worldChanged() {
  const openids = world.users.map((user) => user.openid);
  if (!openids.includes(state.openid)) Object.assign(state, { openid: openids[0] ?? null, screen: null, menu: null });
  document.dispatchEvent(new Event("phone-user"));
  await loadScreen();
  render();
}

const loadScreen = oneAtATime(async () => {
  const openid = state.openid;
  if (!openid) return;
  const [screen, menu] = await Promise.all(["", "/menu"].map((part) => read(`/console/sim/phones/${openid}${part}`)));
  if (!screen.ok || !menu.ok || openid !== state.openid) return;
  state.screen = screen.body;
  state.menu = menu.body;
});

function user() {
  return world?.users.find((candidate) => candidate.openid === state.openid);
}

function newFollower() {
  return newcomerDoes("follow", {}, { kind: "note", text: "did-follow" });
}

/** Makes a new user do something, and shows that user's phone. */
async function newcomerDoes(what, body, action) {
  const answer = await act(null, what, body);
  if (answer) {
    Object.assign(state, { openid: answer.openid, screen: [], menu: null });
    recordAnswer(record(answer.openid, action, 0), answer.openid, answer);
  }
  await loadWorld();
  render();
}

/** Shows the action at once, and takes it back when the platform refuses it. The phone may show another user meanwhile. */
async function userDoes(what, body, action) {
  const { openid } = state;
  const recorded = record(openid, action, Math.max(state.screen?.length ?? 0, user()?.shown ?? 0));
  // A user who acts looks at the result.
  isAtEnd = true;
  const answer = await act(openid, what, { openid, ...body });
  if (answer) recordAnswer(recorded, openid, answer, { Content: body.content, EventKey: body.key });
  else state.actions[openid] = state.actions[openid].filter((each) => each !== recorded);
  await loadWorld();
  render();
}

/** Makes a user, or somebody new, do something, and waits for the account's answer. Returns null when the platform refuses. */
async function act(openid, what, body) {
  const wait = (more) => waiting.set(openid, (waiting.get(openid) ?? 0) + more);
  wait(1);
  render();
  const answer = await sim("POST", what, body);
  wait(-1);
  if (answer.ok) return answer.body;
  toast(problemText(answer), "bad");
  return null;
}

/** Remembers what a user did, and after which message of the screen. */
function record(openid, action, after) {
  const recorded = { ...action, after };
  (state.actions[openid] ??= []).push(recorded);
  keep();
  return recorded;
}

/** Remembers with the action that no answer came to it: its callback failed, or no rule had one to what was `asked`. */
function recordAnswer({ after }, openid, { reply, deliveries, error }, asked = {}) {
  if (error) record(openid, { kind: "failure", deliveries, text: error }, after);
  else if (reply === null && deliveries > 0 && (asked.Content || asked.EventKey)) record(openid, { kind: "no-rule", asked }, after);
}

/** Forgets the actions of an earlier run, whose users and screens are gone. */
function forgetOtherRuns(run) {
  if (run === state.run) return;
  Object.assign(state, { run, actions: {} });
  keep();
}

function stored() {
  const kept = JSON.parse(sessionStorage.getItem(STORED) ?? "{}");
  return { run: kept.run ?? null, openid: kept.openid ?? null, actions: kept.actions ?? {} };
}

function keep() {
  sessionStorage.setItem(STORED, JSON.stringify({ run: state.run, openid: state.openid, actions: state.actions }));
}

function render() {
  keep();
  const { openid, typing } = state;
  if (page.dataset.openid !== openid) closePage();
  if (document.activeElement !== choice) showChoice();
  redraw(controls, [openid, user()?.follows, user()?.blocked], renderControls);
  redraw(bar, [openid, typing, user()?.follows, state.menu?.button], renderBar);
  renderChat();
}

function showChoice() {
  choice.value = state.openid ?? "";
  choice.title = choice.value;
}

/** Empties the field: a browser offers what fits its text only. */
function offerAll() {
  choice.placeholder = state.openid ?? "";
  choice.value = "";
}

/** Takes an openid as soon as it is whole. */
function pick() {
  if (!world?.users.some(({ openid }) => openid === choice.value)) return;
  choose(choice.value);
  choice.blur();
}

/** Takes a part of an openid that only one user has. */
function find() {
  const words = choice.value.trim().toLowerCase();
  if (!words) return;
  const found = (world?.users ?? []).filter(({ openid }) => openid.toLowerCase().includes(words));
  if (found.length === 1) choose(found[0].openid);
  else toast(t(found.length ? "several-followers" : "no-such-follower", words), "bad");
}

function renderControls() {
  const current = user();
  if (!current) {
    fill(controls);
    return;
  }
  const follow = current.follows
    ? button(t("unfollow"), () => userDoes("unfollow", {}, { kind: "note", text: "did-unfollow" }))
    : button(t("follow"), () => userDoes("follow", {}, { kind: "note", text: "did-follow" }), { class: "primary" });
  const block = h("input", { type: "checkbox", checked: current.blocked });
  block.addEventListener("change", async () => {
    await sim("POST", "block", { openid: state.openid, blocked: block.checked });
    refreshWorld();
  });
  fill(controls, follow, h("label", { class: "check" }, block, t("refuses-templates")));
}

/** What the chat shows, from top to bottom: each as [a key, the function that draws it]. */
function chatItems() {
  const { openid, screen } = state;
  if (!screen) return [];
  const actions = state.actions[openid] ?? [];
  const items = [];
  const add = (item, draw) => items.push([JSON.stringify(item), () => draw(item)]);
  screen.forEach((shown, index) => {
    for (const action of actions) if (action.after === index) add(action, actionItem);
    add(shown, shownMessage);
  });
  for (const action of actions) if (action.after >= screen.length) add(action, actionItem);
  if (items.length === 0) add("empty", () => h("p", { class: "empty" }, t("chat-empty")));
  if (waiting.get(openid)) add("waiting", () => h("div", { class: "waiting", "aria-label": t("waiting") }, h("i"), h("i"), h("i")));
  return items;
}

/** Whose chat is drawn, and the keys of what it shows. */
const drawn = { openid: null, keys: [] };
/** Whether the chat shows its end, and follows it. */
let isAtEnd = true;

chat.addEventListener("scroll", () => {
  isAtEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 4;
});
// The chat has no size while another place is shown.
new ResizeObserver(scrollToEnd).observe(chat);

function scrollToEnd() {
  if (isAtEnd) chat.scrollTop = chat.scrollHeight;
}

/** Keeps what is the same from the top on, with its focus and selection: a chat mostly grows at its end. */
function renderChat() {
  const items = chatItems();
  const keys = items.map(([key]) => key);
  const isOther = drawn.openid !== state.openid;
  let same = 0;
  while (same < keys.length && keys[same] === drawn.keys[same]) same += 1;
  Object.assign(drawn, { openid: state.openid, keys });
  if (same === keys.length && same === chat.children.length) return;
  for (const child of [...chat.children].slice(same)) child.remove();
  chat.append(...items.slice(same).map(([, draw]) => draw()));
  isAtEnd ||= isOther;
  scrollToEnd();
}

function actionItem(action) {
  if (action.kind === "note") return note(t(action.text, action.value ?? ""));
  if (action.kind === "no-rule") return h("div", { class: "note" }, h("p", {}, t("no-rule-matched")), addRuleButton(action.asked));
  if (action.kind === "failure") return note(t("callback-failed", action.deliveries, action.text), "bad");
  return ownMessage(action);
}

function renderBar() {
  const current = user();
  const menu = state.menu?.button;
  if (!current?.follows) {
    fill(bar, h("p", { class: "phone-note" }, current ? t("not-following") : t("no-follower")));
    return;
  }
  if (menu && !state.typing) fill(bar, switchButton("keyboard", true), h("div", { class: "menu-bar" }, menu.map(topButton)));
  else fill(bar, menu && switchButton("menu", false), textForm(), moreMenu());
}

function switchButton(name, typing) {
  return iconButton(name, t(typing ? "to-keyboard" : "to-menu"), () => {
    state.typing = typing;
    render();
  }, { class: "icon-button switch" });
}

/** Shows the menu in place of the keyboard, as WeChat does. */
function showMenuBar() {
  state.typing = false;
}

function textForm() {
  const input = h("input", { "aria-label": t("say"), placeholder: t("say"), autocomplete: "off", id: "say" });
  const send = h("button", { type: "submit", class: "send", "aria-label": t("send-text"), title: t("send-text") }, icon("send"));
  const submit = async (event) => {
    event.preventDefault();
    const content = input.value.trim();
    if (!content) return;
    input.value = "";
    await busy(send, () => userDoes("message", { type: "text", content }, { kind: "text", text: content }));
  };
  return h("form", { class: "say", on: { submit } }, input, send);
}

/** The menu of everything else that a user can send or do. */
function moreMenu() {
  const message = (kind, members, text) => () => {
    closePopups();
    userDoes("message", { type: kind, ...members }, { kind, text });
  };
  const page = { title: "WeChat", description: "developers.weixin.qq.com", url: "https://developers.weixin.qq.com/" };
  const scan = () => {
    closePopups();
    userDoes("scan", { scene: 123 }, { kind: "note", text: "did-scan", value: 123 });
  };
  const entries = [
    ["image", t("an-image"), message("image", {})],
    ["voice", t("a-voice"), message("voice", { recognition: "你好" }, "你好")],
    ["video", t("a-video"), message("video", {})],
    ["pin", t("a-location"), message("location", PLACE, PLACE.label)],
    ["link", t("a-link"), message("link", page, page.title)],
    ["scan", t("a-scan"), scan],
  ];
  const items = entries.map(([name, label, does]) => button([icon(name), label], does, { role: "menuitem" }));
  return popup(icon("plus"), items, { class: "icon-button more", "aria-label": t("more"), title: t("more") }, "more-popup");
}

function topButton(entry) {
  const children = entry.sub_button?.list ?? entry.sub_button ?? [];
  if (children.length === 0) return button(entry.name, () => tap(entry), { class: "menu-button" });
  const items = children.map((child) => button(child.name, () => {
    closePopups();
    tap(child);
  }, { role: "menuitem" }));
  return popup([h("span", { class: "lines", "aria-hidden": "true" }, "≡"), entry.name], items, { class: "menu-button" });
}

const PLACE = { latitude: 39.9087, longitude: 116.3975, label: "天安门" };
const SCANNED = "https://example.com/scanned";

/** The members of a tap's request, by the button's type. WeChat pushes no event for other types. */
const TAPS = {
  click: ({ key }) => ({ key }),
  view: ({ url }) => ({ url }),
  miniprogram: ({ pagepath }) => ({ pagepath }),
  scancode_push: ({ key }) => ({ key, result: SCANNED }),
  scancode_waitmsg: ({ key }) => ({ key, result: SCANNED }),
  pic_sysphoto: ({ key }) => ({ key }),
  pic_photo_or_album: ({ key }) => ({ key }),
  pic_weixin: ({ key }) => ({ key }),
  location_select: ({ key }) => ({ key, ...PLACE }),
};

/** Taps a menu button. */
function tap(entry) {
  const members = TAPS[entry.type]?.(entry);
  if (!members) {
    toast(t("not-simulated", entry.type));
    return undefined;
  }
  if (entry.type === "view" && isOfThisMachine(entry.url)) openPage(entry.url);
  const action = entry.type === "view" ? { text: "did-open", value: entry.url } : { text: "did-tap", value: entry.name };
  return userDoes("tap", { type: entry.type, ...members }, { kind: "note", ...action });
}

function popup(label, items, attributes, kind = "") {
  const list = h("div", { class: `popup ${kind}`, role: "menu", hidden: true }, items);
  const owner = h("button", { type: "button", "aria-haspopup": "menu", "aria-expanded": "false", ...attributes });
  put(owner, label);
  const entries = [...list.querySelectorAll("button")];
  for (const entry of entries) entry.tabIndex = -1;
  const open = () => {
    closePopups();
    list.hidden = false;
    owner.setAttribute("aria-expanded", "true");
    entries[0]?.focus();
  };
  owner.addEventListener("click", () => (list.hidden ? open() : closePopups()));
  owner.addEventListener("keydown", (event) => {
    if (!["ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    open();
    if (event.key === "ArrowUp") entries.at(-1)?.focus();
  });
  list.addEventListener("keydown", (event) => (event.key === "Tab" ? closePopups() : moveFocus(event, entries)));
  return h("div", { class: "popup-owner" }, list, owner);
}

function closePopups() {
  for (const list of document.querySelectorAll(".popup:not([hidden])")) {
    const owner = list.parentElement.querySelector(":scope > button");
    if (list.contains(document.activeElement)) owner.focus();
    list.hidden = true;
    owner.setAttribute("aria-expanded", "false");
  }
}
