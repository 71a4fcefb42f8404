// The messages on a phone: bubbles, news, template messages. Nothing that was sent becomes markup.

import { h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { timeOfDay } from "../time.js";

/** A message of the account, from /sim/phones. */
export function shownMessage(shown) {
  if (shown.type === "template") return templateCard(shown);
  if (shown.type === "notice") return note(shown.text, "bad");
  const content = shown.type === "custom" ? customContent(shown) : replyContent(shown.reply);
  const isCard = content.classList.contains("news");
  return h("div", { class: "from-account" }, h("div", { class: "avatar", "aria-hidden": "true" }, "服"),
    isCard ? content : h("div", { class: "bubble" }, content));
}

/** A message of the user. */
export function ownMessage({ kind, text }) {
  const content = kind === "text" ? h("span", { class: "words" }, text) : placeholder(kind, text);
  return h("div", { class: "from-user" }, h("div", { class: "bubble" }, content),
    h("div", { class: "avatar me", "aria-hidden": "true" }, icon("user")));
}

/** A line of WeChat's own, or one that says what the user did. */
export function note(text, kind = "") {
  return h("p", { class: `note ${kind}` }, text);
}

function replyContent(reply) {
  switch (reply.MsgType) {
    case "text": return words(reply.Content);
    case "image": return placeholder("image", reply.Image?.MediaId);
    case "voice": return placeholder("voice", reply.Voice?.MediaId);
    case "video": return placeholder("video", reply.Video?.Title || reply.Video?.MediaId, reply.Video?.Description);
    case "music": return placeholder("music", reply.Music?.Title, reply.Music?.Description);
    case "news": return news((reply.Articles?.item ?? []).map(({ Title, Description, Url }) => (
      { title: Title, description: Description, url: Url })));
    default: return words(reply.MsgType ?? "");
  }
}

function customContent({ msgtype, message }) {
  switch (msgtype) {
    case "text": return words(message.content ?? "");
    case "news": return news(message.articles ?? []);
    default: return placeholder(msgtype, message.title ?? message.media_id ?? "", message.description);
  }
}

/** Text with the links that WeChat makes tappable: <a href> and bare addresses. */
function words(text) {
  const link = /<a\s[^>]*?href=["']([^"']*)["'][^>]*>([\s\S]*?)<\/a>|(https?:\/\/[^\s<>"']+)/gi;
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(link)) {
    parts.push(text.slice(from, found.index), anchor(found[1] ?? found[3], found[2] ?? found[3]));
    from = found.index + found[0].length;
  }
  return h("span", { class: "words" }, parts, text.slice(from));
}

/** A link for an http or https address, otherwise only its text. */
function anchor(url, ...content) {
  if (!/^https?:\/\//i.test(url ?? "")) return h("span", { class: "dead-link", title: url ?? "" }, content);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, content);
}

function placeholder(kind, title, description) {
  const known = { image: "image", voice: "voice", video: "video", shortvideo: "video", music: "music", location: "pin",
    link: "link" };
  const name = { image: "an-image", voice: "a-voice", video: "a-video", shortvideo: "a-video", music: "music",
    location: "a-location", link: "a-link" }[kind];
  return h("span", { class: "media" }, h("span", { class: "media-icon" }, icon(known[kind] ?? "image")),
    h("span", { class: "media-text" }, h("strong", {}, name ? t(name) : kind), title && h("small", {}, title),
      description && h("small", {}, description)));
}

/** News: the first article large, the others below it. */
function news(articles) {
  return h("div", { class: "news" }, articles.map((article, index) => anchor(article.url,
    h("span", { class: index === 0 ? "article first" : "article" },
      h("span", { class: "picture" }, icon("image")),
      h("span", { class: "headline" }, article.title || article.url),
      articles.length === 1 && article.description && h("span", { class: "summary" }, article.description)))));
}

/** A template message: its title, its lines and its link. */
function templateCard(shown) {
  const lines = shown.text.split("\n").filter((line) => line.trim()).map((line) => {
    const [, label, value] = line.match(/^([^:：]{1,20})[:：](.*)$/) ?? [null, "", line];
    return h("div", { class: "line" }, h("dt", {}, label), h("dd", {}, value));
  });
  const leads = shown.miniprogram?.appid
    ? h("span", { class: "leads" }, t("open-mini-program", shown.miniprogram.appid), icon("chevron"))
    : shown.url && anchor(shown.url, h("span", { class: "leads" }, t("details"), icon("chevron")));
  return h("article", { class: "template", "data-msgid": shown.msgid },
    h("header", {}, h("strong", {}, shown.title), h("time", {}, timeOfDay(shown.at * 1000))),
    h("dl", {}, lines), leads);
}
