// The webhook's job in plain Node.js: verify, decrypt, parse, find the reply, encrypt, sign. No package, no table.
import { createCipheriv, createDecipheriv, createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Agent, request } from 'node:http';

const { AWS_LAMBDA_RUNTIME_API: api, WECHAT_APP_ID: appId, WECHAT_TOKEN: token, WECHAT_MESSAGE_MODE: mode } = process.env;
const key = Buffer.from(`${process.env.WECHAT_ENCODING_AES_KEY ?? ''}=`, 'base64');
const keywords = new Map([['你好', '你好，有什么可以帮您？']]);

const sha1 = (...parts) => createHash('sha1').update(parts.sort().join('')).digest('hex');
const same = (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
const field = (xml, name) => xml.match(new RegExp(`<${name}>(?:<!\\[CDATA\\[)?([\\s\\S]*?)(?:\\]\\]>)?</${name}>`))?.[1];

function decrypt(encrypt) {
  const decipher = createDecipheriv('aes-256-cbc', key, key.subarray(0, 16)).setAutoPadding(false);
  const padded = Buffer.concat([decipher.update(encrypt, 'base64'), decipher.final()]);
  const clear = padded.subarray(16, padded.length - padded[padded.length - 1]);
  const length = clear.readUInt32BE(0);
  if (clear.subarray(4 + length).toString() !== appId) throw new Error('another account');
  return clear.subarray(4, 4 + length).toString();
}

function encrypt(xml) {
  const text = Buffer.from(xml);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  const clear = Buffer.concat([randomBytes(16), length, text, Buffer.from(appId)]);
  const padding = 32 - (clear.length % 32);
  const cipher = createCipheriv('aes-256-cbc', key, key.subarray(0, 16)).setAutoPadding(false);
  return Buffer.concat([cipher.update(clear), cipher.update(Buffer.alloc(padding, padding)), cipher.final()]).toString('base64');
}

function handle(event) {
  const query = event.queryStringParameters;
  let xml = event.body;
  const sealed = mode === 'safe' ? field(xml, 'Encrypt') : undefined;
  const signature = sealed ? query.msg_signature : query.signature;
  if (!same(signature, sha1(token, query.timestamp, query.nonce, ...(sealed ? [sealed] : [])))) return { statusCode: 403 };
  if (Math.abs(Date.now() / 1000 - Number(query.timestamp)) > 600) return { statusCode: 403 };
  if (sealed) xml = decrypt(sealed);
  const text = keywords.get(field(xml, 'Content'));
  if (!text) return { statusCode: 200, headers: { 'content-type': 'text/plain' }, body: 'success' };
  const now = Math.floor(Date.now() / 1000);
  let body = `<xml><ToUserName><![CDATA[${field(xml, 'FromUserName')}]]></ToUserName><FromUserName><![CDATA[${field(xml, 'ToUserName')}]]></FromUserName><CreateTime>${now}</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[${text}]]></Content></xml>`;
  if (sealed) {
    const nonce = randomBytes(8).toString('hex');
    const reply = encrypt(body);
    body = `<xml><Encrypt><![CDATA[${reply}]]></Encrypt><MsgSignature><![CDATA[${sha1(token, String(now), nonce, reply)}]]></MsgSignature><TimeStamp>${now}</TimeStamp><Nonce><![CDATA[${nonce}]]></Nonce></xml>`;
  }
  console.log(JSON.stringify({ level: 'INFO', message: 'callback', outcome: 'replied', status: 200 }));
  return { statusCode: 200, headers: { 'content-type': 'application/xml; charset=utf-8' }, body };
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const [host, port] = api.split(':');
const call = (method, path, body) =>
  new Promise((resolve, reject) => {
    const outgoing = request({ host, port, agent, method, path: `/2018-06-01/runtime/invocation/${path}` }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (chunk) => (text += chunk)).on('end', () => resolve([incoming.headers, text]));
    });
    outgoing.on('error', reject).end(body);
  });

for (;;) {
  const [headers, event] = await call('GET', 'next');
  await call('POST', `${headers['lambda-runtime-aws-request-id']}/response`, JSON.stringify(handle(JSON.parse(event))));
}
