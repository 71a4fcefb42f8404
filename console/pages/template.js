// What the forms of template messages share: the account's templates, an input for each placeholder, and faults at the fields.

import { read, run } from "./api.js";
import { button, fill, h, iconButton, redraw } from "./dom.js";
import { clearFaults, field, showFault } from "./fields.js";
import { both, t } from "./i18n.js";
import { problemBox } from "./problem.js";

let templates = [];
/** The last reading of the templates. */
let reading = Promise.resolve();

/** What each form does with the answer that holds the templates. */
const forms = [];

/** Reads the account's templates and shows them in every form. */
export function loadTemplates() {
  reading = readTemplates();
  return reading;
}

/** Waits until the templates are read, or cannot be. */
export function templatesRead() {
  return reading;
}

async function readTemplates() {
  const answer = await read("/api/templates");
  if (answer.ok) templates = answer.body.templates;
  for (const show of forms) show(answer);
}

export function templateOf(id) {
  return templates.find((template) => template.template_id === id);
}

/** A message as the user reads it: the template's content with the values in it. */
export function messageText({ template_id: id, data }) {
  const { title = "", content = "" } = templateOf(id) ?? {};
  return `${title}\n${content.replace(/\{\{(\w+)\.DATA\}\}/g, (_, name) => data[name]?.value ?? "")}`.trim();
}

/**
 * The choice of a template and its inputs. The id of a field is `prefix` and the member of the request, that of a placeholder
 * `inputPrefix` and its name, so that a placeholder may be called like a member.
 */
export function templateForm(prefix, inputPrefix = prefix) {
  const head = h("div", { class: "outcome" });
  const inputs = h("div", { class: "fields" });
  const choice = h("select", { id: `${prefix}-template`, on: { change: () => renderInputs() } });
  const reload = iconButton("reload", t("reload-templates"), loadTemplates);

  /** The template and the values to show once the templates are read. */
  let wanted = null;

  // A sample must not become a value: it would go out to real people.
  const renderInputs = () => {
    const { fields = [], content = "", example = "" } = templateOf(choice.value) ?? {};
    const examples = valuesOf(content, example);
    fill(inputs, fields.map((name) => {
      const input = h("input", { id: `${inputPrefix}-${name}`, name, autocomplete: "off", placeholder: examples[name] ?? "" });
      return field(input.id, h("span", {}, labelOf(content, name), h("code", {}, name)), input);
    }), run.simulated && fields.length > 0 && h("div", {}, button(t("fill-samples"), fillSamples, { class: "small", id: `${prefix}-samples` })));
  };

  /** Fills what is empty, to try a message on the simulated account. */
  const fillSamples = () => {
    for (const input of inputs.querySelectorAll("input")) input.value ||= input.placeholder;
  };

  const showWanted = () => {
    if (!wanted || templates.length === 0) return;
    const { id, data } = wanted;
    wanted = null;
    if (!templateOf(id)) {
      showFault(choice, t("template-gone"));
      return;
    }
    choice.value = id;
    renderInputs();
    for (const input of inputs.querySelectorAll("input")) input.value = data[input.name]?.value ?? "";
  };

  // What was typed stays when the same templates are read again.
  forms.push((answer) => {
    fill(head, !answer.ok && problemBox(answer), answer.ok && templates.length === 0 && h("p", { class: "empty" }, t("no-templates")));
    if (!answer.ok) return;
    redraw(choice, templates, () => {
      fill(choice, templates.map((template) => h("option", { value: template.template_id }, template.title)));
      renderInputs();
    });
    showWanted();
  });

  const idOf = (name) => (name.startsWith("data.")
    ? `${inputPrefix}-${name.replace(/^data\./, "").replace(/\.value$/, "")}`
    : `${prefix}-${name.replace("template_id", "template").replaceAll(".", "-")}`);

  return {
    /** Shows why there are no templates. */
    head,
    choice: field(choice.id, t("template"), h("div", { class: "row" }, choice, reload)),
    inputs,
    get id() {
      return choice.value;
    },
    /** Shows this template with these values, as the API takes them. */
    set(id, data) {
      wanted = { id, data };
      showWanted();
    },
    /** Shows the chosen template without values. */
    reset: renderInputs,
    /** The values of the inputs, as the API takes them. */
    get data() {
      return Object.fromEntries([...inputs.querySelectorAll("input")].map((input) => [input.name, { value: input.value }]));
    },
    /** Shows faults and warnings at their fields ("data.thing1.value" at the input of thing1), and returns the first field. */
    showFaults(body) {
      const faults = body.faults?.map(({ field: name, detail }) => ({ field: name, rule: detail }));
      const findings = body.findings ?? faults ?? [{ field: body.field, rule: body.detail }];
      let first = null;
      for (const { field: name, rule } of findings) {
        const input = document.getElementById(idOf(name ?? ""));
        if (!input || !document.getElementById(`${input.id}-fault`)) continue;
        showFault(input, both(rule));
        first ??= input;
      }
      return first;
    },
    clearFaults: () => clearFaults(choice.form),
  };
}

/** The label before the placeholder, as in "审核事项:{{thing1.DATA}}". */
function labelOf(content, name) {
  const line = content.split("\n").find((candidate) => candidate.includes(`{{${name}.DATA}}`)) ?? "";
  return line.split("{{")[0].replace(/[:：\s]+$/, "");
}

/** The values of the placeholders in the template's example. */
function valuesOf(content, example) {
  const lines = example.split("\n");
  const values = {};
  content.split("\n").forEach((line, index) => {
    const name = line.match(/\{\{(\w+)\.DATA\}\}/)?.[1];
    const [before] = line.split("{{");
    if (name && lines[index]?.startsWith(before)) values[name] = lines[index].slice(before.length);
  });
  return values;
}
