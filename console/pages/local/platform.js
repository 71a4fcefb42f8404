// The controls of the simulated platform: faults, the whitelist, the clock.

import { read, sim } from "../api.js";
import { button, fill, h, iconButton, redraw } from "../dom.js";
import { language, t } from "../i18n.js";
import { sayEnd } from "../problem.js";
import { refreshWorld, world } from "./world.js";
import { dateTime } from "../time.js";

const SEND = "/cgi-bin/message/template/send";
/** An address reserved for documentation, so that this machine never has it. */
const ELSEWHERE = "203.0.113.7";

/** The faults, one button each. The whitelist is a setting, so it stays until it is cleared. */
const FAULTS = [
  { name: "whitelist", code: "40164", act: () => sim("POST", "whitelist", { ips: [ELSEWHERE] }).then(() => sim("POST", "token/invalidate", {})) },
  { name: "dead-token", code: "40001", fault: { errcode: 40001 } },
  { name: "quota", code: "45009", fault: { errcode: 45009 } },
  { name: "frequency", code: "43117", fault: { errcode: 43117 } },
  { name: "bad-value", code: "47003", fault: { errcode: 47003 } },
  { name: "left", code: "43004", fault: { errcode: 43004 } },
  { name: "no-right", code: "48001", fault: { errcode: 48001 } },
  { name: "busy", code: "-1", fault: { errcode: -1 } },
  { name: "dropped-later", code: "freq limit", act: () => sim("POST", "receipts", { status: "failed:freq limit", times: Number(times.value) || 1 }) },
  { name: "slow", code: "4 s", fault: { delay_ms: 4000 } },
  { name: "dropped", code: "×", fault: { drop: true } },
  { name: "html", code: "HTML", fault: { http_status: 200, body: "<html><body><h1>502 Bad Gateway</h1></body></html>" } },
  { name: "callbacks", code: "3 ×", fault: { path: "/callback", drop: true, times: 3 } },
];
const STEPS = [["hour", 3600], ["two-hours", 7200], ["day", 86_400]];

const active = h("ul", { class: "active-faults", "aria-live": "polite" });
const clock = h("p", { class: "clock" });
let wasFaulty = false;
const bar = h("div", { class: "fault-bar", role: "status", hidden: true });
const path = h("select", { id: "fault-path" });
const times = h("input", { id: "fault-times", type: "number", min: "1", max: "1000", value: "1" });

/** The bar in the header: the faults in force, with a button that ends them. */
export function faultBar() {
  document.addEventListener("world", renderBar);
  return bar;
}

/** The button that makes WeChat refuse the token. */
export function killButton() {
  return button(t("kill-token"), async () => {
    sayEnd(await sim("POST", "token/invalidate", {}), t("token-killed"));
    refreshWorld();
  }, { class: "small danger", id: "kill-token", title: t("kill-token-why") });
}

export function platformPanel() {
  document.addEventListener("world", render);
  document.addEventListener("language", render);
  const code = h("input", { id: "fault-code", type: "number", step: "1", required: true, placeholder: "45047" });
  const orderCode = (event) => {
    event.preventDefault();
    order({ code: code.value, fault: { errcode: Number(code.value) } });
  };
  fill(path, [SEND, "/cgi-bin/stable_token", "/cgi-bin/menu/create", "/cgi-bin/menu/get", "/cgi-bin/template/get_all_private_template"]
    .map((each) => h("option", { value: each }, each)));
  return h("div", { class: "tool" },
    h("h2", {}, t("faults-title")), h("p", { class: "hint" }, t("faults-hint")),
    h("div", { class: "row wrap" },
      h("div", { class: "field grow" }, h("label", { for: "fault-path" }, t("fault-path")), path),
      h("div", { class: "field" }, h("label", { for: "fault-times" }, t("fault-times")), times)),
    h("div", { class: "fault-buttons" }, FAULTS.map((entry) => button(
      [h("span", { class: "fault-code" }, entry.code), t(`fault-${entry.name}`)], () => order(entry), { "data-fault": entry.name }))),
    h("form", { class: "row", on: { submit: orderCode } }, h("label", { for: "fault-code", class: "grow" }, t("fault-code")), code,
      h("button", { type: "submit", id: "fault-code-order" }, t("fault-order"))),
    h("div", { class: "place-head" }, h("h3", {}, t("faults-active")), h("span", { class: "grow" }), button(t("clear-all"), clearAll, { id: "clear-faults" })),
    active,
    h("h3", {}, t("clock-title")), clock,
    h("div", { class: "row wrap" }, STEPS.map(([name, seconds]) => button([`+ `, t(`clock-${name}`)], () => advance(seconds)))),
    h("p", { class: "hint" }, t("clock-hint")));
}

