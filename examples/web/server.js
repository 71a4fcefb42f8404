// The page's back end: it keeps the sessions, and asks the bundle. Node's own HTTP server, so that nothing stands between the
// reader and what happens; the same handlers fit into any framework.

import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { BUNDLE_URL, BundleError, createBinding, getBinding, isBound, redeemLogin, sendTemplateMessage } from "./bundle.js";

const PORT = Number(process.env.PORT ?? 3000);
const TEMPLATE_ID = process.env.TEMPLATE_ID ?? "TEMPLATE_ID";
/** Milliseconds. */
const SESSION_LIFE = 8 * 3600 * 1000;
/** Seconds in which a login with WeChat must end. */
const ATTEMPT_LIFE = 600;
const BODY_LIMIT = 16 * 1024;

/** The sessions by their ids. In memory, so a restart signs everybody out: a real back end keeps them in its store. */
const sessions = new Map();
const files = readFiles(join(import.meta.dirname, "dist"));

const server = createServer(answer);
await new Promise((resolve) => server.listen(PORT, "127.0.0.1", resolve));
/** The address of this page in the browser, as the bundle's LOGIN_HOSTS lists its host. */
const PAGE_URL = process.env.PAGE_URL ?? `http://127.0.0.1:${server.address().port}`;
const isLocal = ["127.0.0.1", "localhost"].includes(new URL(PAGE_URL).hostname);
if (!isLocal) throw new Error("signIn asks for no password: put your own login in its place, then remove this line");
// With https, `__Host-` keeps other hosts of the same domain from setting these cookies.
const isHttps = PAGE_URL.startsWith("https:");
const SESSION = isHttps ? "__Host-session" : "session";
const ATTEMPT = isHttps ? "__Host-attempt" : "attempt";
console.log(`ready ${PAGE_URL}`);

const routes = {
  "GET /me": me,
  "POST /sign-in": signIn,
  "POST /sign-out": signOut,
  "GET /wechat/login": beginWeChatLogin,
  "GET /wechat/back": endWeChatLogin,
  "POST /me/binding": makeBinding,
  "GET /me/binding": showBinding,
  "POST /me/messages": push,
};

/** What the page shows of the session. The openid is not in it: pages and addresses have no use for it. */
async function me({ session }) {
  const user = session?.user ?? null;
  return { user, isVisitor: Boolean(session) && !user, isBound: user !== null && (await isBound(user)) };
}

/** Stands for your own login: it believes every name. */
function signIn({ session, body, cookies }) {
  const { user } = body;
  if (typeof user !== "string" || !/^[\w-]{1,64}$/.test(user)) throw new Refusal(400, "用户名应为字母或数字 / A name has letters and digits");
  openSession(cookies, user, session);
  return {};
}

function signOut({ session, cookies }) {
  sessions.delete(session?.id);
  cookies.set(SESSION, "", 0);
  return {};
}

/**
 * Sends the browser to WeChat, by way of the bundle. The attempt, a secret in a cookie and in the address of the way back, ties
 * the login to this browser: without it a stranger could have you follow a link that logs you in as somebody else.
 */
function beginWeChatLogin({ cookies }) {
  const attempt = secret();
  cookies.set(ATTEMPT, attempt, ATTEMPT_LIFE);
  const to = new URL("/wechat/back", PAGE_URL);
  to.searchParams.set("attempt", attempt);
  return { location: `${BUNDLE_URL}/oauth/login?to=${encodeURIComponent(to.href)}` };
}

/** The browser is back with a one-time code, which says nothing by itself: the bundle tells this back end, once, who it was. */
async function endWeChatLogin({ session, query, cookies }) {
  const attempt = query.get("attempt");
  if (!attempt || attempt !== cookies.get(ATTEMPT)) throw new Refusal(400, "登录须在同一浏览器中完成 / The login began in another browser");
  cookies.set(ATTEMPT, "", 0);
  const { user = null } = await redeemLogin(query.get("login") ?? "");
  openSession(cookies, user, session);
  // At once to an address without the code.
  return { location: "/" };
}

/** Makes a code that binds the signed-in user. The session keeps the binding's id: whoever knows it could bind themselves. */
async function makeBinding({ session }) {
  const { binding, qr, link } = await createBinding(signedIn(session));
  session.binding = binding;
  return { state: "pending", image: qr?.image ?? null, link };
}

async function showBinding({ session }) {
  signedIn(session);
  if (!session.binding) throw new Refusal(404, "没有二维码 / There is no code");
  const { state } = await getBinding(session.binding);
  return { state };
}

/** Sends a message to the signed-in user, by the user's id: who that is on WeChat is the bundle's business. */
async function push({ session, body }) {
  const user = signedIn(session);
  const { text, key } = body;
  if (typeof text !== "string" || !text.trim()) throw new Refusal(400, "内容不能为空 / The text is empty");
  if (typeof key !== "string" || !/^[\w-]{16,64}$/.test(key)) throw new Refusal(400, "缺少 key / There is no key");
  const data = { thing1: text, time2: beijingTime(new Date()), const3: "通过" };
  // The user's name in the key keeps one user's keys apart from another's.
  await sendTemplateMessage({ user, template_id: TEMPLATE_ID, url: `${PAGE_URL}/`, data }, `${user}.${key}`);
  return {};
}

