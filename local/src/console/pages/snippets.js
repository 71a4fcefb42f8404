// Shows code that sends the same message as the form.

import { run } from "./api.js";
import { copy, fill, h, iconButton, tabs } from "./dom.js";
import { t } from "./i18n.js";

const PATH = "/api/sendTemplateMessage";

/** The request in curl and axios, in tabs. */
export function snippets(request, idempotencyKey) {
  const panels = { curl: curl(request, idempotencyKey), axios: axios(request, idempotencyKey) };
  const list = Object.entries(panels).map(([name, code]) => ({
    name: `code-${name}`,
    label: name,
    panel: h("div", { class: "code" }, iconButton("copy", t("copy-code"), () => copy(code)),
      h("pre", { tabindex: "0" }, code)),
  }));
  const { bar } = tabs(list, t("code"), "console.code");
  return fill(h("div", { class: "snippets" }), h("h3", {}, t("code-for-this")), bar, list.map((tab) => tab.panel));
}

export function curl(request, idempotencyKey) {
  const key = run.simulated ? `'authorization: Bearer ${run.key}'` : "\"authorization: Bearer $API_KEY\"";
  const body = JSON.stringify(request, null, 2).replaceAll("'", "'\\''");
  const lines = [
    `curl -s ${location.origin}${PATH}`,
    `-H ${key}`,
    "-H 'content-type: application/json'",
    idempotencyKey && `-H 'idempotency-key: ${idempotencyKey.replaceAll("'", "'\\''")}'`,
    `-d '${body}'`,
  ];
  return lines.filter(Boolean).join(" \\\n  ");
}

export function axios(request, idempotencyKey) {
  const key = run.simulated ? JSON.stringify(`Bearer ${run.key}`) : "`Bearer ${process.env.API_KEY}`";
  const headers = [`Authorization: ${key}`, idempotencyKey && `'Idempotency-Key': ${JSON.stringify(idempotencyKey)}`];
  const body = JSON.stringify(request, null, 2).replace(/^( *)"([A-Za-z_][A-Za-z0-9_]*)":/gm, "$1$2:");
  return [
    "import axios from 'axios';",
    "",
    "const { data } = await axios.post(",
    `  '${location.origin}${PATH}',`,
    `${indent(body)},`,
    `  { headers: { ${headers.filter(Boolean).join(", ")} } },`,
    ");",
    "console.log(data.msgid);",
  ].join("\n");
}

function indent(text) {
  return text.replace(/^/gm, "  ");
}