async function order({ name, code, fault, act }) {
  const answer = act ? await act() : await sim("POST", "faults", { path: path.value, times: Number(times.value) || 1, ...fault });
  sayEnd(answer, t("fault-ordered", name ? t(`fault-${name}`) : code));
  refreshWorld();
}

async function clearAll() {
  await sim("DELETE", "faults");
  await sim("DELETE", "receipts");
  await sim("POST", "whitelist", null);
  wasFaulty = false;
  await recover();
}

/** Makes the bundle replace a token that a fault has killed, and the page read what it could not read before. */
async function recover() {
  await read("/api/menu");
  document.dispatchEvent(new Event("recovered"));
  refreshWorld();
}

async function advance(seconds) {
  await sim("POST", "clock", { advance_seconds: seconds });
  refreshWorld();
}

function render() {
  if (!world) return;
  const restricted = world.whitelist && h("li", {}, h("span", { class: "pill bad" }, "40164"),
    h("span", { class: "grow" }, t("only-from", world.whitelist.join(", ") || "—")),
    iconButton("cross", t("clear"), async () => {
      await sim("POST", "whitelist", null);
      await recover();
    }));
  const items = world.faults.map((fault) => h("li", {},
    h("span", { class: "pill bad" }, what(fault)), h("code", { class: "grow" }, fault.path), h("span", {}, t("times", fault.times))));
  const receipts = world.receipts.map((receipt) => h("li", {},
    h("span", { class: "pill bad" }, receipt.status ?? "—"), h("span", { class: "grow" }, t("msg-receipt")), h("span", {}, t("times", receipt.times))));
  items.push(...receipts);
  fill(active, restricted, items, !restricted && items.length === 0 && h("li", { class: "empty" }, t("no-faults")));
  const ahead = world.clock.advanced_seconds;
  fill(clock, h("b", {}, dateTime(world.clock.now)), " ", ahead > 0 && h("span", { class: "changed" }, t("ahead", (ahead / 3600).toFixed(0))));
}

function renderBar() {
  const faults = [
    ...(world.whitelist ? ["40164"] : []),
    ...world.faults.map((fault) => `${what(fault)} ${t("times", fault.times)}`),
    ...world.receipts.map((receipt) => `${receipt.status ?? "—"} ${t("times", receipt.times)}`),
  ];
  const isFaulty = faults.length > 0;
  bar.hidden = !isFaulty;
  redraw(bar, [faults, language()], () => fill(bar, h("strong", {}, t("fault-in-force")), h("span", { class: "grow" }, faults.join(" · ")),
    button(t("end-faults"), clearAll, { class: "small", id: "end-faults" })));
  // A fault that has happened as often as it was ordered has ended too.
  if (wasFaulty && !isFaulty) recover();
  wasFaulty = isFaulty;
}

function what(fault) {
  if (fault.errcode !== undefined) return String(fault.errcode);
  if (fault.drop) return t("fault-dropped");
  if (fault.body !== undefined || fault.http_status) return t("fault-html");
  if (fault.truncated) return t("fault-truncated");
  if (fault.content_type) return fault.content_type;
  return `${fault.delay_ms / 1000} s`;
}
