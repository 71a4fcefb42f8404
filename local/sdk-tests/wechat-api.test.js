// wechat-api, the callback API before co-wechat-api, against the relay.

import assert from "node:assert/strict";
import { promisify } from "node:util";
import WechatAPI from "wechat-api";
import { MENU, PAGE, SMALL, TEMPLATE_DATA, article, relayTest, sdkTest } from "./start.js";

/** The SDK's object, and `ask(method, …)` that awaits its callback. */
function newApi(stage) {
  const api = new WechatAPI(stage.appId, stage.secret);
  api.endpoint = stage.api;
  return { api, ask: (method, ...parameters) => promisify(api[method]).apply(api, parameters) };
}

const refused = (...codes) => (error) => codes.includes(error.code);

sdkTest("messages reach the phone", async (stage) => {
  const { ask } = newApi(stage);
  const openid = await stage.follower();
  await ask("sendTemplate", openid, "TEMPLATE_ID", "https://example.com/?a=b&c=d", TEMPLATE_DATA);
  await ask("sendText", openid, "您好，\"我\"是客服 🎉");
  const phone = await stage.phone(openid);
  for (const part of ["项目审核", "https://example.com/?a=b&c=d", "是客服 🎉"]) assert.ok(phone.includes(part), phone);
});

sdkTest("an error of WeChat arrives with its errcode", async (stage) => {
  const { ask } = newApi(stage);
  const openid = await stage.follower();
  await assert.rejects(ask("sendTemplate", openid, "NO_SUCH_TEMPLATE", "", TEMPLATE_DATA), { code: 40037, message: /rid/ });
});

sdkTest("a menu is made, read and deleted", async (stage) => {
  const { ask } = newApi(stage);
  await ask("createMenu", MENU);
  assert.deepEqual((await ask("getMenu")).menu.button.map(({ name }) => name), ["今日歌曲", "菜单"]);
  await ask("removeMenu");
  await assert.rejects(ask("getMenu"), { code: 46003 });
});

sdkTest("followers are listed and described", async (stage) => {
  const { ask } = newApi(stage);
  const openids = [await stage.follower(), await stage.follower()];
  const listed = await ask("getFollowers");
  assert.ok(openids.every((openid) => listed.data.openid.includes(openid)));
  assert.equal((await ask("getUser", { openid: openids[0], lang: "zh_CN" })).subscribe, 1);
  assert.deepEqual((await ask("batchGetUsers", openids)).user_info_list.map(({ openid }) => openid), openids);
  await ask("updateRemark", openids[0], "老客户");
  assert.equal((await ask("getUser", openids[0])).remark, "老客户");
});

sdkTest("tags are made, given and deleted", async (stage) => {
  const { ask } = newApi(stage);
  const openid = await stage.follower();
  const { id } = (await ask("createTag", "会员")).tag;
  await ask("membersBatchtagging", id, [openid]);
  assert.equal((await ask("getTags")).tags.find((tag) => tag.id === id).name, "会员");
  assert.deepEqual((await ask("getUserTags", openid)).tagid_list, [id]);
  assert.deepEqual((await ask("getTagUsers", id, "")).data.openid, [openid]);
  await ask("membersBatchuntagging", id, [openid]);
  assert.deepEqual((await ask("getUserTags", openid)).tagid_list, []);
  await ask("deleteTag", id);
  assert.ok((await ask("getTags")).tags.every((tag) => tag.id !== id));
});

sdkTest("QR codes can be scanned", async (stage) => {
  const { ask } = newApi(stage);
  for (const { ticket } of [await ask("createTmpQRCode", "推广", 600), await ask("createLimitQRCode", 42)]) {
    assert.ok((await stage.sim("POST", "scan", { ticket })).openid);
  }
});

sdkTest("a page signed with the ticket is accepted", async (stage) => {
  const { ask } = newApi(stage);
  await stage.acceptsSignature(await ask("getJsConfig", { url: PAGE, jsApiList: [] }));
  assert.ok((await ask("getTicket", "wx_card")).ticket);
  assert.match((await ask("getCardExt", { card_id: "pFS7Fjg8kV1IdDz01r4SQwMkuCKc" })).signature, /^[0-9a-f]{40}$/);
});

