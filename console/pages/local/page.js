// A page in the phone: an address, opened by the person whose phone it is.

import { run } from "../api.js";
import { h, iconButton, toast } from "../dom.js";
import { t } from "../i18n.js";

/** Pages of other hosts would leave this machine, and most refuse to be framed. */
const THIS_MACHINE = ["127.0.0.1", "localhost"];

/** Whether the phone opens the address itself. */
export function isOfThisMachine(url) {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return ["http:", "https:"].includes(protocol) && THIS_MACHINE.includes(hostname);
}

/** The page of the user `openid` at the address, with a field for the next address and a way back. */
export function pageView(openid, url, close) {
  const address = h("input", { id: "page-address", inputmode: "url", value: url, "aria-label": t("page-address"),
    placeholder: `${location.origin}/`, autocomplete: "off", spellcheck: "false" });
  const frame = h("iframe", { title: t("page-in-phone") });
  frame.addEventListener("load", () => document.dispatchEvent(new Event("page-shown")));
  const go = () => {
    if (!isOfThisMachine(address.value)) {
      toast(t("page-elsewhere"), "bad");
      return;
    }
    // The simulator makes the browser this user's phone, and sends it to the address.
    frame.src = `${run.simulator}/sim/phones/${openid}/open?url=${encodeURIComponent(address.value)}`;
  };
  if (url) go();
  const submit = (event) => {
    event.preventDefault();
    go();
  };
  // A browser keeps no cookies for a frame whose host has another name than the page around it.
  const home = new URL(location.href);
  home.hostname = new URL(run.simulator).hostname;
  const isElsewhere = home.hostname !== location.hostname;
  return [
    h("form", { class: "phone-title", novalidate: true, on: { submit } }, iconButton("arrowLeft", t("page-back"), close, { id: "page-back" }), address),
    isElsewhere && h("p", { class: "phone-note" }, t("page-other-host"), " ", h("a", { href: home.href }, home.host)),
    frame,
  ];
}
