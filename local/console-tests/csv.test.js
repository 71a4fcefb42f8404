// Tests without a browser how CSV files are cut into parts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { csvParts } from "../../console/pages/csv.js";

/** The parts of a text as [text, line of the first row, last line]. */
function cut(text, ...limits) {
  return csvParts(new TextEncoder().encode(text), ...limits)
    .map(({ bytes, lines, last }) => [Buffer.concat(bytes).toString(), lines[0], last]);
}

test("a small file is one part, with or without a last line end", () => {
  assert.deepEqual(cut("touser\r\no1\r\no2\r\n"), [["touser\r\no1\r\no2\r\n", 2, 3]]);
  assert.deepEqual(cut("\ufefftouser\no1"), [["\ufefftouser\no1", 2, 2]]);
  assert.deepEqual(cut("touser\no1", 0), [["touser\no1", 1, 1]], "a header that the page has added");
  for (const empty of ["", "touser", "touser\n"]) assert.deepEqual(cut(empty), []);
});

test("every part has the header, no part is larger than the limit, and nothing is lost", () => {
  const rows = Array.from({ length: 1000 }, (_, index) => `o${index},"第 ${index} 位"\n`);
  const parts = cut(`touser,thing1\n${rows.join("")}`, 1, 300);
  assert.ok(parts.length > 50);
  for (const [text] of parts) assert.ok(text.startsWith("touser,thing1\no") && Buffer.byteLength(text) <= 300, text);
  assert.equal(parts.map(([text]) => text.slice(text.indexOf("\n") + 1)).join(""), rows.join(""));
  parts.forEach(([, first], index) => assert.equal(first, index ? parts[index - 1][2] + 1 : 2));
  assert.equal(parts.at(-1)[2], 1001);
});

test("a part has at most as many rows as the API takes", () => {
  const parts = cut(`user\n${"1\n".repeat(20_000)}`);
  assert.deepEqual(parts.map(([, first, last]) => [first, last]), [[2, 8001], [8002, 16_001], [16_002, 20_001]]);
});

test("a row is known by the line in which it begins, and an empty line is no row", () => {
  const [{ lines, last }] = csvParts(new TextEncoder().encode("touser,a\r\no1,\"1\n2\"\r\n\r\no2,b\r\n\r\n"));
  assert.deepEqual([lines, last], [[2, 5], 5]);
  assert.deepEqual(cut("touser\n\n\r\n"), []);
});

test("a line end inside quotes is not the end of a row", () => {
  assert.deepEqual(cut("touser,a\no1,\"1\n2 \"\"3\"\"\n4\"\no2,b\n", 1, 1), [
    ["touser,a\no1,\"1\n2 \"\"3\"\"\n4\"\n", 2, 4], ["touser,a\no2,b\n", 5, 5]]);
  assert.deepEqual(cut("touser,a\no1,5\" \"\"\no2,\"\"\no3,b", 1, 1).map(([, first]) => first), [2, 3, 4], "quotes in a cell that began without");
});
