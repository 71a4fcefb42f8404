"""wechatpy against the relay.

Its `API_BASE_URL` does not move its request for a token, so the adapter is mounted on its session.
"""

import time

import pytest
from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException

from start import MENU, TEMPLATE_DATA, article, needs_relay
from to_bundle import ToBundle


@pytest.fixture
def client(stage):
    return new_client(stage)


def new_client(stage):
    client = WeChatClient(stage.app_id, stage.secret, timeout=20)
    client._http.mount("https://api.weixin.qq.com/", ToBundle(stage.api))
    return client


def test_messages_reach_the_phone(stage, client):
    openid = stage.follower()
    sent = client.message.send_template(openid, "TEMPLATE_ID", TEMPLATE_DATA, url="https://example.com/?a=b&c=d")
    assert sent["errcode"] == 0 and sent["msgid"] > 0
    client.message.send_text(openid, "您好，\"我\"是客服 🎉")
    phone = stage.phone(openid)
    assert "项目审核" in phone and "https://example.com/?a=b&c=d" in phone and "是客服 🎉" in phone


def test_an_error_of_wechat_arrives_with_its_errcode(stage, client):
    openid = stage.follower()
    with pytest.raises(WeChatClientException) as refusal:
        client.message.send_template(openid, "NO_SUCH_TEMPLATE", TEMPLATE_DATA)
    assert refusal.value.errcode == 40037 and "rid" in refusal.value.errmsg


def test_a_menu_is_made_read_and_deleted(client):
    assert client.menu.get() is None
    client.menu.create(MENU)
    names = [button["name"] for button in client.menu.get()["menu"]["button"]]
    assert names == ["今日歌曲", "菜单"]
    client.menu.delete()
    assert client.menu.get() is None


def test_followers_are_listed_and_described(stage, client):
    openids = [stage.follower(), stage.follower()]
    assert set(openids) <= set(client.user.iter_followers())
    assert client.user.get(openids[0])["subscribe"] == 1
    assert [user["openid"] for user in client.user.get_batch(openids)] == openids
    client.user.update_remark(openids[0], "老客户")
    assert client.user.get(openids[0])["remark"] == "老客户"


def test_tags_are_made_given_and_deleted(stage, client):
    openid = stage.follower()
    tag = client.tag.create("会员")
    client.tag.tag_user(tag["id"], openid)
    assert [each["name"] for each in client.tag.get() if each["id"] == tag["id"]] == ["会员"]
    assert client.tag.get_user_tag(openid) == [tag["id"]]
    assert list(client.tag.iter_tag_users(tag["id"])) == [openid]
    client.tag.untag_user(tag["id"], openid)
    assert client.tag.get_user_tag(openid) == []
    client.tag.delete(tag["id"])
    assert tag["id"] not in [each["id"] for each in client.tag.get()]


def test_a_qr_code_can_be_scanned(stage, client):
    scene = {"scene": {"scene_str": "推广"}}
    code = client.qrcode.create({"expire_seconds": 600, "action_name": "QR_STR_SCENE", "action_info": scene})
    assert stage.sim("POST", "scan", {"ticket": code["ticket"]})["openid"]


def test_a_page_signed_with_the_ticket_is_accepted(stage, client):
    url, timestamp = "https://example.com/page?a=b", int(time.time())
    ticket = client.jsapi.get_jsapi_ticket()
    signature = client.jsapi.get_jsapi_signature("nonce", ticket, timestamp, url)
    assert stage.accepts_signature(url, timestamp, "nonce", signature)
    assert client.jsapi.get_jsapi_card_ticket() not in ("", ticket)


def test_addresses_and_agents_are_listed(client):
    assert client.misc.get_wechat_ips()
    assert isinstance(client.customservice.get_accounts(), list)


def test_a_temporary_picture_comes_back_as_it_was(client, picture, small_picture):
    with picture.open("rb") as file:
        uploaded = client.media.upload("image", file)
    downloaded = client.media.download(uploaded["media_id"])
    assert downloaded.content == picture.read_bytes()
    assert downloaded.headers["content-type"].startswith("image/")
    assert "filename" in downloaded.headers["content-disposition"]
    with small_picture.open("rb") as file:
        assert client.media.upload_image(file).startswith("http")


def test_permanent_material_is_kept_until_it_is_deleted(client, picture):
    with picture.open("rb") as file:
        media_id = client.material.add("image", file)["media_id"]
    assert client.material.get(media_id).content == picture.read_bytes()
    assert client.material.get_count()["image_count"] == 1
    assert [each["media_id"] for each in client.material.batchget("image")["item"]] == [media_id]
    client.material.delete(media_id)
    with pytest.raises(WeChatClientException) as missing:
        client.material.get(media_id)
    assert missing.value.errcode == 40007


def test_a_draft_is_written_changed_and_published(client, picture):
    """wechatpy is older than drafts: its users call them by `client.post`."""
    with picture.open("rb") as file:
        cover = client.material.add("image", file)["media_id"]
    first = article("标题", cover)
    draft = client.post("draft/add", data={"articles": [first]})["media_id"]
    written = client.post("draft/get", data={"media_id": draft})["news_item"][0]
    assert (written["title"], written["content"]) == (first["title"], first["content"])
    client.post("draft/update", data={"media_id": draft, "index": 0, "articles": article("新标题", cover)})
    listed = client.post("draft/batchget", data={"offset": 0, "count": 20, "no_content": 0})
    assert [each["content"]["news_item"][0]["title"] for each in listed["item"]] == ["新标题"]
    other = client.post("draft/add", data={"articles": [first]})["media_id"]
    client.post("draft/delete", data={"media_id": other})
    assert client.get("draft/count")["total_count"] == 1
    assert client.post("freepublish/submit", data={"media_id": draft})["publish_id"]


@needs_relay
def test_a_token_that_dies_is_replaced_unnoticed(stage, client, picture):
    client.user.get_followers()
    own = client.access_token
    stage.end_tokens()
    # wechatpy itself would send an empty file again: it has read this one to its end.
    with picture.open("rb") as file:
        uploaded = client.media.upload("image", file)
    assert client.media.download(uploaded["media_id"]).content == picture.read_bytes()
    assert client.access_token == own


@needs_relay
def test_a_token_refused_once_is_replaced_unnoticed(stage, client):
    own = client.access_token
    stage.refuse_token_once("/cgi-bin/user/get")
    assert client.user.get_followers()["total"] == 1
    assert stage.paths().count("/cgi-bin/user/get") == 2
    assert client.access_token == own


@needs_relay
def test_an_answer_that_is_lost_is_an_error_and_repeats_nothing(stage, client):
    openid = stage.follower()
    stage.lose_next_answer("/cgi-bin/message/template/send")
    with pytest.raises(WeChatClientException):
        client.message.send_template(openid, "TEMPLATE_ID", TEMPLATE_DATA)
    assert stage.paths().count("/cgi-bin/message/template/send") == 1


@needs_relay
def test_a_revoked_key_is_an_error(stage, client):
    client.user.get_followers()
    stage.revoke_key()
    refusal = stage.refusal(client.user.get_followers, WeChatClientException)
    assert refusal.errcode in (40001, 40125)
    with pytest.raises(WeChatClientException) as unknown:
        new_client(stage).user.get_followers()
    assert unknown.value.errcode == 40125
