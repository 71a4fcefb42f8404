// Shows code that sends the same message as the form.

import { run } from "../api.js";
import { copy, fill, h, iconButton, inSession, tabs } from "../dom.js";
import { t } from "../i18n.js";

const PATH = "/api/sendTemplateMessage";

/** The request in five languages, in tabs. */
export function snippets(request, idempotencyKey) {
  const panels = Object.fromEntries(Object.entries({ curl, axios, PHP: php, Java: java, Python: python })
    .map(([name, code]) => [name, code(request, idempotencyKey)]));
  const list = Object.entries(panels).map(([name, code]) => ({
    name: `code-${name.toLowerCase()}`,
    label: name,
    panel: h("div", { class: "code" }, iconButton("copy", t("copy-code"), () => copy(code)),
      h("pre", { tabindex: "0" }, code)),
  }));
  const { bar } = tabs(list, t("code"), inSession("console.code"));
  return fill(h("div", { class: "snippets" }), h("h3", {}, t("code-for-this")), bar, list.map((tab) => tab.panel));
}

/** A text in a shell's single quotes. */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The header with the API key for a shell, where the key of a real account is a variable. */
export function keyHeader() {
  return run.simulated ? quoted(`authorization: Bearer ${run.key}`) : "\"authorization: Bearer $API_KEY\"";
}

export function curl(request, idempotencyKey) {
  const lines = [
    `curl -s ${location.origin}${PATH}`,
    `-H ${keyHeader()}`,
    "-H 'content-type: application/json'",
    idempotencyKey && `-H ${quoted(`idempotency-key: ${idempotencyKey}`)}`,
    `-d ${quoted(JSON.stringify(request, null, 2))}`,
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

export function php(request, idempotencyKey) {
  const headers = ["'Content-Type: application/json'",
    run.simulated ? `'Authorization: Bearer ${run.key}'` : "'Authorization: Bearer ' . getenv('API_KEY')",
    idempotencyKey && single(`Idempotency-Key: ${idempotencyKey}`)];
  return [
    "<?php",
    `$request = curl_init('${location.origin}${PATH}');`,
    "curl_setopt_array($request, [",
    "    CURLOPT_RETURNTRANSFER => true,",
    `    CURLOPT_HTTPHEADER => [${headers.filter(Boolean).join(", ")}],`,
    `    CURLOPT_POSTFIELDS => ${single(JSON.stringify(request))},`,
    "]);",
    "echo json_decode(curl_exec($request))->msgid;",
  ].join("\n");
}

export function java(request, idempotencyKey) {
  const key = run.simulated ? JSON.stringify(`Bearer ${run.key}`) : "\"Bearer \" + System.getenv(\"API_KEY\")";
  return [
    "import java.net.URI;",
    "import java.net.http.*;",
    "",
    `var request = HttpRequest.newBuilder(URI.create("${location.origin}${PATH}"))`,
    `    .header("Authorization", ${key})`,
    "    .header(\"Content-Type\", \"application/json\")",
    idempotencyKey && `    .header("Idempotency-Key", ${JSON.stringify(idempotencyKey)})`,
    `    .POST(HttpRequest.BodyPublishers.ofString(${JSON.stringify(JSON.stringify(request))}))`,
    "    .build();",
    "var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());",
    "System.out.println(response.body());",
  ].filter((line) => typeof line === "string").join("\n");
}

export function python(request, idempotencyKey) {
  const key = run.simulated ? JSON.stringify(`Bearer ${run.key}`) : "\"Bearer \" + os.environ[\"API_KEY\"]";
  return [
    !run.simulated && "import os",
    "import requests",
    "",
    "response = requests.post(",
    `    "${location.origin}${PATH}",`,
    `    headers={"Authorization": ${key}${idempotencyKey ? `, "Idempotency-Key": ${JSON.stringify(idempotencyKey)}` : ""}},`,
    // JSON of objects and texts is Python too.
    `    json=${indent(JSON.stringify(request, null, 2)).trimStart()},`,
    ")",
    "print(response.json()[\"msgid\"])",
  ].filter((line) => typeof line === "string").join("\n");
}

/** A text in PHP's single quotes. */
function single(text) {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}

function indent(text) {
  return text.replace(/^/gm, "  ");
}
