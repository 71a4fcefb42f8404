// The team's own code: the callbacks that it has not taken, and in a simulated run the switch that takes it down.

import { call, read, run } from "./api.js";
import { busy, button, fill, h, isShown, redraw, sureButton } from "./dom.js";
import { shortOpenid } from "./format.js";
import { both, language, t } from "./i18n.js";
import { problemBox, sayEnd } from "./problem.js";
import { dateTime } from "./time.js";

/** The interval between two looks while the panel is open, in milliseconds. */
const PAUSE = 3000;

/** The address of own code, in a run on one machine whether it is taken down, and a page of each list. */
const state = { ownCode: {}, waiting: [], dead: [], more: {}, loading: 0 };

const about = h("div", {});
const lists = { waiting: h("ul", { class: "users forwards" }), dead: h("ul", { class: "users forwards" }) };
const retryAll = button(t("retry-all"), retryDead, { id: "retry-all" });
const outcome = h("div", { class: "outcome" });
const panel = h("div", { class: "tool" });

export function ownCodePanel() {
  document.addEventListener("openid", () => isShown(panel) && showForwards());
  document.addEventListener("language", render);
  setInterval(() => isShown(panel) && showForwards(), PAUSE);
  return fill(panel,
    h("h2", {}, t("own-code-title")), h("p", { class: "hint" }, t("own-code-hint")), about, outcome,
    h("h3", {}, t("forwards-waiting")), lists.waiting,
    h("div", { class: "place-head" }, h("h3", {}, t("forwards-dead")), h("span", { class: "grow" }), retryAll), lists.dead);
}

/** Reads the first page of both lists. */
export async function showForwards() {
  const loading = ++state.loading;
  const [ownCode, waiting, dead] = await Promise.all([
    run.isLocal ? read("/console/own-code") : { ok: true, body: {} }, read("/api/forwards"), read("/api/forwards?state=dead")]);
  if (loading !== state.loading) return;
  const failed = [ownCode, waiting, dead].find((answer) => !answer.ok);
  fill(outcome, failed && problemBox(failed));
  if (failed) return;
  Object.assign(state, { ownCode: { address: waiting.body.own_code, ...ownCode.body }, waiting: waiting.body.forwards, dead: dead.body.forwards,
    more: { waiting: Boolean(waiting.body.cursor), dead: Boolean(dead.body.cursor) } });
  render();
}

function render() {
  redraw(about, [state.ownCode, language()], renderAbout);
  for (const name of ["waiting", "dead"]) {
    redraw(lists[name], [state[name], state.more[name], language()], () => fill(lists[name],
      state[name].length === 0 && h("li", { class: "empty" }, t("no-forwards")),
      state[name].map(row),
      state.more[name] && h("li", { class: "empty" }, t("more-forwards", state[name].length))));
  }
  retryAll.disabled = state.dead.length === 0;
}

function renderAbout() {
  const { address, down } = state.ownCode;
  const isDown = h("input", { type: "checkbox", id: "own-code-down", on: { change: () => take(isDown.checked) } });
  isDown.checked = Boolean(down);
  fill(about,
    address ? h("p", {}, h("code", {}, address)) : h("p", { class: "hint" }, t("no-own-code")),
    typeof down === "boolean" && h("label", { class: "check" }, isDown, " ", t("own-code-down")));
}

async function take(down) {
  said(await call("POST", "/console/own-code", { down }), down ? "own-code-is-down" : "own-code-is-up");
}

function row({ id, type, from, at, attempts, next_at: next, last_error: error }) {
  return h("li", { "data-forward": id },
    h("div", { class: "grow" },
      h("span", {}, h("strong", {}, type), " ", h("code", {}, shortOpenid(from)), " ", dateTime(at)),
      h("span", {}, t("attempts", attempts), next !== null && [" · ", t("next-attempt", dateTime(next))]),
      error && h("span", { class: "hint" }, both(error))),
    button(t("retry"), () => retry(id), { class: "small", "aria-label": t("retry-what", type) }),
    sureButton(t("delete"), () => remove(id), { class: "small danger", "aria-label": t("delete-what", type) }));
}

async function retry(id) {
  said(await call("POST", `/api/forwards/${id}/retry`), "is-due");
}

async function retryDead() {
  said(await busy(retryAll, () => call("POST", "/api/forwards/retry")), "are-due");
}

async function remove(id) {
  said(await call("DELETE", `/api/forwards/${id}`), "forward-deleted");
}

async function said(answer, done) {
  sayEnd(answer, t(done));
  await showForwards();
}
