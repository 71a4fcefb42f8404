// The doctor: every check of the set-up, with its result and remedy.

import { read } from "./api.js";
import { busy, button, fill, h, icon } from "./dom.js";
import { both, Phrase, t } from "./i18n.js";
import { problemBox } from "./problem.js";

const CHINESE = {
  configuration: "配置", "API keys": "API 密钥", callbacks: "收到的回调", table: "数据表", "table expiry": "数据过期（TTL）", "last refused callback": "最近被拒的回调", token: "access_token",
  "refresh on demand": "按需刷新", templates: "消息模板", menu: "自定义菜单", "callback URL": "回调地址", "send quota": "发送额度",
  "token quota": "token 额度",
};

const report = h("div", { class: "report", "aria-live": "polite" }, h("p", { class: "empty" }, t("doctor-empty")));
const examine = button(t("examine"), runDoctor, { class: "primary", id: "examine" });

export function doctorPanel() {
  return h("div", { class: "tool" }, h("p", { class: "hint" }, t("doctor-hint")), h("div", {}, examine), report);
}

async function runDoctor() {
  const answer = await busy(examine, () => read("/api/doctor"));
  if (!answer.ok) {
    fill(report, problemBox(answer));
    return;
  }
  const { ok, checks } = answer.body;
  const bad = checks.filter((check) => !check.ok).length;
  fill(report, h("p", { class: `verdict ${ok ? "good" : "bad"}` }, icon(ok ? "check" : "warning"), ok ? t("healthy") : t("unhealthy", bad)),
    h("ul", { class: "checks" }, checks.map(check)));
}

function check({ name, ok, detail, hint }) {
  return h("li", { class: ok ? "good" : "bad" }, h("span", { class: "check-mark" }, icon(ok ? "check" : "cross")),
    h("div", {}, h("strong", {}, new Phrase(name, CHINESE[name] ?? name)), h("p", {}, both(detail)),
      hint && h("div", { class: "remedy" }, h("strong", {}, t("what-to-do")), h("p", {}, both(hint)))));
}
