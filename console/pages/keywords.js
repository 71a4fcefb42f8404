// The form of the keyword rules. It changes the document in the editor, which stays the only one.

import { button, fill, h, icon, iconButton } from "./dom.js";
import { t } from "./i18n.js";

const MATCHES = ["contains", "exact", "prefix", "regex"];

/** Creates the form of the `keywords` in the editor's document. */
export function keywordForm(editor) {
  const rows = h("ol", { class: "form-rows keyword-rules" });
  let shown = null;

  /** Changes the rule at the index, and leaves the form as it is: it shows the change already. */
  const set = (index, members) => {
    const rules = editor.document;
    rules.keywords[index] = { ...rules.keywords[index], ...members };
    shown = JSON.stringify(rules.keywords);
    editor.change(rules);
  };
  const replaceAll = (change) => {
    const rules = editor.document;
    editor.change({ ...rules, keywords: change(rules.keywords ?? []) });
  };
  const add = () => {
    replaceAll((list) => [...list, { match: "contains", value: "", reply: { type: "text", content: "" } }]);
    rows.querySelector("li:last-child input").focus();
  };
  const addButton = button([icon("plus"), t("add-rule")], add, { class: "small", id: "add-keyword" });

  const row = (rule, index) => {
    const match = h("select", { "aria-label": t("match-kind"), on: { change: () => set(index, { match: match.value }) } },
      MATCHES.map((kind) => h("option", { value: kind, selected: kind === rule.match }, t(`match-${kind}`))));
    const value = h("input", { "aria-label": t("match-value"), placeholder: t("match-value"), autocomplete: "off",
      value: rule.value ?? "", on: { input: () => set(index, { value: value.value }) } });
    const reply = h("textarea", { "aria-label": t("reply-text"), placeholder: t("reply-text"), rows: "2",
      on: { input: () => set(index, { reply: { ...editor.document.keywords[index].reply, type: "text", content: reply.value } }) } }, rule.reply?.content ?? "");
    const remove = iconButton("trash", t("delete-rule", index + 1), () => {
      replaceAll((list) => list.filter((_, other) => other !== index));
      addButton.focus();
    });
    const isText = (rule.reply?.type ?? "text") === "text";
    return h("li", {}, h("div", { class: "row" }, match, value, remove),
      isText ? reply : h("p", { class: "hint" }, t("reply-as-json", rule.reply.type)));
  };

  return {
    element: h("section", { class: "rows-form" }, h("h3", {}, t("keyword-rules")), rows, h("div", {}, addButton)),
    /** Shows the rules of the editor's text, unless the form has just made them. */
    show() {
      const rules = editor.document;
      const list = rules?.keywords;
      addButton.disabled = rules === null;
      const now = JSON.stringify(list);
      if (now === shown) return;
      shown = now;
      if (Array.isArray(list)) fill(rows, list.map(row));
      else fill(rows);
    },
    /** Moves the focus to the reply of the last rule. */
    focusLast() {
      rows.querySelector("li:last-child textarea")?.focus();
    },
  };
}
