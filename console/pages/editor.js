// The JSON editor: line numbers, undo, faults at their lines, and the changes since the document was read.

import { ask, button, fill, h, icon, iconButton } from "./dom.js";
import { both, t } from "./i18n.js";
import { faultIn, lineOf, locate } from "./pointer.js";
import { keep } from "./unsaved.js";

/** Changes that can be undone. */
const UNDONE = 200;
/** Pairs of lines. A table of more takes the tab seconds and megabytes. */
const COMPARED = 4_000_000;

/** Creates an editor that calls `changed` after every change of its text. */
export function jsonEditor(id, label, changed) {
  const area = h("textarea", { id, spellcheck: "false", rows: "16", "aria-label": label, autocapitalize: "off" });
  const faults = h("ul", { class: "faults", hidden: true });
  const numbers = h("pre", { class: "numbers", "aria-hidden": "true" });
  const undo = iconButton("undo", t("undo"), () => step(past, future));
  const redo = iconButton("redo", t("redo"), () => step(future, past));
  const past = [];
  const future = [];
  let saved = "";
  let shown = "";
  const indent = (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    const before = area.value.slice(0, area.selectionStart);
    const spaces = before.slice(before.lastIndexOf("\n") + 1).match(/^ */)[0];
    if (!spaces) return;
    event.preventDefault();
    area.setRangeText(`\n${spaces}`, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input"));
  };
  area.addEventListener("keydown", indent);
  area.addEventListener("input", () => {
    past.push(shown);
    past.splice(0, past.length - UNDONE);
    future.length = 0;
    show();
  });
  area.addEventListener("scroll", () => { numbers.scrollTop = area.scrollTop; });

  /** Shows what depends on the text, after it has changed. */
  const show = () => {
    shown = area.value;
    numbers.textContent = Array.from({ length: lineOf(shown, shown.length) }, (_, index) => index + 1).join("\n");
    numbers.scrollTop = area.scrollTop;
    undo.disabled = past.length === 0;
    redo.disabled = future.length === 0;
    clearFaults();
    changed();
  };
  const step = (from, to) => {
    to.push(area.value);
    area.value = from.pop();
    show();
  };

  const clearFaults = () => {
    faults.hidden = true;
    area.removeAttribute("aria-invalid");
  };
  const select = ([start, end]) => {
    area.focus();
    area.setSelectionRange(start, end);
    const lineHeight = parseFloat(getComputedStyle(area).lineHeight);
    area.scrollTop = Math.max(0, (lineOf(area.value, start) - 4) * lineHeight);
  };
  const showFaults = (list) => {
    area.setAttribute("aria-invalid", "true");
    faults.hidden = false;
    fill(faults, list.map(({ pointer, detail, place }) => {
      const found = place ?? locate(area.value, pointer);
      const where = found ? t("line", lineOf(area.value, found[0])) : "";
      return h("li", {}, button(
        [icon("warning"), h("span", {}, h("strong", {}, where), " ", h("code", {}, pointer), h("br"), both(detail))],
        () => found && select(found),
      ));
    }));
  };

  // Until the editor holds the stored document, a change would replace that document unseen.
  const element = h("div", { class: "editor", inert: true },
    h("div", { class: "row" }, h("span", { class: "hint grow" }, "JSON"), undo, redo),
    h("div", { class: "numbered" }, numbers, area), h("div", { role: "alert" }, faults));
  const editor = {
    element,
    get text() {
      return area.value;
    },
    /** The text's JSON object, or null when it is something else. */
    get document() {
      try {
        const parsed = JSON.parse(area.value);
        return parsed && typeof parsed === "object" && !Array.isArray(parsed) ? parsed : null;
      } catch {
        return null;
      }
    },
    get saved() {
      return saved;
    },
    get isChanged() {
      return area.value !== saved;
    },
    /** Shows a document from the server. */
    load(document_) {
      saved = JSON.stringify(document_, null, 2);
      area.value = saved;
      past.length = 0;
      future.length = 0;
      element.inert = false;
      show();
    },
    /** Changes the text as if it was typed, so that it can be undone. */
    change(document_) {
      if (element.inert) return;
      area.value = JSON.stringify(document_, null, 2);
      area.dispatchEvent(new Event("input"));
    },
    /** Selects the value at the pointer. */
    select(pointer) {
      const place = locate(area.value, pointer);
      if (place) select(place);
    },
    /** Goes back to the document from the server, which can be undone. */
    discard() {
      area.value = saved;
      area.dispatchEvent(new Event("input"));
    },
    /** Asks what to do with unsaved changes. Returns whether the text may be left, or replaced. */
    async maySetAside(mayKeep) {
      if (area.value === saved) return true;
      const chosen = await ask(t("unsaved-title"), t("unsaved"), [
        { value: "stay", label: t("unsaved-stay"), class: "primary" },
        ...(mayKeep ? [{ value: "keep", label: t("unsaved-keep") }] : []),
        { value: "discard", label: t("unsaved-discard"), class: "danger" },
      ]);
      if (chosen === "discard") editor.discard();
      return chosen === "keep" || chosen === "discard";
    },
    /** Takes the current text as the stored one. */
    markSaved() {
      saved = area.value;
      changed();
    },
    /** Returns the document. When the text is not JSON, shows the fault and returns undefined. */
    parse() {
      try {
        clearFaults();
        return JSON.parse(area.value);
      } catch {
        // Browsers word the fault differently, and some do not say where it is.
        const position = faultIn(area.value) ?? area.value.length;
        showFaults([{ pointer: "", detail: t("not-json"), place: [position, position + 1] }]);
        return undefined;
      }
    },
    showFaults,
  };
  keep(editor);
  return editor;
}

/** The removed and added lines, with two lines of context. */
export function lineDifference(before, after) {
  const old = before.split("\n");
  const fresh = after.split("\n");
  const shorter = Math.min(old.length, fresh.length);
  let first = 0;
  while (first < shorter && old[first] === fresh[first]) first += 1;
  let last = 0;
  while (last < shorter - first && old.at(-1 - last) === fresh.at(-1 - last)) last += 1;
  const context = (from, to) => old.slice(from, to).map((line) => [" ", line]);
  const lines = [
    ...context(0, first),
    ...changedLines(old.slice(first, old.length - last), fresh.slice(first, fresh.length - last)),
    ...context(old.length - last),
  ];
  const isNear = (index) => lines.slice(Math.max(0, index - 2), index + 3).some(([mark]) => mark !== " ");
  const shown = lines.filter((_, index) => isNear(index));
  if (shown.length === 0) return h("p", { class: "empty" }, t("no-difference"));
  const kinds = { "+": "added", "-": "removed", " ": "" };
  return h("pre", { class: "difference", tabindex: "0" },
    shown.map(([mark, text]) => h("span", { class: `diff-line ${kinds[mark]}` }, `${mark} ${text}\n`)));
}

/** The lines with their marks, by the longest common subsequence. What is too long for that is all removed and added. */
function changedLines(old, fresh) {
  if (old.length * fresh.length > COMPARED) return [...old.map((line) => ["-", line]), ...fresh.map((line) => ["+", line])];
  const lengths = Array.from({ length: old.length + 1 }, () => new Uint16Array(fresh.length + 1));
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = fresh.length - 1; j >= 0; j -= 1) {
      lengths[i][j] = old[i] === fresh[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const lines = [];
  for (let i = 0, j = 0; i < old.length || j < fresh.length;) {
    if (i < old.length && j < fresh.length && old[i] === fresh[j]) lines.push([" ", old[i++], j++]);
    else if (i < old.length && (j === fresh.length || lengths[i + 1][j] >= lengths[i][j + 1])) lines.push(["-", old[i++]]);
    else lines.push(["+", fresh[j++]]);
  }
  return lines;
}
