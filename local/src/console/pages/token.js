// The access_token: its number, its remaining lifetime, and a button that kills it.

import { read, run, sim } from "./api.js";
import { button, fill, h, toast } from "./dom.js";
import { span } from "./format.js";
import { t } from "./i18n.js";
import { refreshWorld, world } from "./world.js";

const LIFETIME = 7200;

const state = { token: null, failure: null, ahead: 0, known: false };

const meter = h("span", { class: "meter" }, h("span", { class: "meter-fill" }));
const label = h("span", { class: "token-label" });
const element = h("div", { class: "token", role: "group", "aria-label": "access_token" });

export function tokenBar() {
  const kill = button(t("kill-token"), async () => {
    const answer = await sim("POST", "token/invalidate", {});
    if (answer.ok) toast(t("token-killed"));
    refreshWorld();
  }, { class: "small danger", id: "kill-token", title: t("kill-token-why") });
  fill(element, h("span", { class: "token-name" }, "access_token"), meter, label, run.simulated && kill);
  document.addEventListener("world", render);
  setInterval(render, 1000);
  setInterval(loadAccount, 5000);
  return element;
}

/** Reads the account and its token, and returns the account. */
export async function loadAccount() {
  const answer = await read("/console/state");
  if (!answer.ok) return null;
  const { token, failure, now } = answer.body;
  const isNew = state.token && token && token.generation > state.token.generation;
  Object.assign(state, { token, failure, ahead: now - Date.now() / 1000, known: true });
  if (isNew) element.classList.add("fresh");
  setTimeout(() => element.classList.remove("fresh"), 1500);
  render();
  loaded = answer.body;
  document.dispatchEvent(new Event("account"));
  return answer.body;
}

let loaded = null;

/** The latest answer of /console/state; null before the first. */
export function account() {
  return loaded;
}

/** Whether the simulated platform refuses the token, which the bundle does not know before its next call. */
function isDead() {
  const alive = world?.tokens?.stable?.alive;
  return alive === false;
}

function render() {
  if (!state.known) return;
  const left = state.token ? state.token.expires_at - Date.now() / 1000 - state.ahead : 0;
  const share = Math.max(0, Math.min(1, left / LIFETIME));
  meter.firstChild.style.width = `${share * 100}%`;
  element.classList.toggle("dead", isDead() || left <= 0);
  element.classList.toggle("low", left < 600);
  if (!state.token) {
    const failure = state.failure?.errcode;
    fill(label, failure ? t("no-token-since", failure) : t("no-token"));
  } else if (isDead()) {
    fill(label, t("token-dead", state.token.generation));
  } else {
    fill(label, h("span", { class: "number" }, t("token-number", state.token.generation)), h("b", {}, span(left)));
  }
}
