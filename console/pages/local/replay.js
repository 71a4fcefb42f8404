// What can be done with a past event: make it happen again, or take it along as a command for a shell.

import { call, run, sim } from "../api.js";
import { agree, busy, button, copy, h, icon, toast } from "../dom.js";
import { elements } from "../format.js";
import { t } from "../i18n.js";
import { keyHeader, quoted } from "./snippets.js";
import { refreshWorld } from "./world.js";

/** What every callback has; the platform writes it anew. */
const ENVELOPE = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "MsgId", "Event"];

/** What stands for a secret in an address. */
const MASK = /…|%E2%80%A6/;

/** The buttons of an event. What was cut, or holds a masked secret, cannot be sent again, nor can a callback of real users. */
export function actions(event) {
  const request = event.request?.is_cut || event.request?.is_masked ? null : again(event);
  if (!request || MASK.test(request.url)) return null;
  const replay = request.send && button([icon("reload"), t("replay")], () => busy(replay, async () => {
    // A real account would be changed, or a real person get the message once more.
    const isReal = !run.simulated && request.method !== "GET";
    if (isReal && !(await agree(t("replay-really-title"), `${request.method} ${request.url}`, t("replay")))) return;
    const answer = await request.send();
    toast(t("replayed", answer.status), answer.ok ? "good" : "bad");
    refreshWorld();
  }), { class: "small" });
  return h("div", { class: "row wrap" }, replay,
    button([icon("copy"), t("copy-curl")], () => copy(curl(request)), { class: "small" }));
}

/** How to make the event happen again: {method, url, type, key, body, send?}. */
function again(event) {
  const url = event.path + (event.query ? `?${new URLSearchParams(pairs(event.query))}` : "");
  const { method, request_type: type, request: { text: body } } = event;
  if (event.kind === "api") {
    const send = () => call(method, url, body || undefined, type ? { "content-type": type } : {});
    return { method, url: location.origin + url, type, key: true, body, send };
  }
  if (event.kind === "call") {
    const real = url.replace(/access_token=[^&]*/, "access_token=$ACCESS_TOKEN");
    return { method, url: `https://api.weixin.qq.com${real}`, type, body };
  }
  const push = event.kind === "callback" && run.simulated && event.what && pushAgain(event);
  return push && { method: "POST", url: `${location.origin}/console/sim/${push.path}`, key: true,
    body: JSON.stringify(push.body), send: () => sim("POST", push.path, push.body) };
}

/** The parameters, one a line. */
function pairs(query) {
  return query.split("\n").map((pair) => {
    const at = pair.indexOf("=");
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
}

/** The simulator's control that pushes the same message or event again. */
function pushAgain(event) {
  const members = elements(event.request.text);
  const openid = event.openid;
  if (members.Event) {
    const fields = Object.entries(members).filter(([name]) => !ENVELOPE.includes(name));
    return { path: "event", body: { openid, event: members.Event, fields: Object.fromEntries(fields) } };
  }
  const type = members.MsgType;
  const content = {
    text: () => ({ content: members.Content }),
    voice: () => (members.Recognition ? { recognition: members.Recognition } : {}),
    location: () => ({ latitude: Number(members.Location_X), longitude: Number(members.Location_Y), label: members.Label }),
    link: () => ({ title: members.Title, description: members.Description, url: members.Url }),
  }[type] ?? (() => ({}));
  return { path: "message", body: { openid, type, ...content() } };
}

/** The request for a shell. */
function curl({ method, url, type, key, body }) {
  return [
    `curl -s -X ${method} ${quoted(url).replace("$ACCESS_TOKEN", "'\"$ACCESS_TOKEN\"'")}`,
    key && `-H ${keyHeader()}`,
    body && `-H ${quoted(`content-type: ${type || "application/json"}`)}`,
    body && `--data-binary ${quoted(body)}`,
  ].filter(Boolean).join(" \\\n  ");
}
