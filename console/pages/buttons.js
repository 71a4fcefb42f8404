// The form of the menu's buttons. It changes the document in the editor, which stays the only one.

import { button, fill, h, icon, iconButton } from "./dom.js";
import { t } from "./i18n.js";

/** WeChat shows three buttons, with five below each. */
const MOST = [3, 5];
/** The kinds that the form makes, with the member that says what a tap does. */
const MEMBER = { click: "key", view: "url" };
const SUB = "sub";

/** Creates the form of the buttons in the editor's document. */
export function menuForm(editor) {
  const top = h("div", { class: "menu-form-rows" });
  let shown = null;

  /** Changes the list that holds the button at `path`. The form stays as it is when it shows the change already. */
  const change = (path, edit, isShown) => {
    const menu = editor.document;
    menu.button ??= [];
    edit(path.length === 1 ? menu.button : below(menu.button[path[0]]), path.at(-1));
    if (isShown) shown = JSON.stringify(menu.button);
    editor.change(menu);
  };

  const rows = (list, path) => {
    const most = MOST[path.length];
    const add = () => {
      change([...path, list.length], (all) => all.push({ type: "click", name: "", key: "" }));
      top.querySelector(`[data-path="${[...path, list.length]}"] input`).focus();
    };
    return [
      h("ol", { class: "form-rows" }, list.map((entry, index) => row(entry, [...path, index]))),
      list.length < most && h("div", {}, button([icon("plus"), t("add-button")], add, { class: "small", "data-add": path.join() || "top" })),
    ];
  };

  const row = (entry, path) => {
    const kind = entry.sub_button ? SUB : entry.type;
    const kinds = [...Object.keys(MEMBER), ...(path.length === 1 ? [SUB] : [])];
    const select = h("select", { "aria-label": t("button-kind"), on: { change: () => change(path, turn(select.value)) } },
      (kinds.includes(kind) ? kinds : [kind, ...kinds]).map((each) => (
        h("option", { value: each, selected: each === kind }, kinds.includes(each) ? t(`button-${each}`) : each))));
    const text = (member, label) => {
      const input = h("input", { "aria-label": label, placeholder: label, autocomplete: "off", value: entry[member] ?? "" });
      input.addEventListener("input", () => change(path, (list, at) => { list[at][member] = input.value; }, true));
      return input;
    };
    const remove = iconButton("trash", t("delete-button", entry.name ?? ""), () => change(path, (list, at) => list.splice(at, 1)));
    const member = MEMBER[kind];
    return h("li", { "data-path": path.join() },
      h("div", { class: "row" }, text("name", t("button-name")), select, remove),
      member && text(member, t(`button-${member}`)),
      kind === SUB ? rows(below(entry), path) : !member && h("p", { class: "hint" }, t("button-as-json")));
  };

  return {
    element: h("section", { class: "rows-form" }, h("h3", {}, t("menu-buttons")), top),
    /** Shows the buttons of the editor's text, unless the form has just made them. */
    show() {
      const menu = editor.document;
      const now = JSON.stringify(menu && (menu.button ?? []));
      if (now === shown) return;
      shown = now;
      if (menu && Array.isArray(menu.button ?? [])) fill(top, rows(menu.button ?? [], []));
      else fill(top);
    },
  };
}

/** The buttons of a submenu. WeChat wraps them in a list when the menu was made in its console. */
function below(entry) {
  return entry.sub_button.list ?? entry.sub_button;
}

/** Makes a button of another kind, with the same name. */
function turn(kind) {
  return (list, at) => {
    const { name = "" } = list[at];
    list[at] = kind === SUB ? { name, sub_button: [] } : { type: kind, name, [MEMBER[kind]]: "" };
  };
}
