// Finds places in a JSON text: of a JSON pointer, and of the first character that is not JSON.

/** The [start, end] of the value at the pointer of a JSON text, or of its nearest existing parent. */
export function locate(text, pointer) {
  const path = pointer.split("/").slice(1).map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  let best = null;
  let depth = -1;
  walk(text, (steps, start, end) => {
    const matches = steps.length <= path.length && steps.every((step, index) => step === path[index]);
    if (matches && steps.length > depth) {
      depth = steps.length;
      best = [start, end];
    }
  });
  return best;
}

/** The line of a position, from 1. */
export function lineOf(text, position) {
  return text.slice(0, position).split("\n").length;
}

/** The position of the first character that is not JSON where it stands, or of the text's end; null when all is JSON. */
export function faultIn(text) {
  return walk(text, () => {});
}

const NO_JSON = new Error("no JSON");
const SPACE = /[ \t\n\r]*/y;
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*/y;
const OTHER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** Visits the values of a text up to the first character that is not JSON. Returns its position, or null. */
function walk(text, visit) {
  let at = 0;
  const take = (pattern) => {
    pattern.lastIndex = at;
    const [taken] = pattern.exec(text) ?? [""];
    at += taken.length;
    return taken;
  };
  const is = (character) => text[at] === character;
  const pass = (character) => {
    if (!is(character)) throw NO_JSON;
    at += 1;
  };
  const string = () => {
    const start = at;
    take(STRING);
    pass("\"");
    return text.slice(start, at);
  };
  const list = (close, item) => {
    at += 1;
    take(SPACE);
    for (let index = 0; !is(close); index += 1) {
      if (index > 0) {
        pass(",");
        take(SPACE);
      }
      item(index);
      take(SPACE);
    }
    at += 1;
  };
  const member = (steps) => {
    const name = string();
    take(SPACE);
    pass(":");
    value([...steps, JSON.parse(name)]);
  };
  const value = (steps) => {
    take(SPACE);
    const start = at;
    if (is("{")) list("}", () => member(steps));
    else if (is("[")) list("]", (index) => value([...steps, String(index)]));
    else if (is("\"")) string();
    else if (!take(OTHER)) throw NO_JSON;
    visit(steps, start, at);
  };
  try {
    value([]);
    take(SPACE);
    return at < text.length ? at : null;
  } catch (error) {
    if (error !== NO_JSON) throw error;
    return at;
  }
}
