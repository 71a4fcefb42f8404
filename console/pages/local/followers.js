// The followers, as the fields for an openid offer them: all of the simulated account, or those of a real one who have written.

import { run } from "../api.js";
import { h, redraw, fill } from "../dom.js";
import { t } from "../i18n.js";
import { world } from "./world.js";

const list = h("datalist", { id: "followers" });

/** The list for the attribute `list` of an input. */
export function followerList() {
  document.addEventListener("world", () => showFollowers(world.users));
  document.addEventListener("openid", ({ detail }) => run.simulated || suggest(detail));
  return list;
}

function showFollowers(users) {
  redraw(list, users.map(({ openid, follows }) => [openid, follows]), () => fill(list,
    users.map(({ openid, follows }) => h("option", { value: openid, label: !follows && t("does-not-follow") }))));
}

function suggest(openid) {
  if (![...list.children].some((option) => option.value === openid)) list.prepend(h("option", { value: openid }));
}
