// Two languages at once: a Phrase holds both, and switching the language changes every shown phrase in place.

import { texts } from "./texts.js";

const STORED = "console.language";

export class Phrase {
  #english;
  #chinese;

  /** Each is a text, or a function that gives one: what it shows may change with the reader's choices. */
  constructor(english, chinese) {
    this.#english = english;
    this.#chinese = chinese;
  }

  get english() {
    return textOf(this.#english);
  }

  get chinese() {
    return textOf(this.#chinese);
  }

  toJSON() {
    return [this.english, this.chinese];
  }

  toString() {
    return language() === "zh" ? this.chinese : this.english;
  }
}

function textOf(text) {
  return typeof text === "function" ? text() : text;
}

/** The phrase of that name, with `values`, which may be Phrases too, in place of {0}, {1}, … */
export function t(name, ...values) {
  const [english, chinese] = texts[name];
  const fill = (text, pick) => text.replace(/\{(\d)\}/g, (_, index) => pick(values[index]));
  return new Phrase(
    () => fill(english, (value) => (value instanceof Phrase ? value.english : String(value))),
    () => fill(chinese, (value) => (value instanceof Phrase ? value.chinese : String(value))),
  );
}

/** A path at the beginning of a Chinese half that repeats the path. */
const OWN_PATH = /^\/\S*?[:：]/;

/**
 * Splits the API's "English / 中文". Both halves keep what stands before them ("errcode 40164: ", a path or a pointer), and
 * what stands after "中文: ", which may be such texts itself, in a list with "; ".
 */
export function both(text) {
  if (text instanceof Phrase) return text;
  const [, prefix, rest] = String(text).match(/^((?:(?:errcode -?\d+(?: \(.*?\))?|IP \S+|\/\S*): )*)([\s\S]*)$/);
  const [, head, tail] = rest.match(/^([\s\S]+? \/ [\s\S]*?[\p{Script=Han}）]): ([\s\S]+)$/u) ?? [rest, rest, ""];
  const { english, chinese } = split(head);
  if (!tail) return new Phrase(prefix + english, OWN_PATH.test(chinese) ? chinese : prefix + chinese);
  const shared = list(tail);
  return new Phrase(`${prefix}${english}: ${shared.english}`, `${prefix}${chinese}：${shared.chinese}`);
}

/** Splits each text of a list. A "; " inside a text leaves a piece without a second half, which belongs to a neighbour. */
function list(text) {
  const whole = [];
  let open = "";
  for (const piece of text.split("; ")) {
    open = open ? `${open}; ${piece}` : piece;
    const { english, chinese } = both(open);
    if (english !== chinese) {
      whole.push(open);
      open = "";
    }
  }
  if (open) whole.push(whole.length ? `${whole.pop()}; ${open}` : open);
  const phrases = whole.map(both);
  return new Phrase(phrases.map(({ english }) => english).join("; "), phrases.map(({ chinese }) => chinese).join("；"));
}

function split(text) {
  const splits = [...text.matchAll(/ \/ /g)].map(({ index }) => {
    const parts = [text.slice(0, index), text.slice(index + 3)];
    return { parts, gain: shareOfChinese(parts[1]) - shareOfChinese(parts[0]) };
  });
  const best = splits.sort((one, other) => other.gain - one.gain)[0];
  return best && best.gain > 0 ? new Phrase(...best.parts) : new Phrase(text, text);
}

function shareOfChinese(text) {
  return (text.match(/[\u3000-\u9fff\uff00-\uffef]/g) ?? []).length / (text.length || 1);
}

let current = localStorage.getItem(STORED) ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

export function language() {
  return current;
}

export function setLanguage(chosen) {
  current = chosen;
  localStorage.setItem(STORED, chosen);
  applyLanguage();
}

/** Shows every phrase on the page in the current language. */
export function applyLanguage() {
  document.documentElement.lang = current === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-phrased]")) showPhrases(element);
  document.dispatchEvent(new Event("language"));
}

/** Shows the phrase as the element's text, or as one of its attributes. */
export function phrase(element, place, value) {
  element.phrases = { ...element.phrases, [place]: value };
  element.dataset.phrased = "";
  showPhrases(element);
}

function showPhrases(element) {
  for (const [place, value] of Object.entries(element.phrases)) {
    if (place === "text") element.textContent = value.toString();
    else element.setAttribute(place, value.toString());
  }
}
