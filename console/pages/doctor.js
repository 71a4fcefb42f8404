// The doctor: every check of the set-up, with its result and remedy.

import { read } from "./api.js";
import { busy, button, fill, h, icon } from "./dom.js";
import { both, Phrase, t } from "./i18n.js";
import { problemBox } from "./problem.js";

const CHINESE = {
  configuration: "配置", "API keys": "API 密钥", callbacks: "收到的回调", secret: "密钥", "reply rules": "回复规则", table: "数据表", "table expiry": "数据过期（TTL）", "last refused callback": "最近被拒的回调", token: "access_token",
  "refresh on demand": "按需刷新", templates: "消息模板", menu: "自定义菜单", "callback URL": "回调地址", "send quota": "发送额度",
  "token quota": "token 额度", "own code": "自有服务", relay: "中继",
};

const report = h("div", { class: "report", "aria-live": "polite" }, h("p", { class: "empty" }, t("doctor-empty")));
const examine = button(t("examine"), runDoctor, { class: "primary", id: "examine" });

export function doctorPanel() {
  return h("div", { class: "tool" }, h("h2", { class: "unseen" }, t("tab-doctor")), h("p", { class: "hint" }, t("doctor-hint")), h("div", {}, examine), report);
}

async function runDoctor() {
  const answer = await busy(examine, () => read("/api/doctor"), report);
  if (!answer.ok) {
    fill(report, problemBox(answer));
    return;
  }
  const { ok, checks } = answer.body;
  const causes = groups(checks);
  const bad = causes.filter((cause) => !cause.ok && !isWaiting(cause)).length;
  fill(report, h("p", { class: `verdict ${ok ? "good" : "bad"}` }, icon(ok ? "check" : "warning"), ok ? t("healthy") : t("unhealthy", bad)),
    h("ul", { class: "checks" }, causes.map(check)));
}

/** The checks, with those that fail for the same cause as one: {names, ok, detail, hint}. */
function groups(checks) {
  const groups = [];
  for (const { name, ...found } of checks) {
    const same = !found.ok && groups.find((group) => group.detail === found.detail && group.hint === found.hint);
    if (same) same.names.push(name);
    else groups.push({ names: [name], ...found });
  }
  return groups;
}

/** Whether these checks were not run, because another check failed: they are not a cause of their own. */
function isWaiting({ ok, detail }) {
  return !ok && detail.startsWith("not checked");
}

function check(found) {
  const { names, ok, detail, hint } = found;
  const chinese = names.map((name) => CHINESE[name] ?? name);
  const [kind, mark] = ok ? ["good", "check"] : isWaiting(found) ? ["waits", "pause"] : ["bad", "cross"];
  return h("li", { class: kind }, h("span", { class: "check-mark" }, icon(mark)),
    h("div", {}, h("strong", {}, new Phrase(names.join(", "), chinese.join("、"))), h("p", {}, both(detail)),
      hint && h("div", { class: "remedy" }, h("strong", {}, t("what-to-do")), h("p", {}, both(hint)))));
}
