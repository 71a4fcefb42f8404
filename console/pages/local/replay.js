// What can be done with a past event: make it happen again, or take it along as a command for a shell.

import { call, run, sim } from "../api.js";
import { ask, busy, button, copy, h, icon, toast } from "../dom.js";
import { elements } from "../format.js";
import { t } from "../i18n.js";
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
    if (!run.simulated && request.method !== "GET" && !(await isMeant(request))) return;
    const answer = await request.send();
    toast(t("replayed", answer.status), answer.ok ? "good" : "bad");
    refreshWorld();
  }), { class: "small" });
  return h("div", { class: "row wrap" }, replay,
    button([icon("copy"), t("copy-curl")], () => copy(curl(request)), { class: "small" }));
}

/** Asks before a real account is changed, or a real person gets the message once more. */
async function isMeant({ method, url }) {
  const choices = [{ value: true, label: t("replay"), class: "primary" }, { value: false, label: t("cancel") }];
  return (await ask(t("replay-really-title"), `${method} ${url}`, choices)) === true;
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

/** The request for a shell. The key of a real account is a variable there. */
function curl({ method, url, type, key, body }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const authorization = run.simulated ? quoted(`authorization: Bearer ${run.key}`) : "\"authorization: Bearer $API_KEY\"";
  return [
    `curl -s -X ${method} ${quoted(url).replace("$ACCESS_TOKEN", "'\"$ACCESS_TOKEN\"'")}`,
    key && `-H ${authorization}`,
    body && `-H ${quoted(`content-type: ${type || "application/json"}`)}`,
    body && `--data-binary ${quoted(body)}`,
  ].filter(Boolean).join(" \\\n  ");
}