sdkTest("addresses and agents are listed", async (stage) => {
  const { ask } = newApi(stage);
  assert.ok((await ask("getIp")).ip_list.length > 0);
  assert.ok(Array.isArray((await ask("getCustomServiceList")).kf_list));
});

sdkTest("a temporary picture comes back as it was", async (stage) => {
  const { ask } = newApi(stage);
  const { path, bytes } = stage.picture();
  const { media_id: mediaId } = await ask("uploadMedia", path, "image");
  assert.ok(bytes.equals(await ask("getMedia", mediaId)));
  assert.match((await ask("uploadImage", stage.picture(SMALL).path)).url, /^http/);
});

sdkTest("permanent material is kept until it is deleted", async (stage) => {
  const { ask } = newApi(stage);
  const { path, bytes } = stage.picture();
  const { media_id: mediaId } = await ask("uploadImageMaterial", path);
  assert.ok(bytes.equals(await ask("getMaterial", mediaId)));
  assert.equal((await ask("getMaterialCount")).image_count, 1);
  assert.deepEqual((await ask("getMaterials", "image", 0, 20)).item.map((item) => item.media_id), [mediaId]);
  await ask("removeMaterial", mediaId);
  assert.equal((await ask("getMaterialCount")).image_count, 0);
});

// `patch` is how wechat-api takes up an API that is newer than itself.
sdkTest("a draft is written, changed and published", async (stage) => {
  for (const [name, path] of [
    ["addDraft", "draft/add"], ["getDraft", "draft/get"], ["updateDraft", "draft/update"], ["listDrafts", "draft/batchget"],
    ["deleteDraft", "draft/delete"], ["publish", "freepublish/submit"],
  ]) WechatAPI.patch(name, `${stage.api}/cgi-bin/${path}`);
  const { ask } = newApi(stage);
  const { media_id: cover } = await ask("uploadImageMaterial", stage.picture().path);
  const first = article("标题", cover);
  const { media_id: draft } = await ask("addDraft", { articles: [first] });
  const [written] = (await ask("getDraft", { media_id: draft })).news_item;
  assert.deepEqual([written.title, written.content], [first.title, first.content]);
  await ask("updateDraft", { media_id: draft, index: 0, articles: article("新标题", cover) });
  const { media_id: other } = await ask("addDraft", { articles: [first] });
  await ask("deleteDraft", { media_id: other });
  const listed = await ask("listDrafts", { offset: 0, count: 20, no_content: 0 });
  assert.deepEqual(listed.item.map(({ content }) => content.news_item[0].title), ["新标题"]);
  assert.ok((await ask("publish", { media_id: draft })).publish_id);
});

relayTest("a token that dies is replaced unnoticed", async (stage) => {
  const { api, ask } = newApi(stage);
  await ask("getFollowers");
  const own = api.store.accessToken;
  await stage.endTokens();
  const { path, bytes } = stage.picture();
  const { media_id: mediaId } = await ask("uploadMedia", path, "image");
  assert.ok(bytes.equals(await ask("getMedia", mediaId)));
  assert.equal(api.store.accessToken, own);
});

// wechat-api itself would repeat the call with the same token, and report the error for two hours.
relayTest("a token refused once is replaced unnoticed", async (stage) => {
  const { api, ask } = newApi(stage);
  await promisify(api.getAccessToken).call(api);
  await stage.refuseTokenOnce("/cgi-bin/user/get");
  assert.equal((await ask("getFollowers")).total, 1);
  assert.equal(await stage.calls("/cgi-bin/user/get"), 2);
});

relayTest("an answer that is lost is an error, and repeats nothing", async (stage) => {
  const { ask } = newApi(stage);
  const openid = await stage.follower();
  await stage.loseNextAnswer("/cgi-bin/message/template/send");
  await assert.rejects(ask("sendTemplate", openid, "TEMPLATE_ID", "", TEMPLATE_DATA));
  assert.equal(await stage.calls("/cgi-bin/message/template/send"), 1);
});

relayTest("a revoked key is an error", async (stage) => {
  const { ask } = newApi(stage);
  await ask("getFollowers");
  await stage.revokeKey();
  await stage.refusal(() => ask("getFollowers"), refused(40001));
  await assert.rejects(newApi(stage).ask("getFollowers"), { code: 40125 });
});
