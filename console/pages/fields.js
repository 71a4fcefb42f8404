// What forms share: a field with its label and its fault, and what a field may hold.

import { fill, h } from "./dom.js";
import { t } from "./i18n.js";

/** Characters of a user id, as the API takes them. */
const USER_ID = 128;

/** What stands between the entries of a pasted list: lines, blanks, commas and semicolons, Chinese ones too, and quotes around them. */
export const BETWEEN = /[\s,，;；、|"“”']+/;

/** A field with its label, its hint and a place for its fault. */
export function field(id, label, control, hint) {
  return h("div", { class: "field", "data-field": id }, h("label", { for: id }, label), control,
    hint && h("p", { class: "hint" }, hint), h("p", { class: "fault", id: `${id}-fault`, role: "alert", hidden: true }));
}

/** Shows what is wrong with the control at its field. */
export function showFault(control, fault) {
  const place = document.getElementById(`${control.id}-fault`);
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-describedby", place.id);
  place.hidden = false;
  fill(place, fault);
  const more = control.closest("details");
  if (more) more.open = true;
}

export function clearFaults(form) {
  for (const place of form.querySelectorAll(".field > .fault")) place.hidden = true;
  for (const control of form.querySelectorAll("[aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-describedby");
  }
}

/** What is wrong with a user id; null when nothing is. */
export function userIdFault(id) {
  if (!id.trim()) return t("user-id-empty");
  const { length } = [...id];
  return length > USER_ID ? t("user-id-long", length, USER_ID) : null;
}
