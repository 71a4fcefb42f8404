// Signing in at the staff's issuer: OpenID Connect's authorization code flow with PKCE, in the browser alone.

import { keepKey, run } from "./api.js";
import { t } from "./i18n.js";

/** The names in the session storage of the data that a sign-in needs on its return, and of the data that renews its token. */
const PENDING = "console.sign-in";
const RENEWAL = "console.renewal";

/** Milliseconds before a token's end from which the next call renews it. */
const MARGIN = 90_000;

/** How to sign in: {issuer, client_id, audience, scope}. All are null where API keys are taken. */
export async function learnSignIn() {
  const answer = await fetch("/console/pages/sign-in.json");
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

/** Leaves for the issuer's page. Returns a phrase when it cannot. */
export async function leaveToSignIn({ issuer, client_id: clientId, audience, scope }) {
  const { endpoints, fault } = await discover(issuer);
  if (fault) return fault;
  const [state, verifier] = [random(), random()];
  sessionStorage.setItem(PENDING, JSON.stringify({ state, verifier, screen: location.hash }));
  const address = new URL(endpoints.authorization_endpoint);
  const parameters = {
    response_type: "code", client_id: clientId, redirect_uri: backHere(), scope, state,
    code_challenge: await challenge(verifier), code_challenge_method: "S256", audience,
  };
  for (const [name, value] of Object.entries(parameters)) if (value) address.searchParams.set(name, value);
  location.assign(address);
  return null;
}

/** Ends a sign-in when the issuer has sent the browser back. Returns a phrase when it failed. */
export async function returnFromSignIn({ issuer, client_id: clientId }) {
  const answer = new URLSearchParams(location.search);
  if (!clientId || !(answer.has("state") && (answer.has("code") || answer.has("error")))) return null;
  const { state, verifier, screen = "" } = stored(PENDING);
  history.replaceState(null, "", location.pathname + screen);
  sessionStorage.removeItem(PENDING);
  // A code that another site or an older attempt brought here would sign in somebody else.
  if (!state || answer.get("state") !== state || (answer.get("iss") ?? issuer) !== issuer) return t("sign-in-not-ours");
  if (answer.has("error")) return t("sign-in-denied", [answer.get("error"), answer.get("error_description")].filter(Boolean).join(": "));
  const { endpoints, fault } = await discover(issuer);
  if (fault) return fault;
  return askForToken(endpoints.token_endpoint, {
    grant_type: "authorization_code", code: answer.get("code"), redirect_uri: backHere(), client_id: clientId, code_verifier: verifier,
  });
}

/** Makes the next calls renew the token shortly before its end, if the issuer gave a refresh token. */
export function keepAlive() {
  let inFlight = null;
  run.fresh = async () => {
    const renewal = stored(RENEWAL);
    // Another key may have been pasted since.
    if (!run.key || renewal.key !== run.key || Date.now() < renewal.ends - MARGIN) return;
    inFlight ??= askForToken(renewal.endpoint, {
      grant_type: "refresh_token", refresh_token: renewal.token, client_id: renewal.clientId,
    }).finally(() => { inFlight = null; });
    await inFlight;
  };
}

export function forgetSignIn() {
  sessionStorage.removeItem(PENDING);
  sessionStorage.removeItem(RENEWAL);
}

/** Keeps the token that the endpoint gives for `grant`, unless another key came meanwhile. Returns a phrase when it gives none. */
async function askForToken(endpoint, grant) {
  const before = run.key;
  let answer;
  try {
    answer = await fetch(endpoint, { method: "POST", body: new URLSearchParams(grant) });
  } catch {
    return t("sign-in-unreachable", endpoint);
  }
  const body = await answer.json().catch(() => ({}));
  if (run.key !== before) return null;
  if (!answer.ok || !body.access_token) {
    // The issuer will refuse it the next time too.
    sessionStorage.removeItem(RENEWAL);
    return t("sign-in-denied", [body.error ?? `HTTP ${answer.status}`, body.error_description].filter(Boolean).join(": "));
  }
  keepKey(body.access_token);
  // If the issuer gives no new refresh token, the old one stays valid.
  const token = body.refresh_token ?? grant.refresh_token;
  const renewal = { key: run.key, endpoint, token, clientId: grant.client_id, ends: Date.now() + body.expires_in * 1000 };
  if (token && body.expires_in) sessionStorage.setItem(RENEWAL, JSON.stringify(renewal));
  else sessionStorage.removeItem(RENEWAL);
  return null;
}

/** What is stored under this name; an empty object when nothing is, or nothing that can be read. */
function stored(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name)) ?? {};
  } catch {
    return {};
  }
}

async function discover(issuer) {
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  let endpoints;
  try {
    const answer = await fetch(address);
    endpoints = answer.ok ? await answer.json() : {};
  } catch {
    return { fault: t("sign-in-unreachable", address) };
  }
  const { authorization_endpoint: page, token_endpoint: token } = endpoints;
  if (endpoints.issuer !== issuer || !isWeb(page) || !isWeb(token)) return { fault: t("sign-in-no-issuer", address) };
  return { endpoints };
}

const isWeb = (address) => URL.canParse(address) && ["https:", "http:"].includes(new URL(address).protocol);

const backHere = () => `${location.origin}/console/`;

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function challenge(verifier) {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
