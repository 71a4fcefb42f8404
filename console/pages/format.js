// Formats bodies, numbers and names.

/** Indents JSON as text, without parsing it: numbers above 2^53 would lose digits. */
export function prettyJson(text) {
  let out = "";
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  tokens.forEach((token, index) => {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      const empty = next === "}" || next === "]";
      depth += 1;
      out += token + (empty ? "" : line());
    } else if (token === "}" || token === "]") {
      depth -= 1;
      const before = tokens[index - 1];
      out += (before === "{" || before === "[" ? "" : line()) + token;
    } else if (token === ",") {
      out += token + line();
    } else {
      out += token === ":" ? ": " : token;
    }
  });
  return out;
}

/** Indents XML, one element to a line. Returns null when it is not XML. */
export function prettyXml(text) {
  const parsed = new DOMParser().parseFromString(text, "application/xml");
  if (parsed.querySelector("parsererror")) return null;
  const lines = [];
  const write = (element, depth) => {
    const indent = "  ".repeat(depth);
    if (element.children.length === 0) {
      const inner = [...element.childNodes].map((node) => (node.nodeType === Node.CDATA_SECTION_NODE
        ? `<![CDATA[${node.data}]]>` : node.textContent)).join("");
      lines.push(`${indent}<${element.nodeName}>${inner}</${element.nodeName}>`);
      return;
    }
    lines.push(`${indent}<${element.nodeName}>`);
    for (const child of element.children) write(child, depth + 1);
    lines.push(`${indent}</${element.nodeName}>`);
  };
  write(parsed.documentElement, 0);
  return lines.join("\n");
}

/** The texts of a callback's elements, by name: XML, or JSON. */
export function elements(text) {
  if (text.trimStart().startsWith("{")) {
    try {
      return JSON.parse(text);
    } catch {
      return {};
    }
  }
  const root = new DOMParser().parseFromString(text, "application/xml").documentElement;
  return Object.fromEntries([...root.children].map((child) => [child.nodeName, child.textContent]));
}

/** Indents a body that is JSON or XML. */
export function pretty(text) {
  const start = text.trimStart()[0];
  if (start === "<") return prettyXml(text) ?? text;
  return start === "{" || start === "[" ? prettyJson(text) : text;
}

/** A number with commas, which both languages use. */
export function count(number) {
  return number.toLocaleString("en");
}

export function took(millis) {
  if (millis < 10) return `${millis.toFixed(1)} ms`;
  return millis < 1000 ? `${Math.round(millis)} ms` : `${(millis / 1000).toFixed(1)} s`;
}

export function span(seconds) {
  const left = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(left / 3600);
  const rest = `${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

/** The end of an openid, which is enough to distinguish the users of one account. */
export function shortOpenid(openid) {
  return `…${openid.slice(-6)}`;
}
