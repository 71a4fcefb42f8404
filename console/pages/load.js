// Loads a campaign's recipients, from CSV files or from a list of openids, in parts that fit one request.

import { call } from "./api.js";
import { busy, button, fill, h, toast } from "./dom.js";
import { csvParts } from "./csv.js";
import { BETWEEN } from "./fields.js";
import { count } from "./format.js";
import { both, t } from "./i18n.js";
import { problemBox } from "./problem.js";
import { keep } from "./unsaved.js";

/** Characters of a file's name in the name of a part, which has 128 at most. */
const NAME = 120;
/** Faults that are shown of a part. */
const SHOWN = 10;
/** A row in the pointer of a fault: "/line 3", with the header in line 1, or "/recipients/1", from 0. */
const ROW = /^\/(line |recipients\/)(\d+)\/?/;

const OPENID = /^o[\w-]{27}$/;

/** The field of the open draft. */
let pasted = null;
keep({
  get isChanged() {
    return Boolean(pasted?.isConnected && pasted.value.trim());
  },
  discard: () => { pasted.value = ""; },
});

/** The controls that load recipients into the draft at `path`. `loaded` is called after every change of the list. */
export function loader(path, fields, loaded) {
  const files = h("input", { type: "file", id: "campaign-files", accept: ".csv,.txt,text/csv", multiple: true,
    on: { change: () => loadFiles([...files.files]) } });
  const openids = h("textarea", { id: "campaign-openids", rows: "4", spellcheck: "false", placeholder: "o…" });
  pasted = openids;
  const add = button(t("load-openids"), () => loadOpenids(false), { id: "load-openids" });
  const outcome = h("div", { class: "outcome" });
  const controls = h("fieldset", {}, h("legend", { class: "unseen" }, t("load-title")),
    h("div", { class: "drop", on: { dragover: (event) => event.preventDefault(), drop: dropped } },
      h("label", { for: "campaign-files" }, t("load-files")), files,
      h("p", { class: "hint" }, t("load-hint"), " ", h("code", {}, ["touser", ...fields].join()))),
    h("div", { class: "field" }, h("label", { for: "campaign-openids" }, t("load-lines-label")), openids), add);

  function dropped(event) {
    event.preventDefault();
    if (!controls.disabled) loadFiles([...event.dataTransfer.files]);
  }

  async function loadFiles(list) {
    const all = await Promise.all(list.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
    await load(all);
    // The same file can be chosen again.
    files.value = "";
  }

  /** Loads the pasted openids. Warns first of entries that do not look like openids, unless the user confirmed them (`isMeant`). */
  async function loadOpenids(isMeant) {
    const entries = openids.value.split(BETWEEN).filter(Boolean);
    if (entries.length === 0) {
      fill(outcome, h("p", { class: "fault", role: "alert" }, t("load-openids-empty")));
      openids.focus();
      return;
    }
    const strange = entries.filter((entry) => !OPENID.test(entry));
    if (strange.length > 0 && !isMeant) {
      fill(outcome, strangeEntries(strange, count(entries.length), () => loadOpenids(true)));
      outcome.scrollIntoView({ block: "nearest" });
      return;
    }
    const bytes = new TextEncoder().encode(`touser\n${entries.join("\n")}`);
    if (await load([{ name: `openids-${await fingerprint(bytes)}`, bytes, headerLine: 0 }])) openids.value = "";
  }

  /** Loads one file after the other, and stops at the first problem. Returns whether there was none. */
  function load(list) {
    return busy(controls, async () => {
      const total = await loadAll(list);
      if (total !== null) toast(t("load-total", count(total)), "good");
      await loaded();
      return total !== null;
    }, outcome);
  }

  async function loadAll(list) {
    let total = null;
    for (const { name, bytes, headerLine } of list) {
      const parts = isUtf8(bytes) ? csvParts(bytes, headerLine) : [];
      if (parts.length === 0) {
        fill(outcome, h("p", { class: "result bad", role: "alert" }, t(isUtf8(bytes) ? "load-nothing" : "load-not-utf8", name)));
        return null;
      }
      for (const [index, part] of parts.entries()) {
        fill(outcome, h("progress", { max: parts.length, value: index, "aria-label": t("load-part", name, index + 1, parts.length) }),
          h("p", { class: "hint" }, t("load-part", name, index + 1, parts.length)));
        const query = new URLSearchParams({ part: `${name.slice(0, NAME)}-${index + 1}` });
        const answer = await call("POST", `${path}/recipients?${query}`, new Blob(part.bytes), { "content-type": "text/csv" });
        if (!answer.ok) {
          fill(outcome, refusal(name, part, answer));
          return null;
        }
        ({ total } = answer.body);
      }
    }
    fill(outcome);
    return total;
  }

  return h("section", { class: "tool" }, h("h3", {}, t("load-title")), controls, outcome);
}

/** The warning before entries are loaded that do not look like openids. */
function strangeEntries(strange, all, loadThem) {
  return h("div", { class: "result bad", id: "strange-openids", role: "alert" },
    h("p", {}, t("load-strange", count(strange.length), all)),
    h("ul", { class: "load-faults" }, strange.slice(0, SHOWN).map((entry) => h("li", {}, h("code", {}, entry))),
      strange.length > SHOWN && h("li", {}, t("and-more", count(strange.length - SHOWN)))),
    h("div", {}, button(t("load-anyway"), loadThem, { id: "load-anyway" })));
}

/** Why a part is refused. The faults are shown with their lines in the file: the API counts those of the part. */
function refusal(name, part, { status, body }) {
  const { faults = [], detail } = body;
  return [problemBox({ status, body: { ...body, detail: faults.length > 0 ? "" : detail } }),
    h("ul", { class: "load-faults" }, faults.slice(0, SHOWN).map(({ pointer, detail: what }) => h("li", {},
      place(name, part, pointer), " ", h("code", {}, pointer.replace(ROW, "")), " ", both(what))),
      faults.length === 0 && h("li", {}, t("load-lines", name, count(part.lines[0]), count(part.last))))];
}

/** Where the row of a pointer stands in the file. */
function place(name, { lines, last }, pointer) {
  const [, kind, number] = pointer.match(ROW) ?? [];
  const line = kind === "line " ? lines[0] + Number(number) - 2 : lines[number];
  return line === undefined ? t("load-lines", name, count(lines[0]), count(last)) : t("load-line", name, count(line));
}

/** Excel's plain "CSV" is in the encoding of the country: sent as it is, it would be refused or garbled. */
function isUtf8(bytes) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** A name for pasted openids: the same ones again complete an interrupted upload, others are added. */
async function fingerprint(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
