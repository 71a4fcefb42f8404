// Cuts a CSV file into parts that fit one request each.

/** Bytes. The API takes 256 KiB; the rest is room for what a proxy adds. */
const SIZE = 200_000;
/** Rows. The API loads 8,000 recipients well within the time of a request. */
const ROWS = 8000;

const [LINE_FEED, QUOTE, COMMA] = ["\n", "\"", ","].map((character) => character.charCodeAt(0));
const LINE_END = [LINE_FEED, "\r".charCodeAt(0)];
/** The state of a cell after a quote: two quotes in a quoted cell are one character, and so is a quote inside an unquoted cell. */
const AFTER_QUOTE = { begin: "quoted", quoted: "closed", closed: "quoted", bare: "bare" };

/**
 * The parts of a CSV file as {bytes, lines, last}: `bytes` begins with the file's header, `lines` are the lines of the file in
 * which the rows begin, `last` is the one in which the last row ends. The header stands in the line `headerLine`. The same file
 * always gives the same parts.
 */
export function csvParts(file, headerLine = 1, size = SIZE, rows = ROWS) {
  const [header, ...records] = csvRecords(file, headerLine);
  const parts = [];
  let part = null;
  for (const { start, end, first, last } of records) {
    if (!part || header.end + end - part.start > size || part.lines.length === rows) {
      part = { start, lines: [] };
      parts.push(part);
    }
    part.lines.push(first);
    Object.assign(part, { end, last });
  }
  return parts.map(({ start, end, lines, last }) => ({ bytes: [file.subarray(0, header.end), file.subarray(start, end)], lines, last }));
}

/** The records as {start, end, first, last}: only a line end outside quotes ends one. Empty lines are not records. */
function csvRecords(file, firstLine) {
  const records = [];
  let cell = "begin";
  let start = 0;
  let first = firstLine;
  let line = firstLine;
  const add = (end) => !LINE_END.includes(file[start]) && records.push({ start, end, first, last: line });
  for (let at = 0; at < file.length; at += 1) {
    const byte = file[at];
    if (byte === QUOTE) cell = AFTER_QUOTE[cell];
    else if (cell !== "quoted") cell = byte === COMMA || byte === LINE_FEED ? "begin" : "bare";
    if (byte !== LINE_FEED) continue;
    if (cell !== "quoted") {
      add(at + 1);
      start = at + 1;
      first = line + 1;
    }
    line += 1;
  }
  if (start < file.length) add(file.length);
  return records;
}
