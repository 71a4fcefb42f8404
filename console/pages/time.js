// Times in the reader's language, and in Beijing's zone unless the reader has chosen the one of this computer.

import { applyLanguage, Phrase, t } from "./i18n.js";
import { h } from "./dom.js";

const STORED = "console.zone";
const BEIJING = "Asia/Shanghai";
const OWN = new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Milliseconds that Beijing is ahead of UTC. */
const AHEAD = 8 * 3_600_000;

const isOwn = () => localStorage.getItem(STORED) === "own";

/** The choice of the zone. Nothing where this computer's clock is Beijing's. */
export function zoneChoice() {
  if (new Date().getTimezoneOffset() * 60_000 === -AHEAD) return null;
  const choose = ({ target }) => {
    localStorage.setItem(STORED, target.value);
    applyLanguage();
  };
  const choice = h("select", { id: "zone", "aria-label": t("time-zone"), on: { change: choose } },
    h("option", { value: "beijing" }, t("beijing-time")), h("option", { value: "own" }, OWN));
  choice.value = isOwn() ? "own" : "beijing";
  return choice;
}

/** The date and time of epoch seconds. It follows the choices of the language and the zone. */
export function dateTime(seconds) {
  return shown(seconds * 1000, { dateStyle: "short", timeStyle: "medium" });
}

/** The time of day of epoch milliseconds. */
export function timeOfDay(millis) {
  return shown(millis, { timeStyle: "medium" });
}

/** Today in Beijing, YYYY-MM-DD: the API's days are Beijing's. */
export function today() {
  return new Date(Date.now() + AHEAD).toISOString().slice(0, 10);
}

/** Epoch seconds of what was entered into a datetime-local input, which is in the chosen zone. */
export function epochOf(entered) {
  return Math.floor(Date.parse(isOwn() ? entered : `${entered}+08:00`) / 1000);
}

/** What a datetime-local input in the chosen zone holds for epoch seconds. */
export function enteredOf(seconds) {
  const ahead = isOwn() ? new Date(seconds * 1000).getTimezoneOffset() * -60_000 : AHEAD;
  return new Date(seconds * 1000 + ahead).toISOString().slice(0, 16);
}

function shown(millis, style) {
  const inLanguage = (locale) => () => new Date(millis).toLocaleString(locale, { ...style, hourCycle: "h23", timeZone: isOwn() ? OWN : BEIJING });
  return new Phrase(inLanguage("en-GB"), inLanguage("zh-CN"));
}
