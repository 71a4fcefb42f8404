// Binds the team's users to people on WeChat by a QR code or a link, and shows who is bound.

import { call, read, run } from "./api.js";
import { busy, button, copy, fill, h, icon, iconButton, isShown, redraw, sureButton, toast } from "./dom.js";
import { clearFaults, field, showFault, userIdFault } from "./fields.js";
import { shortOpenid } from "./format.js";
import { both, language, t } from "./i18n.js";
import { problemBox, problemText, sayEnd } from "./problem.js";

/** The pause between two looks at a binding, in milliseconds. It grows, because each look is a request in the activity. */
const PAUSE = { first: 500, growth: 1.3, longest: 10_000 };

const state = { binding: null, users: [], cursor: null, loading: 0, soon: null };

const user = h("input", { id: "bind-user", autocomplete: "off", spellcheck: "false", placeholder: "u-1" });
const make = h("button", { type: "submit", class: "primary wide", id: "bind-make" }, icon("scan"), t("make-code"));
const outcome = h("div", { class: "outcome" });
const status = h("div", { class: "binding-state", role: "status" });
const words = h("input", { type: "search", id: "find-user", "aria-label": t("find-user"), placeholder: t("find-user") });
const list = h("ul", { class: "users" });
const panel = h("div", { class: "tool" });

export function bindPanel() {
  document.addEventListener("openid", somethingHappened);
  document.addEventListener("page-shown", somethingHappened);
  document.addEventListener("language", renderUsers);
  const find = (event) => {
    event.preventDefault();
    showUsers();
  };
  return fill(panel,
    h("h2", {}, t("bind-title")), h("p", { class: "hint" }, t("bind-hint")),
    h("form", { class: "form", novalidate: true, on: { submit: makeBinding } }, field(user.id, t("user-id"), user), make),
    outcome,
    h("h3", {}, t("users-title")), h("p", { class: "hint" }, t("users-hint")),
    h("form", { class: "row", role: "search", on: { submit: find } }, words, h("button", { type: "submit" }, t("search"))),
    list);
}

/** A callback, or a page in the phone, may have bound somebody, or ended a binding. Many at once share one look. */
function somethingHappened() {
  state.soon ??= setTimeout(() => {
    state.soon = null;
    if (state.binding) look(state.binding);
    if (isShown(panel)) showUsers();
  }, 120);
}

async function makeBinding(event) {
  event.preventDefault();
  clearFaults(make.form);
  const id = user.value.trim();
  const fault = userIdFault(id);
  if (fault) {
    showFault(user, fault);
    user.focus();
    return;
  }
  state.binding = null;
  const answer = await busy(make, () => call("POST", "/api/bindings", { user: id }), outcome);
  if (!answer.ok) {
    fill(outcome, problemBox(answer));
    return;
  }
  const binding = answer.body;
  state.binding = binding;
  const { qr, link } = binding;
  const phone = run.simulated && h("div", { class: "row wrap" },
    qr && button(t("scan-with-phone"), () => onPhone("scan", { url: qr.url, isStranger: false }), { id: "scan-with-phone" }),
    qr && button(t("scan-as-stranger"), () => onPhone("scan", { url: qr.url, isStranger: true }), { id: "scan-as-stranger" }),
    link && button(t("open-in-phone"), () => onPhone("open-page", { url: link }), { id: "open-link" }));
  fill(outcome, h("div", { class: "result binding" },
    qr && h("img", { class: "qr", src: qr.image, alt: t("qr-code", binding.user), width: "220", height: "220" }),
    binding.qr_problem && h("p", {}, both(binding.qr_problem)),
    link && h("div", { class: "row" }, h("code", { class: "grow" }, link), iconButton("copy", t("copy-what", t("link-field")), () => copy(link))),
    phone, status));
  showState(binding);
  outcome.scrollIntoView({ block: "nearest" });
  await follow(binding);
}

/** Lets the phone do something. */
function onPhone(event, detail) {
  document.dispatchEvent(new CustomEvent(event, { detail }));
}

/** Looks at the binding until it ends, or until another one is made. */
async function follow(binding) {
  for (let pause = PAUSE.first; binding === state.binding && binding.state === "pending"; pause = Math.min(pause * PAUSE.growth, PAUSE.longest)) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    await look(binding);
  }
}

async function look(binding) {
  const answer = await read(`/api/bindings/${binding.binding}`);
  if (binding !== state.binding || binding.state !== "pending") return;
  if (!answer.ok && answer.status !== 404) return;
  // The bindings of a user who is deleted are gone.
  Object.assign(binding, answer.ok ? answer.body : { state: "expired" });
  showState(binding);
  if (binding.state === "bound") showUsers();
}

function showState({ state: now, user: bound, openid, replaced = {} }) {
  fill(status, h("p", { class: `pill ${{ bound: "good", expired: "bad" }[now] ?? ""}` }, t(`binding-${now}`, bound)),
    openid && h("code", {}, openid),
    replaced.openid && h("p", {}, t("replaced-openid", shortOpenid(replaced.openid))),
    replaced.user && h("p", {}, t("replaced-user", replaced.user)));
}

/** Reads the users: the one that is looked for, else the first page of all. */
export async function showUsers() {
  const loading = ++state.loading;
  const answer = await findUsers(words.value.trim());
  if (loading !== state.loading) return;
  if (!answer.ok && answer.status !== 404) {
    fill(list, h("li", {}, problemBox(answer)));
    return;
  }
  const { users = [answer.body], cursor } = answer.ok ? answer.body : { users: [] };
  Object.assign(state, { users, cursor });
  renderUsers();
}

async function findUsers(id) {
  if (!id) return read("/api/users");
  const answer = await read(`/api/users?user=${encodeURIComponent(id)}`);
  return answer.status === 404 ? read(`/api/users?openid=${encodeURIComponent(id)}`) : answer;
}

async function showMore() {
  const loading = ++state.loading;
  const answer = await read(`/api/users?cursor=${encodeURIComponent(state.cursor)}`);
  if (loading !== state.loading) return;
  if (!answer.ok) {
    toast(problemText(answer), "bad");
    return;
  }
  state.users.push(...answer.body.users);
  state.cursor = answer.body.cursor;
  renderUsers();
}

function renderUsers() {
  redraw(list, [state.users, state.cursor, language(), words.value], () => fill(list,
    state.users.length === 0 && h("li", { class: "empty" }, t(words.value.trim() ? "no-such-user" : "no-users")),
    state.users.map(row),
    state.cursor && h("li", {}, button(t("more-users"), showMore))));
}

function row(entry) {
  const follows = { true: ["follows", "good"], false: ["does-not-follow", "bad"] }[entry.followed] ?? ["follows-unknown", ""];
  return h("li", { "data-user": entry.user },
    h("div", { class: "grow" }, h("strong", {}, entry.user), h("code", {}, entry.openid)),
    h("span", { class: `pill ${follows[1]}` }, t(follows[0])),
    sureButton(t("unbind"), () => unbind(entry.user), { class: "small danger", "aria-label": t("unbind-user", entry.user) }));
}

async function unbind(id) {
  const answer = await call("DELETE", `/api/users?user=${encodeURIComponent(id)}`);
  sayEnd(answer, t("unbound", id));
  await showUsers();
}
