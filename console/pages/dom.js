// Builds elements without HTML strings: data from users or WeChat becomes text, never markup.

import { Phrase, phrase, t } from "./i18n.js";

const ICONS = {
  arrowLeft: "M15 5l-7 7 7 7",
  check: "M5 13l4 4 10-11",
  chevron: "M9 6l6 6-6 6",
  clock: "M12 7v5l3 3M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  copy: "M9 9h10v12H9zM15 9V4H5v12h4",
  cross: "M6 6l12 12M18 6L6 18",
  down: "M12 5v14M6 13l6 6 6-6",
  globe: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
  keyboard: "M3 7h18v11H3zM7 11h.01M11 11h.01M15 11h.01M8 15h8",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  menu: "M4 7h16M4 12h16M4 17h16",
  music: "M9 18V5l11-2v13M9 18a3 3 0 1 1-3-3 3 3 0 0 1 3 3zM20 16a3 3 0 1 1-3-3 3 3 0 0 1 3 3z",
  pause: "M8 5v14M16 5v14",
  pin: "M12 21s-7-6-7-11a7 7 0 0 1 14 0c0 5-7 11-7 11zM12 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  play: "M7 4l13 8-13 8z",
  reload: "M20 11a8 8 0 1 0-2 6M20 5v6h-6",
  plus: "M12 5v14M5 12h14",
  scan: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M4 12h16",
  send: "M4 12l16-8-6 16-3-7z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  redo: "M15 14l5-5-5-5M20 9H9a5 5 0 0 0 0 10h4",
  undo: "M9 14L4 9l5-5M4 9h11a5 5 0 0 1 0 10h-4",
  up: "M12 19V5M6 11l6-6 6 6",
  user: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21a8 8 0 0 1 16 0",
  video: "M3 6h12v12H3zM15 11l6-4v10l-6-4",
  voice: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5 11a7 7 0 0 0 14 0M12 18v3",
  warning: "M12 3l10 18H2zM12 10v4M12 17.500h.01",
};

/** Creates an element. Attributes may be phrases; "on" holds listeners; children may be nodes, texts, phrases or lists. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value instanceof Phrase) phrase(element, name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  return put(element, ...children);
}

/** Adds children. */
export function put(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Phrase) {
      const span = document.createElement("span");
      phrase(span, "text", child);
      element.append(span);
    } else {
      element.append(child);
    }
  }
  return element;
}

/** Replaces the children. */
export function fill(element, ...children) {
  element.replaceChildren();
  return put(element, ...children);
}

