// A login of staff: an OpenID Connect issuer with a public client, which checks PKCE. Everyone who opens its page is signed
// in.

import { createHash, randomUUID } from "node:crypto";
import { createServer } from "node:http";

export const CLIENT = "console";

const digest = (text) => createHash("sha256").update(text).digest("base64url");

/** Starts it on a free port. `login` may be changed while it runs: {sub, scope, audience, lifetime, refusal, refreshes}. */
export async function startIssuer(login) {
  const codes = new Map();
  const refreshTokens = new Set();
  const asked = [];

  const jwt = (audience) => {
    const claims = { iss: url, sub: login.sub, aud: login.audience ?? audience, scope: login.scope, exp: Math.floor(Date.now() / 1000) + login.lifetime };
    return ["{}", JSON.stringify(claims), randomUUID()].map((part) => Buffer.from(part).toString("base64url")).join(".");
  };

  const tokens = () => {
    const refreshToken = randomUUID();
    refreshTokens.add(refreshToken);
    return { access_token: jwt("wechat"), token_type: "Bearer", expires_in: login.lifetime, refresh_token: login.refreshes ? refreshToken : undefined };
  };

  const answers = {
    "/.well-known/openid-configuration": () => [200, { issuer: url, authorization_endpoint: `${url}/authorize`, token_endpoint: `${url}/token` }],
    "/authorize": (parameters) => {
      const { client_id: client, redirect_uri: back, state, code_challenge: challenge, code_challenge_method: method, response_type: type } = parameters;
      if (client !== CLIENT || type !== "code" || method !== "S256" || !challenge) return [400, { error: "invalid_request" }];
      const code = randomUUID();
      codes.set(code, { challenge, back });
      const answer = new URLSearchParams(login.refusal ? { error: login.refusal, state } : { code, state, iss: url });
      return [303, null, `${back}?${answer}`];
    },
    "/token": ({ grant_type: grant, code, code_verifier: verifier, redirect_uri: back, refresh_token: refreshToken }) => {
      if (grant === "refresh_token") return refreshTokens.delete(refreshToken) ? [200, tokens()] : [400, { error: "invalid_grant" }];
      const known = codes.get(code);
      codes.delete(code);
      if (!known || known.back !== back || digest(verifier) !== known.challenge) return [400, { error: "invalid_grant" }];
      return [200, tokens()];
    },
  };

  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const address = new URL(request.url, url);
    const parameters = Object.fromEntries(new URLSearchParams(request.method === "POST" ? Buffer.concat(chunks).toString() : address.search));
    asked.push({ path: address.pathname, parameters });
    const [status, body, location] = answers[address.pathname]?.(parameters) ?? [404, {}];
    response.writeHead(status, { "content-type": "application/json", "access-control-allow-origin": "*", ...(location && { location }) });
    response.end(body && JSON.stringify(body));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${server.address().port}`;
  return { url, asked, stop: () => new Promise((closed) => { server.closeAllConnections(); server.close(closed); }) };
}
