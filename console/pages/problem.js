// Shows a failure of the API: what happened, what it means, what to do.

import { factList, h, icon, toast } from "./dom.js";
import { both, t } from "./i18n.js";

/** What to do in the console, where the API's own hint names its calls. */
const REMEDIES = {
  "urn:wechat-bundle:unknown-user": "bind-first",
  "urn:wechat-bundle:forbidden": "other-key",
  "urn:wechat-bundle:template-mismatch": "mend-fields",
};

/** A failure in one sentence. The simulated platform says it as `error`, API Gateway as `message`. */
export function problemText({ status, body }) {
  if (status === 0) return t("no-connection", body.detail);
  const text = body.error ?? body.detail ?? body.message;
  return text ? both(text) : t("failed");
}

/** Says what a call has `done`, or why it failed. */
export function sayEnd(answer, done) {
  toast(answer.ok ? done : problemText(answer), answer.ok ? "good" : "bad");
}

/** Shows a problem document, or any other body of a failure. */
export function problemBox({ status, body }) {
  if (status === 0) return h("div", { class: "result bad", role: "alert" }, h("p", {}, problemText({ status, body })));
  const facts = [
    ["HTTP", status], ["errcode", body.errcode], ["errmsg", body.errmsg], ["rid", body.rid],
    ["Retry-After", body.retry_after && `${body.retry_after} s`], ["client_msg_id", body.client_msg_id],
  ];
  const remedy = REMEDIES[body.type] ? t(REMEDIES[body.type]) : body.hint;
  return h("div", { class: "result bad", role: "alert" },
    h("header", {}, icon("warning"), h("strong", {}, both(body.title ?? body.message ?? t("failed")))),
    h("p", {}, both(body.detail ?? "")),
    remedy && h("div", { class: "remedy" }, h("strong", {}, t("what-to-do")), h("p", {}, both(remedy))),
    factList(facts));
}
