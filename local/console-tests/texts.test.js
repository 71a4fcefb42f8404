// Tests without a browser that no text loses something in one of its two languages.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

globalThis.localStorage = { getItem: () => "en" };
const { both } = await import("../../console/pages/i18n.js");
const { texts } = await import("../../console/pages/texts.js");

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Values that have a name for each language. */
const TRANSLATED = { named: "names", meant_too: "meant", chinese: "news_for", proof_chinese: "proof_english",
  differs_chinese: "differs_english" };

/** The string literals of a Rust source that hold Chinese after " / ". */
function twoLanguageTexts(file) {
  const source = readFileSync(file, "utf8").split("#[cfg(test)]")[0];
  const literals = [...source.matchAll(/"((?:[^"\\]|\\[\s\S])*)"/g)].map(([, text]) => text.replace(/\\\n\s*/g, ""));
  return literals.filter((text) => / \/ .*\p{Script=Han}/u.test(text));
}

function values(text) {
  const names = [...text.matchAll(/\{(\w*)[^{}]*\}/g)].map(([, name]) => TRANSLATED[name] ?? name);
  return [...new Set(names)].sort();
}

test("every value of the API's texts stands in both halves", () => {
  const folders = ["functions/admin", "functions/send-template", "functions/users", "shared", "http-api"];
  const files = folders.flatMap((folder) => readdirSync(join(root, folder, "src"), { recursive: true })
    .filter((name) => name.endsWith(".rs") && !name.includes("tests"))
    .map((name) => join(root, folder, "src", name)));
  let seen = 0;
  for (const file of files) {
    for (const text of twoLanguageTexts(file)) {
      // A path or an errcode at the beginning belongs to both halves.
      const { english, chinese } = both(text.replace(/^\{operation\}: /, "/{operation}: "));
      assert.deepEqual(values(chinese), values(english), `${file}: ${text}`);
      seen += 1;
    }
  }
  assert.ok(seen > 150, `${seen} texts were found`);
});

test("every value of the console's texts stands in both languages", () => {
  for (const [name, [english, chinese]] of Object.entries(texts)) {
    assert.ok(english && chinese, name);
    assert.deepEqual(values(chinese), values(english), name);
  }
});

test("a text is split so that each half says all", () => {
  for (const [text, english, chinese] of [
    ["errcode 40164: off the list / 不在白名单", "errcode 40164: off the list", "errcode 40164: 不在白名单"],
    ["/cgi-bin/a: HTTP 502 / 返回了 HTTP 502", "/cgi-bin/a: HTTP 502", "/cgi-bin/a: 返回了 HTTP 502"],
    ["bad menu / 菜单有误: /button/0: is long; or not / 太长; /button/1: is empty / 为空",
      "bad menu: /button/0: is long; or not; /button/1: is empty", "菜单有误：/button/0: 太长；/button/1: 为空"],
    ["damaged / 已损坏: expected value at line 1", "damaged: expected value at line 1", "已损坏：expected value at line 1"],
    ["4 s ago / 4 秒前: no number / 不是数字", "4 s ago: no number", "4 秒前：不是数字"],
    ["none / 获取失败: not refreshed / 无法刷新，原因: /cgi-bin/a: late / 超时", "none: not refreshed: /cgi-bin/a: late",
      "获取失败：无法刷新，原因：/cgi-bin/a: 超时"],
    ["/cgi-bin/a: 9 left; /cgi-bin/b: none / /cgi-bin/a：剩 9 次；/cgi-bin/b：没有", "/cgi-bin/a: 9 left; /cgi-bin/b: none",
      "/cgi-bin/a：剩 9 次；/cgi-bin/b：没有"],
    ["Send Authorization: Bearer KEY / 请携带 Authorization: Bearer KEY", "Send Authorization: Bearer KEY",
      "请携带 Authorization: Bearer KEY"],
  ]) {
    const phrase = both(text);
    assert.deepEqual([phrase.english, phrase.chinese], [english, chinese]);
  }
});
