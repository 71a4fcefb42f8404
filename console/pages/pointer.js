// Finds the place of a JSON pointer in a JSON text, without changing the text's layout.

/** The [start, end] of the value at the pointer, or of its nearest existing parent. */
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

function walk(text, visit) {
  let at = 0;
  const skip = () => {
    while (at < text.length && /[\s,:]/.test(text[at])) at += 1;
  };
  const string = () => {
    const start = at;
    for (at += 1; at < text.length && text[at] !== "\""; at += 1) if (text[at] === "\\") at += 1;
    at += 1;
    return text.slice(start, at);
  };
  const value = (steps) => {
    skip();
    const start = at;
    if (text[at] === "{" || text[at] === "[") {
      const close = text[at] === "{" ? "}" : "]";
      at += 1;
      for (let index = 0; ; index += 1) {
        skip();
        if (at >= text.length || text[at] === close) break;
        const name = close === "}" ? JSON.parse(string()) : String(index);
        value([...steps, name]);
      }
      at += 1;
    } else if (text[at] === "\"") {
      string();
    } else {
      while (at < text.length && !/[\s,\]}]/.test(text[at])) at += 1;
    }
    visit(steps, start, at);
  };
  value([]);
}
