// Tests without a browser that the editor finds places in a text.

import assert from "node:assert/strict";
import { test } from "node:test";
import { faultIn, lineOf, locate } from "../../console/pages/pointer.js";

test("the first character that is not JSON is found where it stands", () => {
  for (const [text, line] of [
    ["{\n\"default\": “x”\n}\n\n", 2], ["{\n\"a\": 1,\n}\n", 3], ["{\n\"a\": 1\n\"b\": 2}", 3], ["{\n'a': 1}", 2],
    ["{\"a\": \"x\ny\"}", 1], ["{\"a\":\n\"\\x\"}", 2], ["[1,\ntru]", 2], ["{}\n}", 2], ["{\n\"a\": 01}", 2], ["{\n", 2],
  ]) {
    assert.throws(() => JSON.parse(text));
    assert.equal(lineOf(text, faultIn(text)), line, text);
  }
  for (const text of ["{}", " [1, -2.5e+3, true, null, \"\\u00e9\\\"\"]\n", "{\"a\": {\"b\": [{}]}}", "0"]) {
    JSON.parse(text);
    assert.equal(faultIn(text), null, text);
  }
});

test("a pointer leads to its value, or to the nearest parent that is there", () => {
  const text = "{\"a~/b\": {\"b\": [1, \"x\"]}}";
  const at = (pointer) => text.slice(...locate(text, pointer));
  assert.equal(at("/a~0~1b/b/1"), "\"x\"");
  assert.equal(at("/a~0~1b/c"), "{\"b\": [1, \"x\"]}");
  assert.equal(at("/none"), text);
});