/** As WeChat's `time` fields take it: 2026年1月1日 10:00. */
function beijingTime(now) {
  const format = new Intl.DateTimeFormat("zh-CN", { dateStyle: "long", timeStyle: "short", timeZone: "Asia/Shanghai" });
  return format.format(now);
}

function signedIn(session) {
  if (!session?.user) throw new Refusal(401, "请先登录 / Sign in first");
  return session.user;
}

/** Opens a session under a new id: an id from before the login may be known to somebody else. */
function openSession(cookies, user, former) {
  sessions.delete(former?.id);
  const now = Date.now();
  for (const [id, { endsAt }] of sessions) if (endsAt < now) sessions.delete(id);
  const id = secret();
  sessions.set(id, { id, user, endsAt: now + SESSION_LIFE });
  cookies.set(SESSION, id, SESSION_LIFE / 1000);
}

function findSession(id) {
  const session = sessions.get(id);
  return session && session.endsAt > Date.now() ? session : null;
}

function secret() {
  return randomBytes(32).toString("base64url");
}

// What follows is what a framework does.

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answer(request, response) {
  for (const [name, value] of Object.entries(securityHeaders())) response.setHeader(name, value);
  try {
    const url = new URL(request.url, PAGE_URL);
    const file = request.method === "GET" && files.get(url.pathname);
    if (file) {
      response.writeHead(200, { "content-type": file.type, "cache-control": file.cache }).end(file.content);
      return;
    }
    const route = routes[`${request.method} ${url.pathname}`];
    if (!route) throw new Refusal(404, "没有此页面 / There is no such page");
    const body = request.method === "POST" ? await readBody(request) : {};
    const cookies = readCookies(request, response);
    const result = await route({ session: findSession(cookies.get(SESSION)), query: url.searchParams, body, cookies });
    response.setHeader("cache-control", "no-store");
    if (result.location) response.writeHead(302, { location: result.location }).end();
    else send(response, 200, result);
  } catch (error) {
    const [status, text] = problem(error);
    // A browser that follows a link shows the text, a script reads the member.
    if (request.headers.accept?.includes("text/html")) response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(text);
    else send(response, status, { error: text });
  }
}

/** What the visitor is told: the reason for what they can mend, and nothing of the set-up. */
function problem(error) {
  const isTheirs = error instanceof BundleError && [400, 404, 409, 422, 429].includes(error.status);
  if (isTheirs) return [400, error.message];
  if (error instanceof Refusal) return [error.status, error.message];
  console.error(error);
  return [502, "服务暂时不可用 / The service is not available for now"];
}

/**
 * Reads the JSON of a POST. Refuses those of other sites: browsers say in `Origin` which page sent a request, and no page can
 * forge it. `SameSite` cookies alone would let in every other site of the same domain.
 */
async function readBody(request) {
  if (request.headers.origin !== new URL(PAGE_URL).origin) throw new Refusal(403, "请求来自其他网站 / The request comes from another site");
  if (request.headers["content-type"] !== "application/json") throw new Refusal(415, "应为 JSON / The body must be JSON");
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_LIMIT) throw new Refusal(413, "内容过长 / The body is too long");
    chunks.push(chunk);
  }
  try {
    const body = JSON.parse(Buffer.concat(chunks).toString());
    if (body !== null && typeof body === "object") return body;
  } catch {
    // Refused below.
  }
  throw new Refusal(400, "应为 JSON 对象 / The body must be a JSON object");
}

function send(response, status, body) {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" }).end(JSON.stringify(body));
}

/** The cookies of a request, and a way to set some. Scripts cannot read them, and other sites' requests do not bring them. */
function readCookies(request, response) {
  const pairs = (request.headers.cookie ?? "").split(";").map((pair) => pair.trim().split("="));
  const known = new Map(pairs.map(([name, ...value]) => [name, value.join("=")]));
  return {
    get: (name) => known.get(name),
    set: (name, value, seconds) => response.appendHeader("set-cookie",
      `${name}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${isHttps ? "; Secure" : ""}`),
  };
}

function securityHeaders() {
  return {
    // The page loads its own files and the picture of the code. On this machine the console's phone may frame it.
    "content-security-policy": `default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors ${isLocal ? BUNDLE_URL : "'none'"}`,
    // The address of the way back holds the one-time code.
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  };
}

/** The built page, by path. Reading it once leaves no path to play with. */
function readFiles(folder) {
  const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8" };
  const built = readdirSync(folder, { recursive: true }).filter((name) => types[extname(name)]);
  return new Map(built.map((name) => {
    const path = name === "index.html" ? "/" : `/${name.replaceAll("\\", "/")}`;
    // Vite names the other files by their content.
    const cache = path === "/" ? "no-cache" : "public, max-age=31536000, immutable";
    return [path, { content: readFileSync(join(folder, name)), type: types[extname(name)], cache }];
  }));
}
