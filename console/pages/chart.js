// Charts, drawn as SVG: what became of messages, day by day or of one campaign, and how fast a campaign is.

import { h, svg } from "./dom.js";
import { count } from "./format.js";
import { phrase, t } from "./i18n.js";

/** The size of a drawing in its own units; CSS fits it to the page. */
const WIDTH = 600;
const HEIGHT = 120;
const SHARES = 14;
const RATES = 60;

/** The outcomes of a day in the order in which they are stacked. */
const OUTCOMES = ["delivered", "blocked", "failed"];

/** A stack for each day, and the numbers as a table. `choose` is called with the day that is clicked. */
export function dayChart(days, choose) {
  const total = (day) => OUTCOMES.reduce((sum, outcome) => sum + day[outcome], 0);
  const highest = Math.max(1, ...days.map(total));
  const step = WIDTH / days.length;
  const stacks = days.map((day, index) => {
    let top = HEIGHT;
    const parts = OUTCOMES.map((outcome) => {
      const height = day[outcome] / highest * HEIGHT;
      top -= height;
      return height > 0 && rectangle(outcome, { x: index * step + 1, y: top, width: step - 2, height });
    });
    const target = rectangle("target", { x: index * step, y: 0, width: step, height: HEIGHT });
    const stack = svg("g", {}, title(t("day-outcomes", day.day, ...OUTCOMES.map((outcome) => count(day[outcome])))), target, ...parts);
    stack.addEventListener("click", () => choose(day.day));
    return stack;
  });
  const sum = (outcome) => count(days.reduce((all, day) => all + day[outcome], 0));
  return h("figure", { class: "chart" },
    h("figcaption", {}, h("span", { class: "hint grow" }, t("deliveries-by-day")),
      OUTCOMES.map((outcome) => h("span", {}, swatch(outcome), t(`status-${outcome}`), " ", h("b", {}, sum(outcome))))),
    h("div", { class: "chart-scale hint" }, count(highest)),
    drawing("of-days", t("deliveries-by-day"), HEIGHT, ...stacks),
    h("div", { class: "chart-ends hint" }, h("span", {}, days[0].day), h("span", {}, days.at(-1).day)),
    h("details", {}, h("summary", {}, t("as-numbers")), h("div", { class: "scroll" }, h("table", { class: "totals" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("day")), OUTCOMES.map((outcome) => h("th", { scope: "col" }, t(`status-${outcome}`))))),
      h("tbody", {}, days.toReversed().map((day) => h("tr", {},
        h("th", { scope: "row" }, h("button", { type: "button", class: "small", on: { click: () => choose(day.day) } }, day.day)),
        OUTCOMES.map((outcome) => h("td", { class: "number" }, count(day[outcome]))))))))));
}

/** One bar of a campaign's recipients by state: {state: number}. */
export function shareBar(label, totals) {
  const all = Object.values(totals).reduce((sum, number) => sum + number, 0) || 1;
  let x = 0;
  const parts = Object.entries(totals).map(([state, number]) => {
    const width = number / all * WIDTH;
    const part = rectangle(state, { x, y: 0, width, height: SHARES });
    x += width;
    return width > 0 && part;
  });
  return drawing("of-shares", label, SHARES, ...parts);
}

/** The line of the rates so far, newest last, against the pace that was asked for. */
export function rateLine(label, rates, pace) {
  const highest = Math.max(pace, ...rates, 1) * 1.1;
  const y = (rate) => RATES * (1 - rate / highest);
  const step = WIDTH / Math.max(1, rates.length - 1);
  const points = rates.map((rate, index) => `${(index * step).toFixed(1)},${y(rate).toFixed(1)}`).join(" ");
  return drawing("of-rates", label, RATES, svg("line", { class: "of-pace", x1: 0, x2: WIDTH, y1: y(pace), y2: y(pace) }), svg("polyline", { class: "of-rate", points }));
}

/** The colour of a state beside its name. */
export function swatch(state) {
  return h("span", { class: `swatch of-${state}`, "aria-hidden": "true" });
}

function drawing(kind, label, height, ...parts) {
  const element = svg("svg", { class: `drawing ${kind}`, viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img" }, ...parts);
  phrase(element, "aria-label", label);
  return element;
}

function title(text) {
  const element = svg("title", {});
  phrase(element, "text", text);
  return element;
}

const rectangle = (state, place) => svg("rect", { class: `part of-${state}`, ...place });
