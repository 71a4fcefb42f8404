// The HTTP calls of the pages: /api/* like any client, and in a run on one machine /console/* and the simulator through /console/sim/*.

const STORED = "console.key";
/** Milliseconds. The functions answer within 25 s; a read without an end, as after a change of network, must not block those after it. */
const READ_TIMEOUT = 30_000;

/** The API key or JWT in use and what renews it, and in a run on one machine the answer of /console/run. */
export const run = { isLocal: false, simulated: false, simulator: null, key: sessionStorage.getItem(STORED), fresh: null, version: "" };

export async function learnRun() {
  const answer = await fetch("/console/run");
  if (!answer.ok) throw new Error(await answer.text());
  const { simulated, simulator, version, key } = await answer.json();
  Object.assign(run, { isLocal: true, simulated, simulator, version, key: key ?? run.key });
}

/** Reads the account with this key, and stores the key if it is accepted. */
export async function tryKey(key) {
  run.key = key;
  const answer = await read("/api/account");
  if (answer.ok) keepKey(key);
  else run.key = null;
  return answer;
}

/** Uses this key from now on, in this tab. */
export function keepKey(key) {
  run.key = key;
  sessionStorage.setItem(STORED, key);
}

export function forgetKey() {
  run.key = null;
  sessionStorage.removeItem(STORED);
}

export function authorization() {
  return run.key ? { authorization: `Bearer ${run.key}` } : {};
}

/**
 * Makes a call and returns {ok, status, body, text, etag, next}. The body is sent as JSON, a text and a Blob as they are; `next`
 * is the path of the next page. The status is 0 when there is no connection.
 */
export async function call(method, path, body, headers = {}) {
  await run.fresh?.();
  const options = { method, headers: { ...authorization(), ...headers } };
  if (method === "GET") options.signal = AbortSignal.timeout(READ_TIMEOUT);
  if (body !== undefined) {
    options.body = typeof body === "string" || body instanceof Blob ? body : JSON.stringify(body);
    options.headers["content-type"] ??= "application/json";
  }
  try {
    const answer = await fetch(path, options);
    if (answer.status === 401) document.dispatchEvent(new Event("unauthorized"));
    const text = await answer.text();
    const { ok, status, headers: sent } = answer;
    return { ok, status, body: parse(text), text, etag: sent.get("etag"), next: nextPage(sent.get("link")) };
  } catch (error) {
    return { ok: false, status: 0, body: { detail: error.message }, text: "", etag: null, next: null };
  }
}

/** Reads something for the page itself. The activity hides these reads by default. */
export function read(path, headers = {}) {
  return call("GET", path, undefined, { ...headers, "x-console-read": "1" });
}

/** A single-flight reader. Calls while a read is in flight share one more read after it, since something may have changed. */
export function oneAtATime(readIt) {
  let running = null;
  let next = null;
  const start = () => {
    if (running) {
      const again = () => {
        next = null;
        return start();
      };
      next ??= running.then(again, again);
      return next;
    }
    running = readIt().finally(() => { running = null; });
    return running;
  };
  return start;
}

/** Calls a control of the simulated platform. */
export function sim(method, path, body) {
  return call(method, `/console/sim/${path}`, body);
}

/** The path in `<…>; rel="next"`. The host is left out: a proxy may have another name than this page knows. */
function nextPage(link) {
  const [, address] = link?.match(/<([^>]*)>[^,]*;\s*rel="?next"?/) ?? [];
  if (!address) return null;
  const { pathname, search } = new URL(address, location.href);
  return pathname + search;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text };
  }
}
