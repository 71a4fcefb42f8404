// What became of a message or a recipient, in a word and a colour.

import { h } from "./dom.js";
import { t } from "./i18n.js";

const KINDS = { delivered: "good", blocked: "bad", failed: "bad", refused: "bad" };

export function statusPill(status) {
  return h("span", { class: `pill ${KINDS[status] ?? ""}`, "data-status": status }, t(`status-${status}`));
}
