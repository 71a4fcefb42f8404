// node-easywechat against the relay. It has no functions for single APIs: its client takes their paths.

import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import easywechat from "node-easywechat";
import { MENU, PAGE, SMALL, TEMPLATE_DATA, article, relayTest, sdkTest } from "./start.js";

function newApp(stage, more = {}) {
  return new easywechat.OfficialAccount({
    app_id: stage.appId,
    secret: stage.secret,
    http: { baseURL: stage.api },
    file_cache: { path: join(stage.folder, "cache") },
    ...more,
  });
}

/** `get(path, query)` and `post(path, body)` of an app's client, which answer JSON. */
function calls(app) {
  const client = app.getClient();
  return {
    client,
    get: async (path, params) => (await client.get(path, { params })).toObject(),
    post: async (path, body) => (await client.postJson(path, body)).toObject(),
  };
}

/** Uploads a file as the field `media`. */
async function upload(client, path, file, params) {
  return (await client.post(path, { params, formData: { media: createReadStream(file) } })).toObject();
}

async function download(client, mediaId) {
  const answer = await client.get("/cgi-bin/media/get", { params: { media_id: mediaId }, responseType: "arraybuffer" });
  return answer.getContent();
}

for (const stable of [false, true]) {
  sdkTest(`messages reach the phone, by ${stable ? "stable_token" : "token"}`, async (stage) => {
    const { post } = calls(newApp(stage, { use_stable_access_token: stable }));
    const openid = await stage.follower();
    const sent = await post("/cgi-bin/message/template/send", {
      touser: openid, template_id: "TEMPLATE_ID", url: "https://example.com/?a=b&c=d", data: TEMPLATE_DATA,
    });
    assert.equal(sent.errcode, 0);
    const text = { touser: openid, msgtype: "text", text: { content: "您好，\"我\"是客服 🎉" } };
    assert.equal((await post("/cgi-bin/message/custom/send", text)).errcode, 0);
    const phone = await stage.phone(openid);
    for (const part of ["项目审核", "https://example.com/?a=b&c=d", "是客服 🎉"]) assert.ok(phone.includes(part), phone);
  });
}

sdkTest("an error of WeChat arrives with its errcode", async (stage) => {
  const { post } = calls(newApp(stage));
  const message = { touser: await stage.follower(), template_id: "NO_SUCH_TEMPLATE", data: TEMPLATE_DATA };
  const { errcode, errmsg } = await post("/cgi-bin/message/template/send", message);
  assert.equal(errcode, 40037);
  assert.match(errmsg, /rid/);
});

sdkTest("a menu is made, read and deleted", async (stage) => {
  const { get, post } = calls(newApp(stage));
  await post("/cgi-bin/menu/create", MENU);
  assert.deepEqual((await get("/cgi-bin/menu/get")).menu.button.map(({ name }) => name), ["今日歌曲", "菜单"]);
  assert.equal((await get("/cgi-bin/menu/delete")).errcode, 0);
  assert.equal((await get("/cgi-bin/menu/get")).errcode, 46003);
});

sdkTest("followers are listed and described", async (stage) => {
  const { get, post } = calls(newApp(stage));
  const openids = [await stage.follower(), await stage.follower()];
  const listed = await get("/cgi-bin/user/get");
  assert.ok(openids.every((openid) => listed.data.openid.includes(openid)));
  assert.equal((await get("/cgi-bin/user/info", { openid: openids[0], lang: "zh_CN" })).subscribe, 1);
  const users = await post("/cgi-bin/user/info/batchget", { user_list: openids.map((openid) => ({ openid })) });
  assert.deepEqual(users.user_info_list.map(({ openid }) => openid), openids);
  await post("/cgi-bin/user/info/updateremark", { openid: openids[0], remark: "老客户" });
  assert.equal((await get("/cgi-bin/user/info", { openid: openids[0] })).remark, "老客户");
});

sdkTest("tags are made, given and deleted", async (stage) => {
  const { get, post } = calls(newApp(stage));
  const openid = await stage.follower();
  const { id } = (await post("/cgi-bin/tags/create", { tag: { name: "会员" } })).tag;
  await post("/cgi-bin/tags/members/batchtagging", { openid_list: [openid], tagid: id });
  assert.equal((await get("/cgi-bin/tags/get")).tags.find((tag) => tag.id === id).name, "会员");
  assert.deepEqual((await post("/cgi-bin/user/tag/get", { tagid: id })).data.openid, [openid]);
  await post("/cgi-bin/tags/members/batchuntagging", { openid_list: [openid], tagid: id });
  assert.deepEqual((await post("/cgi-bin/tags/getidlist", { openid })).tagid_list, []);
  await post("/cgi-bin/tags/delete", { tag: { id } });
  assert.ok((await get("/cgi-bin/tags/get")).tags.every((tag) => tag.id !== id));
});

sdkTest("a QR code can be scanned", async (stage) => {
  const { post } = calls(newApp(stage));
  const { ticket } = await post("/cgi-bin/qrcode/create", {
    expire_seconds: 600, action_name: "QR_STR_SCENE", action_info: { scene: { scene_str: "推广" } },
  });
  assert.ok((await stage.sim("POST", "scan", { ticket })).openid);
});

