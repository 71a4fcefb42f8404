// The bundle's API. Only the back end calls it, because only the back end may know the key.

/** Where WeChat users and this back end reach the bundle: its PUBLIC_URL. */
export const BUNDLE_URL = new URL(process.env.BUNDLE_URL ?? "http://127.0.0.1:8000").origin;

// `local` is the public key of a simulated run. For a real account make a key with the scopes `users` and `send` alone, and
// keep it in the environment.
const KEY = process.env.BUNDLE_KEY ?? "local";
/** The bundle answers within 30 s. */
const TIMEOUT = 30_000;

/** A refusal of the bundle, with the members of its problem document. */
export class BundleError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `HTTP ${status}`);
    this.status = status;
  }
}

/** The one-time code that a login has brought says, once, who logged in. */
export function redeemLogin(login) {
  return call("POST", `/api/logins/${encodeURIComponent(login)}`);
}

export function createBinding(user) {
  return call("POST", "/api/bindings", { user, expires_in: 300 });
}

export function getBinding(id) {
  return call("GET", `/api/bindings/${encodeURIComponent(id)}`);
}

/** Whether the user is bound to somebody on WeChat. */
export async function isBound(user) {
  try {
    // By the query, so that an id with a slash is found too.
    await call("GET", `/api/users?user=${encodeURIComponent(user)}`);
    return true;
  } catch (error) {
    if (error.status === 404) return false;
    throw error;
  }
}

/** Sends a template message to a user. With the same key it goes out once, however often it is asked for. */
export function sendTemplateMessage(message, key) {
  return call("POST", "/api/sendTemplateMessage", message, { "idempotency-key": key });
}

async function call(method, path, body, headers = {}) {
  const answer = await fetch(`${BUNDLE_URL}${path}`, {
    method,
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json", ...headers },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT),
  });
  const json = await answer.json();
  if (!answer.ok) throw new BundleError(answer.status, json);
  return json;
}
