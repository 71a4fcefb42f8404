// The calls of this page: to /api/* as any client's, to /console/*, and to the simulator through /console/sim/*.

const STORED = "console.key";

/** What /console/run says of the run, and the API key that is in use. */
export const run = { simulated: false, key: sessionStorage.getItem(STORED), version: "" };

export async function learnRun() {
  const answer = await fetch("/console/run");
  if (!answer.ok) throw new Error(await answer.text());
  const told = await answer.json();
  run.simulated = told.simulated;
  run.version = told.version;
  run.key = told.key ?? run.key;
}

/** Asks for the account with this key, and keeps it when it is accepted. */
export async function tryKey(key) {
  run.key = key;
  const answer = await read("/console/state");
  if (answer.ok) sessionStorage.setItem(STORED, key);
  else run.key = null;
  return answer;
}

export function authorization() {
  return run.key ? { authorization: `Bearer ${run.key}` } : {};
}

/** An answer: {ok, status, body, etag}. A failure to connect is one too, with status 0. */
export async function call(method, path, body, headers = {}) {
  const options = { method, headers: { ...authorization(), ...headers } };
  if (body !== undefined) {
    options.body = typeof body === "string" ? body : JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  try {
    const answer = await fetch(path, options);
    if (answer.status === 401) document.dispatchEvent(new Event("unauthorized"));
    const text = await answer.text();
    return { ok: answer.ok, status: answer.status, body: parse(text), etag: answer.headers.get("etag") };
  } catch (error) {
    return { ok: false, status: 0, body: { detail: error.message }, etag: null };
  }
}

/** Reads for the page itself, which the activity leaves out unless told otherwise. */
export function read(path) {
  return call("GET", path, undefined, { "x-console-read": "1" });
}

/** A control of the simulated platform. */
export function sim(method, path, body) {
  return call(method, `/console/sim/${path}`, body);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text };
  }
}
