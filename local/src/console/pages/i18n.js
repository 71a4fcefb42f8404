// Two languages at once: a Phrase holds both, and switching the language changes every shown phrase in place.

import { texts } from "./texts.js";

const STORED = "console.language";

export class Phrase {
  constructor(english, chinese) {
    this.english = english;
    this.chinese = chinese;
  }

  toString() {
    return language() === "zh" ? this.chinese : this.english;
  }
}

/** The phrase of that name, with `values`, which may be Phrases too, in place of {0}, {1}, … */
export function t(name, ...values) {
  const [english, chinese] = texts[name];
  const fill = (text, pick) => text.replace(/\{(\d)\}/g, (_, index) => pick(values[index]));
  return new Phrase(
    fill(english, (value) => (value instanceof Phrase ? value.english : String(value))),
    fill(chinese, (value) => (value instanceof Phrase ? value.chinese : String(value))),
  );
}

/** Splits the API's "English / 中文". A prefix such as "errcode 40164: " belongs to both halves. */
export function both(text) {
  const [, prefix, rest] = String(text).match(/^((?:errcode -?\d+|IP \S+): )?([\s\S]*)$/);
  const { english, chinese } = split(rest);
  return new Phrase((prefix ?? "") + english, (prefix ?? "") + chinese);
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
