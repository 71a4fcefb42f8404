// The tool that sends a template message to the phone, with code for the same, and the messages that wait for their time.

import { run } from "../api.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { currentUser } from "./phone.js";
import { scheduledList } from "../scheduled.js";
import { messageForm, propose } from "../send.js";
import { snippets } from "./snippets.js";
import { loadTemplates } from "../template.js";

export function sendPanel() {
  const proposeUser = () => propose(currentUser() ?? "", "https://example.com/details/1");
  document.addEventListener("recovered", loadTemplates);
  if (run.simulated) {
    document.addEventListener("phone-user", proposeUser);
  } else {
    // A user who has just written can be answered.
    document.addEventListener("openid", (event) => propose(event.detail));
  }
  return h("div", { class: "tool" }, h("h2", { class: "unseen" }, t("template-message")),
    messageForm((request, idempotencyKey) => !request.send_at && snippets(request, idempotencyKey)), scheduledList());
}
