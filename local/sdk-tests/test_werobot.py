"""WeRoBot against the relay.

It has no setting for the API's host and no session: its module gets one with the adapter in place of `requests`.
"""

import pytest
import requests
import werobot.client
from werobot import WeRoBot
from werobot.client import ClientException

from start import MENU, TEMPLATE_DATA, article, needs_relay
from to_bundle import ToBundle


@pytest.fixture
def client(stage, monkeypatch):
    session = requests.Session()
    # WeRoBot sends the picture of an agent by http.
    for scheme in "https", "http":
        session.mount(f"{scheme}://api.weixin.qq.com/", ToBundle(stage.api))
    monkeypatch.setattr(werobot.client, "requests", session)
    return new_client(stage)


def new_client(stage):
    robot = WeRoBot(token="callbacktoken")
    robot.config["APP_ID"] = stage.app_id
    robot.config["APP_SECRET"] = stage.secret
    return robot.client


def test_messages_reach_the_phone(stage, client):
    openid = stage.follower()
    sent = client.send_template_message(openid, "TEMPLATE_ID", TEMPLATE_DATA, url="https://example.com/?a=b&c=d")
    assert sent["errcode"] == 0 and sent["msgid"] > 0
    client.send_text_message(openid, "您好，\"我\"是客服 🎉")
    phone = stage.phone(openid)
    assert "项目审核" in phone and "https://example.com/?a=b&c=d" in phone and "是客服 🎉" in phone


def test_an_error_of_wechat_arrives_with_its_errcode(stage, client):
    openid = stage.follower()
    with pytest.raises(ClientException, match="^40037: .*rid"):
        client.send_template_message(openid, "NO_SUCH_TEMPLATE", TEMPLATE_DATA)


def test_a_menu_is_made_read_and_deleted(client):
    client.create_menu(MENU)
    names = [button["name"] for button in client.get_menu()["menu"]["button"]]
    assert names == ["今日歌曲", "菜单"]
    client.delete_menu()
    with pytest.raises(ClientException, match="^46003: "):
        client.get_menu()


def test_followers_are_listed_and_described(stage, client):
    openids = [stage.follower(), stage.follower()]
    assert set(openids) <= set(client.get_followers()["data"]["openid"])
    assert client.get_user_info(openids[0])["subscribe"] == 1
    assert [user["openid"] for user in client.get_users_info(openids)["user_info_list"]] == openids
    client.remark_user(openids[0], "老客户")
    assert client.get_user_info(openids[0])["remark"] == "老客户"


def test_tags_are_made_given_and_deleted(stage, client):
    openid = stage.follower()
    tag = client.create_tag("会员")["tag"]["id"]
    client.tag_users(tag, [openid])
    assert [each["name"] for each in client.get_tags()["tags"] if each["id"] == tag] == ["会员"]
    assert client.get_tags_by_user(openid)["tagid_list"] == [tag]
    assert client.get_users_by_tag(tag)["data"]["openid"] == [openid]
    client.untag_users(tag, [openid])
    assert client.get_tags_by_user(openid)["tagid_list"] == []
    client.delete_tag(tag)
    assert tag not in [each["id"] for each in client.get_tags()["tags"]]


def test_a_qr_code_can_be_scanned(stage, client):
    scene = {"scene": {"scene_str": "推广"}}
    code = client.create_qrcode({"expire_seconds": 600, "action_name": "QR_STR_SCENE", "action_info": scene})
    assert stage.sim("POST", "scan", {"ticket": code["ticket"]})["openid"]


def test_addresses_and_agents_are_listed(client):
    assert client.get_ip_list()["ip_list"]
    assert isinstance(client.get_custom_service_account_list()["kf_list"], list)


def test_a_temporary_picture_comes_back_as_it_was(client, picture, small_picture):
    with picture.open("rb") as file:
        uploaded = client.upload_media("image", file)
    downloaded = client.download_media(uploaded["media_id"])
    assert downloaded.content == picture.read_bytes()
    assert downloaded.headers["content-type"].startswith("image/")
    with small_picture.open("rb") as file:
        assert client.upload_news_picture(file)["url"].startswith("http")


def test_permanent_material_is_kept_until_it_is_deleted(client, picture):
    with picture.open("rb") as file:
        media_id = client.upload_permanent_media("image", file)["media_id"]
    assert client.download_permanent_media(media_id).content == picture.read_bytes()
    assert client.get_media_count()["image_count"] == 1
    assert [each["media_id"] for each in client.get_media_list("image", 0, 20)["item"]] == [media_id]
    client.delete_permanent_media(media_id)
    assert client.download_permanent_media(media_id).json()["errcode"] == 40007


def test_a_draft_is_written_changed_and_published(client, picture):
    """WeRoBot is older than drafts: its users call them by `client.post`."""

    def post(path, data):
        return client.post(url=f"https://api.weixin.qq.com/cgi-bin/{path}", data=data)

    with picture.open("rb") as file:
        cover = client.upload_permanent_media("image", file)["media_id"]
    first = article("标题", cover)
    draft = post("draft/add", {"articles": [first]})["media_id"]
    written = post("draft/get", {"media_id": draft})["news_item"][0]
    assert (written["title"], written["content"]) == (first["title"], first["content"])
    post("draft/update", {"media_id": draft, "index": 0, "articles": article("新标题", cover)})
    listed = post("draft/batchget", {"offset": 0, "count": 20, "no_content": 0})
    assert [each["content"]["news_item"][0]["title"] for each in listed["item"]] == ["新标题"]
    other = post("draft/add", {"articles": [first]})["media_id"]
    post("draft/delete", {"media_id": other})
    assert client.get("https://api.weixin.qq.com/cgi-bin/draft/count")["total_count"] == 1
    assert post("freepublish/submit", {"media_id": draft})["publish_id"]


@needs_relay
def test_a_token_that_dies_is_replaced_unnoticed(stage, client, picture):
    client.get_followers()
    own = client.token
    stage.end_tokens()
    with picture.open("rb") as file:
        uploaded = client.upload_media("image", file)
    assert client.download_media(uploaded["media_id"]).content == picture.read_bytes()
    assert client.token == own


@needs_relay
def test_a_token_refused_once_is_replaced_unnoticed(stage, client):
    """WeRoBot itself would report this error for two hours: it renews its token by the clock alone."""
    stage.refuse_token_once("/cgi-bin/user/get")
    assert client.get_followers()["total"] == 1
    assert stage.paths().count("/cgi-bin/user/get") == 2


@needs_relay
def test_an_answer_that_is_lost_is_an_error_and_repeats_nothing(stage, client):
    openid = stage.follower()
    stage.lose_next_answer("/cgi-bin/message/template/send")
    with pytest.raises(requests.HTTPError):
        client.send_template_message(openid, "TEMPLATE_ID", TEMPLATE_DATA)
    assert stage.paths().count("/cgi-bin/message/template/send") == 1


@needs_relay
def test_a_revoked_key_is_an_error(stage, client):
    client.get_followers()
    stage.revoke_key()
    assert str(stage.refusal(client.get_followers, ClientException)).startswith("40001: ")
    with pytest.raises(ClientException, match="^40125: "):
        new_client(stage).get_followers()
