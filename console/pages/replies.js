// The form of the replies that no keyword chooses, where they are texts. It changes the document in the editor, which stays the only one.

import { fill, h } from "./dom.js";
import { t } from "./i18n.js";

/** The members of the rules, with what is answered where a stored document has none. */
const REPLIES = { subscribe: null, default: null, bound: "绑定成功", bind_failed: "二维码已失效，请重新获取" };

/** Creates the form of these replies in the editor's document. While none `isStored()`, new followers get a greeting all the same. */
export function replyForm(editor, isStored) {
  const rows = h("div", { class: "fields" });
  let shown = null;

  const stateOf = (rules) => JSON.stringify([isStored(), rules && Object.keys(REPLIES).map((name) => rules[name])]);

  /** Changes one reply, and leaves the form as it is: it shows the change already. */
  const set = (name, content) => {
    const { [name]: before, ...rules } = editor.document;
    const after = content ? { ...editor.document, [name]: { ...before, type: "text", content } } : rules;
    shown = stateOf(after);
    editor.change(after);
  };

  /** What is answered while the field is empty. */
  const otherwise = (name, reply) => {
    if (name === "subscribe" && !isStored()) return t("greeting-until-saved");
    return reply === null ? t("no-reply") : REPLIES[name] ?? t("no-reply");
  };

  const row = (name) => {
    const reply = editor.document[name];
    const id = `reply-${name}`;
    const isText = (reply?.type ?? "text") === "text";
    const area = h("textarea", { id, rows: "2", placeholder: otherwise(name, reply),
      on: { input: () => set(name, area.value) } }, reply?.content ?? "");
    return h("div", { class: "field" }, h(isText ? "label" : "span", { for: isText && id }, t(id)),
      isText ? area : h("p", { class: "hint" }, t("reply-as-json", reply.type)));
  };

  return {
    element: h("section", { class: "rows-form set-replies" }, h("h3", {}, t("set-replies")), rows),
    /** Shows the replies of the editor's text, unless the form has just made them. */
    show() {
      const now = stateOf(editor.document);
      if (now === shown) return;
      shown = now;
      fill(rows, editor.document && Object.keys(REPLIES).map(row));
    },
  };
}
