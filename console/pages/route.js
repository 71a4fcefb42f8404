// The screen that is shown, and what is open in it, in the address ("#campaigns/3f2a"): a reload and Back lead to it.

/** What was open last in each screen, and the screen of an address that names none. */
const opened = new Map();
let first = "";

function place() {
  const [screen, open] = location.hash.slice(1).split("/");
  return { screen: screen || first, open: open || null };
}

/** The id of the item that is open in the screen; null for none. */
export function openIn(name) {
  const { screen, open } = place();
  return screen === name ? open : null;
}

/** Shows a screen, with the item of this id open in it. */
export function go(screen, open = null) {
  opened.set(screen, open);
  location.hash = open ? `${screen}/${open}` : screen;
}

/** Calls `changed` when something else is open in the screen: after a click, or Back. */
export function followOpen(name, changed) {
  window.addEventListener("hashchange", () => place().screen === name && changed());
}

/** Where tabs keep which one is shown: in the address. */
export const inAddress = {
  recall: (firstName) => {
    first = firstName;
    note();
    return place().screen;
  },
  keep: (name) => place().screen === name || go(name, opened.get(name)),
  follow: (changed) => window.addEventListener("hashchange", () => {
    note();
    changed(place().screen);
  }),
};

function note() {
  opened.set(place().screen, place().open);
}
