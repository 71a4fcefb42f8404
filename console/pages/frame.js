// What every page of the console has around its tools: the header, the way past it, and the question for the API key.

import { tryKey } from "./api.js";
import { button, fill, h } from "./dom.js";
import { language, setLanguage, t } from "./i18n.js";
import { problemText } from "./problem.js";
import { zoneChoice } from "./time.js";

/** The first stop of the keyboard: leads past the header. */
export function skipLink() {
  // The address names the screen: the link leaves it as it is.
  const skip = (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  };
  return h("a", { class: "skip", href: "#main", on: { click: skip } }, t("skip"));
}

/** The header with `content` between its title and the choice of the language. */
export function header(...content) {
  const toggle = button(language() === "zh" ? "English" : "中文", () => {
    setLanguage(language() === "zh" ? "en" : "zh");
    fill(toggle, language() === "zh" ? "English" : "中文");
  }, { class: "small", id: "language" });
  return h("header", { class: "top" },
    h("img", { src: "/console/pages/icon.svg", alt: "", width: "28", height: "28" }),
    h("h1", {}, "WeChat bundle"), content, zoneChoice(), toggle);
}

/** The AppID and the message mode in the header. */
export function accountName({ app_id: appId, mode }) {
  return [h("code", {}, appId), mode && h("span", { class: "mode" }, t(`mode-${mode}`))];
}

/** The form that asks for an API key, or a JWT, under a title of its page. `accepted` is called with the account. */
export function keyForm(title, accepted, { label = t("api-key"), refused = t("wrong-key") } = {}) {
  const input = h("input", { type: "password", id: "api-key", autocomplete: "off", required: true });
  const fault = h("p", { class: "fault", id: "api-key-fault", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    const answer = await tryKey(input.value.trim());
    if (answer.ok) {
      accepted(answer.body);
      return;
    }
    fill(fault, [401, 403].includes(answer.status) ? refused : problemText(answer));
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", fault.id);
    input.select();
  };
  return h("form", { class: "form", on: { submit } }, title,
    h("div", { class: "field" }, h("label", { for: "api-key" }, label), input, fault),
    h("button", { type: "submit", class: "primary wide" }, t("open-console")));
}