/** Names and values. One without a value is left out. */
export function factList(facts) {
  const known = facts.filter((fact) => fact && (fact[1] ?? null) !== null);
  return h("dl", { class: "facts" }, known.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** Whether somebody may see the element. */
export function isShown(element) {
  return !document.hidden && !element.closest("[hidden]");
}

const drawn = new WeakMap();

/** Draws only when `shown` has changed, so that an open list stays open; gives a lost focus back. */
export function redraw(element, shown, draw) {
  const now = JSON.stringify(shown);
  if (drawn.get(element) === now) return;
  drawn.set(element, now);
  const hadFocus = element.contains(document.activeElement) && document.activeElement !== element;
  draw();
  if (hadFocus) element.querySelector("button, input")?.focus();
}

/** Creates an element of SVG. Attributes are texts or numbers. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter(Boolean));
  return element;
}

export function icon(name) {
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

export function button(label, act, attributes = {}) {
  return h("button", { type: "button", ...attributes, on: { click: act } }, label);
}

export function iconButton(name, label, act, attributes = {}) {
  const all = { type: "button", class: "icon-button", "aria-label": label, title: label, ...attributes };
  return h("button", { ...all, on: { click: act } }, icon(name));
}

/** Milliseconds in which the question of a sureButton takes no answer: the second click of a double click does not confirm. */
const UNREAD = 700;
/** Milliseconds for which the question waits for an answer. */
const ASKS_FOR = 5000;

/** A button that needs a second click to confirm what `question` asks. */
export function sureButton(label, act, attributes = {}, question = () => t("sure")) {
  let timer = null;
  let askedAt = 0;
  const calm = () => {
    clearTimeout(timer);
    timer = null;
    element.classList.remove("sure");
    element.removeAttribute("aria-disabled");
    fill(element, label);
  };
  const element = button(label, () => {
    if (timer && performance.now() - askedAt < UNREAD) return;
    if (timer) {
      calm();
      act();
      return;
    }
    askedAt = performance.now();
    element.classList.add("sure");
    element.setAttribute("aria-disabled", "true");
    setTimeout(() => element.removeAttribute("aria-disabled"), UNREAD);
    fill(element, question());
    timer = setTimeout(calm, ASKS_FOR);
  }, attributes);
  element.addEventListener("keydown", (event) => event.key === "Escape" && calm());
  element.addEventListener("blur", calm);
  return element;
}

/** Runs `act` with the button disabled and marked busy. Empties `place`, so that no earlier result looks like the new one. */
export async function busy(element, act, place) {
  if (place) fill(place);
  element.disabled = true;
  element.setAttribute("aria-busy", "true");
  try {
    return await act();
  } finally {
    element.disabled = false;
    element.removeAttribute("aria-busy");
  }
}

/** Shows a message for a few seconds. */
export function toast(message, kind = "info") {
  let tray = document.querySelector(".toasts");
  if (!tray) {
    tray = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    document.body.append(tray);
  }
  const shown = h("div", { class: `toast ${kind}` }, message);
  tray.replaceChildren(shown);
  setTimeout(() => shown.remove(), kind === "bad" ? 7000 : 3500);
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(t("copied"), "good");
  } catch {
    toast(t("not-copied"), "bad");
  }
}

/** Moves the focus among `items` by the arrow keys, Home and End. Returns the item that has it now, or null. */
export function moveFocus(event, items) {
  const at = items.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (next === undefined || items.length === 0) return null;
  event.preventDefault();
  const item = items[(next + items.length) % items.length];
  item.focus();
  return item;
}

/** Asks in a dialog. `choices` are {value, label, class?}; resolves to the chosen value, or to null when none is chosen. */
export function ask(title, text, choices) {
  return new Promise((resolve) => {
    let chosen = null;
    const pick = (value) => () => {
      chosen = value;
      dialog.close();
    };
    const close = () => {
      dialog.remove();
      resolve(chosen);
    };
    const dialog = h("dialog", { "aria-labelledby": "ask-title", on: { close } },
      h("div", { class: "form" }, h("h2", { id: "ask-title" }, title), h("p", {}, text),
        h("div", { class: "row wrap" }, choices.map(({ value, label, ...attributes }) => (
          button(label, pick(value), { "data-choice": String(value), ...attributes }))))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks in a dialog whether to do what `yes` says, which may lose input. */
export async function agree(title, text, yes, losesInput = false) {
  const choices = losesInput
    ? [{ value: false, label: t("unsaved-stay"), class: "primary" }, { value: true, label: yes, class: "danger" }]
    : [{ value: true, label: yes, class: "primary" }, { value: false, label: t("cancel") }];
  return (await ask(title, text, choices)) === true;
}

/** Where tabs keep which one is shown: in this browser tab, under a name. */
export function inSession(name) {
  return { recall: () => sessionStorage.getItem(name), keep: (tab) => sessionStorage.setItem(name, tab), follow: () => {} };
}

/**
 * Tabs as WAI-ARIA describes them: arrow keys move, one tab stop. Each tab is {name, label, panel, shown?, mayLeave?}. `memory`
 * keeps which one is shown: {recall, keep, follow}.
 */
export function tabs(list, label, memory) {
  const bar = h("div", { class: "tabs", role: "tablist", "aria-label": label });
  const buttons = new Map();
  let current = null;
  const show = async (name, focus = false) => {
    if (current && current.name !== name && !(await (current.mayLeave?.() ?? true))) {
      buttons.get(current.name).focus();
      return false;
    }
    if (current) memory.keep(name);
    current = list.find((tab) => tab.name === name);
    for (const tab of list) {
      const chosen = tab.name === name;
      const tabButton = buttons.get(tab.name);
      tabButton.setAttribute("aria-selected", String(chosen));
      tabButton.tabIndex = chosen ? 0 : -1;
      tab.panel.hidden = !chosen;
      if (chosen) {
        if (focus) tabButton.focus();
        tab.shown?.();
      }
    }
    return true;
  };
  list.forEach((tab, index) => {
    const id = `tab-${tab.name}`;
    tab.panel.id = `panel-${tab.name}`;
    tab.panel.setAttribute("role", "tabpanel");
    tab.panel.setAttribute("aria-labelledby", id);
    const move = (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: list.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(list[(to + list.length) % list.length].name, true);
    };
    const attributes = { type: "button", id, role: "tab", "aria-controls": tab.panel.id };
    const tabButton = h("button", { ...attributes, on: { click: () => show(tab.name), keydown: move } }, tab.label);
    buttons.set(tab.name, tabButton);
    bar.append(tabButton);
  });
  const known = (name) => (list.some((tab) => tab.name === name) ? name : list[0].name);
  memory.follow(async (name) => {
    if (known(name) === current.name) return;
    if (!(await show(known(name)))) memory.keep(current.name);
  });
  show(known(memory.recall(list[0].name)));
  return { bar, show };
}
