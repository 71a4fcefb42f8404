// The access_token in the header: its number and its remaining lifetime.

import { oneAtATime, read } from "./api.js";
import { fill, h } from "./dom.js";
import { span } from "./format.js";
import { t } from "./i18n.js";

const LIFETIME = 7200;

const state = { token: null, failure: null, ahead: 0, known: false, isRefused: false };

const meter = h("span", { class: "meter" }, h("span", { class: "meter-fill" }));
const label = h("span", { class: "token-label" });
const element = h("div", { class: "token", role: "group", "aria-label": "access_token" });

/** The token, with `controls` beside it. */
export function tokenBar(...controls) {
  fill(element, h("span", { class: "token-name" }, h("span", {}, "access_"), "token"), meter, label, controls);
  setInterval(render, 1000);
  render();
  return element;
}

/** Reads the account every `pause` milliseconds, while somebody may look. */
export function followAccount(pause) {
  setInterval(() => document.hidden || loadAccount(), pause);
}

/** Reads the account and its token, and returns the account. */
export const loadAccount = oneAtATime(async () => {
  const answer = await read("/api/account");
  if (!answer.ok) return null;
  showToken(answer.body);
  return answer.body;
});

/** Shows the token of an account that was read. */
export function showToken(account) {
  const { token, failure, now } = account;
  const isNew = state.token && token && token.generation > state.token.generation;
  Object.assign(state, { token, failure, ahead: now - Date.now() / 1000, known: true });
  if (isNew) element.classList.add("fresh");
  setTimeout(() => element.classList.remove("fresh"), 1500);
  render();
  loaded = account;
  document.dispatchEvent(new Event("account"));
}

let loaded = null;

/** The latest answer of /api/account; null before the first. */
export function account() {
  return loaded;
}

/** Says whether WeChat refuses the token, which the bundle does not know before its next call. */
export function showRefused(isRefused) {
  state.isRefused = isRefused;
  render();
}

function render() {
  if (!state.known) return;
  const left = state.token ? state.token.expires_at - Date.now() / 1000 - state.ahead : 0;
  const share = Math.max(0, Math.min(1, left / LIFETIME));
  meter.firstChild.style.width = `${share * 100}%`;
  element.classList.toggle("dead", state.isRefused || left <= 0);
  element.classList.toggle("low", left < 600);
  if (!state.token) {
    const failure = state.failure?.errcode;
    fill(label, failure ? t("no-token-since", failure) : t("no-token"));
  } else if (state.isRefused) {
    fill(label, t("token-dead", state.token.generation));
  } else {
    fill(label, h("span", { class: "number" }, t("token-number", state.token.generation)), h("b", {}, span(left)));
  }
}