sdkTest("a page signed with the ticket is accepted", async (stage) => {
  const app = newApp(stage);
  await stage.acceptsSignature(await app.getUtils().buildJsSdkConfig(PAGE));
  assert.ok((await calls(app).get("/cgi-bin/ticket/getticket", { type: "wx_card" })).ticket);
});

sdkTest("addresses and agents are listed", async (stage) => {
  const { get } = calls(newApp(stage));
  assert.ok((await get("/cgi-bin/getcallbackip")).ip_list.length > 0);
  assert.ok(Array.isArray((await get("/cgi-bin/customservice/getkflist")).kf_list));
});

sdkTest("a temporary picture comes back as it was", async (stage) => {
  const { client } = calls(newApp(stage));
  const { path, bytes } = stage.picture();
  const { media_id: mediaId } = await upload(client, "/cgi-bin/media/upload", path, { type: "image" });
  assert.ok(bytes.equals(await download(client, mediaId)));
  // The other way of the SDK to name a file.
  const image = await client.withFile(stage.picture(SMALL).path, "media").post("/cgi-bin/media/uploadimg");
  assert.match(image.toObject().url, /^http/);
});

sdkTest("permanent material is kept until it is deleted", async (stage) => {
  const { client, get, post } = calls(newApp(stage));
  const { path, bytes } = stage.picture();
  const { media_id: mediaId } = await upload(client, "/cgi-bin/material/add_material", path, { type: "image" });
  const named = { media_id: mediaId };
  const answer = await client.postJson("/cgi-bin/material/get_material", named, { responseType: "arraybuffer" });
  assert.ok(bytes.equals(answer.getContent()));
  assert.equal((await get("/cgi-bin/material/get_materialcount")).image_count, 1);
  const listed = await post("/cgi-bin/material/batchget_material", { type: "image", offset: 0, count: 20 });
  assert.deepEqual(listed.item.map((item) => item.media_id), [mediaId]);
  await post("/cgi-bin/material/del_material", { media_id: mediaId });
  assert.equal((await post("/cgi-bin/material/get_material", { media_id: mediaId })).errcode, 40007);
});

sdkTest("a draft is written, changed and published", async (stage) => {
  const { client, get, post } = calls(newApp(stage));
  const { path } = stage.picture();
  const { media_id: cover } = await upload(client, "/cgi-bin/material/add_material", path, { type: "image" });
  const first = article("标题", cover);
  const { media_id: draft } = await post("/cgi-bin/draft/add", { articles: [first] });
  const [written] = (await post("/cgi-bin/draft/get", { media_id: draft })).news_item;
  assert.deepEqual([written.title, written.content], [first.title, first.content]);
  await post("/cgi-bin/draft/update", { media_id: draft, index: 0, articles: article("新标题", cover) });
  const { media_id: other } = await post("/cgi-bin/draft/add", { articles: [first] });
  await post("/cgi-bin/draft/delete", { media_id: other });
  const listed = await post("/cgi-bin/draft/batchget", { offset: 0, count: 20, no_content: 0 });
  assert.deepEqual(listed.item.map(({ content }) => content.news_item[0].title), ["新标题"]);
  assert.equal((await get("/cgi-bin/draft/count")).total_count, 1);
  assert.ok((await post("/cgi-bin/freepublish/submit", { media_id: draft })).publish_id);
});

relayTest("a token that dies is replaced unnoticed", async (stage) => {
  const app = newApp(stage);
  const { client, get } = calls(app);
  await get("/cgi-bin/user/get");
  const own = await app.getAccessToken().getToken();
  await stage.endTokens();
  const { path, bytes } = stage.picture();
  const { media_id: mediaId } = await upload(client, "/cgi-bin/media/upload", path, { type: "image" });
  assert.ok(bytes.equals(await download(client, mediaId)));
  assert.equal(await app.getAccessToken().getToken(), own);
});

// node-easywechat itself would report this error for two hours: its cache ends by the clock alone.
relayTest("a token refused once is replaced unnoticed", async (stage) => {
  const { get } = calls(newApp(stage));
  await stage.refuseTokenOnce("/cgi-bin/user/get");
  assert.equal((await get("/cgi-bin/user/get")).total, 1);
  assert.equal(await stage.calls("/cgi-bin/user/get"), 2);
});

// node-easywechat leaves it to the caller to ask whether a call failed, by the HTTP status or by the errcode.
relayTest("an answer that is lost is an error, and repeats nothing", async (stage) => {
  const { client } = calls(newApp(stage));
  const message = { touser: await stage.follower(), template_id: "TEMPLATE_ID", data: TEMPLATE_DATA };
  await stage.loseNextAnswer("/cgi-bin/message/template/send");
  const answer = await client.postJson("/cgi-bin/message/template/send", message);
  assert.ok(answer.isFailed());
  assert.ok(answer.toObject().errcode);
  assert.equal(await stage.calls("/cgi-bin/message/template/send"), 1);
});

relayTest("a revoked key is an error", async (stage) => {
  const { get } = calls(newApp(stage));
  await get("/cgi-bin/user/get");
  await stage.revokeKey();
  await stage.refusal(() => get("/cgi-bin/user/get"), ({ errcode }) => errcode === 40001);
  for (const stable of [false, true]) {
    const cache = { path: join(stage.folder, `other-${stable}`) };
    const other = newApp(stage, { use_stable_access_token: stable, file_cache: cache });
    await assert.rejects(calls(other).get("/cgi-bin/user/get"), /40125/);
  }
});
