// co-wechat-api against the relay.

import assert from "node:assert/strict";
import WechatAPI from "co-wechat-api";
import { MENU, PAGE, SMALL, TEMPLATE_DATA, relayTest, sdkTest } from "./start.js";

function newApi(stage) {
  const api = new WechatAPI(stage.appId, stage.secret);
  api.prefix = `${stage.api}/cgi-bin/`;
  api.customservicePrefix = `${stage.api}/customservice/`;
  api.wxaPrefix = `${stage.api}/wxa/`;
  return api;
}

const refused = (...codes) => (error) => codes.includes(error.code);

sdkTest("messages reach the phone", async (stage) => {
  const api = newApi(stage);
  const openid = await stage.follower();
  await api.sendTemplate(openid, "TEMPLATE_ID", "https://example.com/?a=b&c=d", "#173177", TEMPLATE_DATA);
  await api.sendText(openid, "您好，\"我\"是客服 🎉");
  const phone = await stage.phone(openid);
  for (const part of ["项目审核", "https://example.com/?a=b&c=d", "是客服 🎉"]) assert.ok(phone.includes(part), phone);
});

sdkTest("an error of WeChat arrives with its errcode", async (stage) => {
  const api = newApi(stage);
  const openid = await stage.follower();
  await assert.rejects(api.sendTemplate(openid, "NO_SUCH_TEMPLATE", "", "", TEMPLATE_DATA), { code: 40037, message: /rid/ });
});

sdkTest("a menu is made, read and deleted", async (stage) => {
  const api = newApi(stage);
  await api.createMenu(MENU);
  assert.deepEqual((await api.getMenu()).menu.button.map(({ name }) => name), ["今日歌曲", "菜单"]);
  await api.removeMenu();
  await assert.rejects(api.getMenu(), { code: 46003 });
});

sdkTest("followers are listed and described", async (stage) => {
  const api = newApi(stage);
  const openids = [await stage.follower(), await stage.follower()];
  const listed = await api.getFollowers();
  assert.ok(openids.every((openid) => listed.data.openid.includes(openid)));
  assert.equal((await api.getUser({ openid: openids[0], lang: "zh_CN" })).subscribe, 1);
  assert.deepEqual((await api.batchGetUsers(openids)).user_info_list.map(({ openid }) => openid), openids);
  await api.updateRemark(openids[0], "老客户");
  assert.equal((await api.getUser(openids[0])).remark, "老客户");
});

sdkTest("tags are made, given and deleted", async (stage) => {
  const api = newApi(stage);
  const openid = await stage.follower();
  const { id } = (await api.createTags("会员")).tag;
  await api.batchTagging([openid], id);
  assert.equal((await api.getTags()).tags.find((tag) => tag.id === id).name, "会员");
  assert.deepEqual((await api.getIdList(openid)).tagid_list, [id]);
  assert.deepEqual((await api.getUsersFromTag(id)).data.openid, [openid]);
  await api.batchUnTagging([openid], id);
  assert.deepEqual((await api.getIdList(openid)).tagid_list, []);
  await api.deleteTag(id);
  assert.ok((await api.getTags()).tags.every((tag) => tag.id !== id));
});

sdkTest("QR codes can be scanned", async (stage) => {
  const api = newApi(stage);
  for (const { ticket } of [await api.createTmpQRCode("推广", 600), await api.createLimitQRCode(42)]) {
    assert.ok((await stage.sim("POST", "scan", { ticket })).openid);
  }
});

sdkTest("a page signed with the ticket is accepted", async (stage) => {
  const api = newApi(stage);
  await stage.acceptsSignature(await api.getJsConfig({ url: PAGE, jsApiList: [] }));
  assert.ok((await api.getTicket("wx_card")).ticket);
  assert.match((await api.getCardExt({ card_id: "pFS7Fjg8kV1IdDz01r4SQwMkuCKc" })).signature, /^[0-9a-f]{40}$/);
});

sdkTest("addresses and agents are listed", async (stage) => {
  const api = newApi(stage);
  assert.ok((await api.getIp()).ip_list.length > 0);
  assert.ok(Array.isArray((await api.getCustomServiceList()).kf_list));
});

sdkTest("a temporary picture comes back as it was", async (stage) => {
  const api = newApi(stage);
  const { path, bytes } = stage.picture();
  const { media_id: mediaId } = await api.uploadImageMedia(path);
  assert.ok(bytes.equals(await api.getMedia(mediaId)));
  const { media_id: other } = await api.uploadMedia(bytes, "image", "picture.png", "image/png");
  assert.ok(bytes.equals(await api.getMedia(other)));
  assert.match((await api.uploadImage(stage.picture(SMALL).path)).url, /^http/);
});

sdkTest("permanent material is kept until it is deleted", async (stage) => {
  const api = newApi(stage);
  const { path, bytes } = stage.picture();
  const { media_id: mediaId } = await api.uploadImageMaterial(path);
  assert.ok(bytes.equals(await api.getMaterial(mediaId)));
  assert.equal((await api.getMaterialCount()).image_count, 1);
  assert.deepEqual((await api.getMaterials("image", 0, 20)).item.map((item) => item.media_id), [mediaId]);
  await api.removeMaterial(mediaId);
  await assert.rejects(api.getMaterial(mediaId), { code: 40007 });
});

relayTest("a token that dies is replaced unnoticed", async (stage) => {
  const api = newApi(stage);
  await api.getFollowers();
  const own = api.store.accessToken;
  await stage.endTokens();
  // co-wechat-api itself would wait for a file that it has already sent.
  const { path, bytes } = stage.picture();
  const { media_id: mediaId } = await api.uploadImageMedia(path);
  assert.ok(bytes.equals(await api.getMedia(mediaId)));
  assert.equal(api.store.accessToken, own);
});

relayTest("a token refused once is replaced unnoticed", async (stage) => {
  const api = newApi(stage);
  const { accessToken: own } = await api.getAccessToken();
  await stage.refuseTokenOnce("/cgi-bin/user/get");
  assert.equal((await api.getFollowers()).total, 1);
  assert.equal(await stage.calls("/cgi-bin/user/get"), 2);
  assert.equal(api.store.accessToken, own);
});

relayTest("an answer that is lost is an error, and repeats nothing", async (stage) => {
  const api = newApi(stage);
  const openid = await stage.follower();
  await stage.loseNextAnswer("/cgi-bin/message/template/send");
  await assert.rejects(api.sendTemplate(openid, "TEMPLATE_ID", "", "", TEMPLATE_DATA));
  assert.equal(await stage.calls("/cgi-bin/message/template/send"), 1);
});

relayTest("a revoked key is an error", async (stage) => {
  const api = newApi(stage);
  await api.getFollowers();
  await stage.revokeKey();
  await stage.refusal(() => api.getFollowers(), refused(40001, 40125));
  await assert.rejects(newApi(stage).getFollowers(), { code: 40125 });
});
