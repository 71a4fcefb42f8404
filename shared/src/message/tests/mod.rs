mod samples;

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;

use super::*;

fn read(body: &str) -> Callback {
    Callback::from_document(Tree::parse(body.as_bytes()).unwrap()).unwrap()
}

/// A callback of user `o1` at second 1 with `rest` after the envelope.
fn callback(rest: &str) -> Callback {
    read(&format!(
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>o1</FromUserName><CreateTime>1</CreateTime>{rest}</xml>"
    ))
}

/// An event of user `o1` at second 1.
fn event(name: &str, rest: &str) -> Callback {
    callback(&format!("<MsgType>event</MsgType><Event>{name}</Event>{rest}"))
}

#[track_caller]
fn assert_event(callback: &Callback, expected: &Event) {
    assert_eq!(callback.content, Content::Event(expected.clone()));
}

fn message(msg_id: &str, kind: MessageKind) -> Content {
    Content::Message(Message {
        msg_id: Some(msg_id.to_owned()),
        article: None,
        kind,
    })
}

fn s(text: &str) -> String {
    text.to_owned()
}

fn o(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn numbers_of_json_bodies_keep_their_digits() {
    let callback = read(
        "{\"ToUserName\":\"gh_1\",\"FromUserName\":\"o1\",\"CreateTime\":1767225800,\"MsgType\":\"event\",\
         \"Event\":\"TEMPLATESENDJOBFINISH\",\"MsgID\":3428411849815982087,\"Status\":\"success\"}",
    );
    assert_eq!(callback.created_at, 1_767_225_800);
    let Content::Event(Event::TemplateSendJobFinish { msg_id, .. }) = &callback.content else {
        panic!("{callback:?}")
    };
    assert_eq!(msg_id.as_deref(), Some("3428411849815982087"));
}

#[test]
fn lists_of_json_bodies_stand_in_the_document_as_one_or_many() {
    for (list, count) in [
        ("{\"TemplateId\":\"t\"}", 1),
        ("[{\"TemplateId\":\"t\"},{\"TemplateId\":\"u\"}]", 2),
    ] {
        let body = format!("{{\"MsgType\":\"event\",\"Event\":\"subscribe_msg_popup_event\",\"List\":{list}}}");
        let Content::Event(Event::SubscribeMsgPopup { choices }) = read(&body).content else {
            panic!("{body}")
        };
        assert_eq!(choices.len(), count);
        assert!(
            choices.iter().all(|choice| !choice.accepted),
            "without a status there is no consent"
        );
    }
}

#[test]
fn names_match_in_any_case_and_are_reported_as_spelt() {
    let scan = event("scan", "<EventKey>qrscene_1</EventKey>");
    assert_event(
        &scan,
        &Event::Scan {
            scene: s("qrscene_1"),
            ticket: None,
        },
    );
    let finish = event("TemplateSendJobFinish", "<MsgID>1</MsgID><Status>success</Status>");
    assert_eq!(finish.event_name(), Some("TemplateSendJobFinish"));
    assert_eq!(finish.to_json()["event"]["type"], "templatesendjobfinish");
    assert_event(
        &event("Subscribe", ""),
        &Event::Subscribe {
            scene: None,
            ticket: None,
            last_trade_no: None,
        },
    );
    let upper = callback("<MsgType>TEXT</MsgType><Content>x</Content>");
    assert_eq!(upper.msg_type(), "TEXT");
    assert!(matches!(
        upper.content,
        Content::Message(Message {
            kind: MessageKind::Text { .. },
            ..
        })
    ));
}

#[test]
fn a_kind_is_one_of_a_small_set() {
    for (callback, kind) in [
        (callback("<MsgType>Text</MsgType>"), "text"),
        (callback("<MsgType>made up</MsgType>"), "unknown"),
        (event("CLICK", ""), "event.click"),
        (event("made up", ""), "event.unknown"),
        (read("<xml><InfoType>made up</InfoType></xml>"), "third_party_platform"),
    ] {
        assert_eq!(callback.kind(), kind);
    }
}

#[test]
fn messages_and_events_of_one_name_stay_apart() {
    let message = callback("<MsgType>location</MsgType><Event>LOCATION</Event><Location_X>1</Location_X>");
    assert!(matches!(
        message.content,
        Content::Message(Message {
            kind: MessageKind::Location { .. },
            ..
        })
    ));
    assert_eq!(message.event_name(), None);
    assert_event(
        &event("LOCATION", "<Latitude>1</Latitude>"),
        &Event::Location {
            latitude: Some(1.0),
            longitude: None,
            precision: None,
        },
    );
}

#[test]
fn a_subscription_tells_where_it_came_from() {
    let from = |key: &str| event("subscribe", &format!("<EventKey><![CDATA[{key}]]></EventKey>"));
    assert_event(
        &from("qrscene_123"),
        &Event::Subscribe {
            scene: o("123"),
            ticket: None,
            last_trade_no: None,
        },
    );
    assert_event(
        &from("last_trade_no_4200"),
        &Event::Subscribe {
            scene: None,
            ticket: None,
            last_trade_no: o("4200"),
        },
    );
    for other in ["", "qrscene_", "scanbarcode|ean13|6900", "123"] {
        let callback = from(other);
        assert_event(
            &callback,
            &Event::Subscribe {
                scene: None,
                ticket: None,
                last_trade_no: None,
            },
        );
        assert_eq!(callback.event_key().unwrap_or_default(), other);
    }
    assert_eq!(from("").event_key(), None);
}

#[test]
fn missing_empty_and_repeated_fields_are_not_errors() {
    let bare = read("<xml><MsgType>text</MsgType></xml>");
    assert_eq!((bare.to.as_str(), bare.from.as_str(), bare.created_at), ("", "", 0));
    let empty = callback("<MsgType>image</MsgType><PicUrl/><MediaId></MediaId><MsgId><![CDATA[]]></MsgId><Idx></Idx>");
    assert_eq!(
        empty.content,
        Content::Message(Message {
            msg_id: None,
            article: None,
            kind: MessageKind::Image {
                pic_url: s(""),
                media_id: s("")
            }
        })
    );
    let repeated = callback("<MsgType>text</MsgType><Content>1</Content><Content>2</Content><MsgId>\n 7 \n</MsgId>");
    assert_eq!(
        repeated.content,
        message(
            "7",
            MessageKind::Text {
                content: s("1"),
                menu_id: None
            }
        )
    );
    assert_event(
        &event("SCAN", ""),
        &Event::Scan {
            scene: s(""),
            ticket: None,
        },
    );
    assert_event(&event("", ""), &Event::Unknown { event: s("") });
    let control = callback("<MsgType>text</MsgType><Content><![CDATA[a\u{1d}b]]></Content><MsgId>8</MsgId>");
    assert_eq!(
        control.content,
        message(
            "8",
            MessageKind::Text {
                content: s("a\u{1d}b"),
                menu_id: None
            }
        )
    );
}

#[test]
fn every_photo_counts_whatever_count_says() {
    let lists = "<SendPicsInfo><Count>1</Count><PicList><item><PicMd5Sum>a</PicMd5Sum></item>\
                 <item><PicMd5Sum>b</PicMd5Sum></item></PicList><PicList><item><PicMd5Sum>c</PicMd5Sum></item></PicList></SendPicsInfo>";
    let Content::Event(Event::PicWeixin(pictures)) = event("pic_weixin", lists).content else {
        panic!("{lists}")
    };
    assert_eq!(pictures.md5_sums, ["a", "b", "c"]);
}

#[test]
fn a_change_of_mind_is_read_in_its_older_wrapper_too() {
    let item = "<List><TemplateId>A</TemplateId><SubscribeStatusString>reject</SubscribeStatusString></List>";
    for wrapper in ["SubscribeMsgChangeEvent", "SubscribeMsgPopupEvent"] {
        let callback = event("subscribe_msg_change_event", &format!("<{wrapper}>{item}</{wrapper}>"));
        let choices = vec![SubscribeChoice {
            template_id: s("A"),
            accepted: false,
            popup_scene: None,
        }];
        assert_event(&callback, &Event::SubscribeMsgChange { choices });
    }
}

#[test]
fn refused_articles_of_a_publication_are_all_reported() {
    let info = "<PublishEventInfo><publish_id>1</publish_id><publish_status>2</publish_status>\
                <fail_idx>1</fail_idx><fail_idx>3</fail_idx></PublishEventInfo>";
    let Content::Event(Event::PublishJobFinish(result)) = event("PUBLISHJOBFINISH", info).content else {
        panic!("{info}")
    };
    assert_eq!((result.publish_status, result.failed_indexes), (Some(2), vec![1, 3]));
    assert_eq!((result.article_id, result.articles), (None, vec![]));
}

#[test]
fn events_without_a_sample_are_typed_too() {
    let times = "<ExpiredTime>5</ExpiredTime><FailTime>6</FailTime><FailReason>why</FailReason>";
    assert_event(
        &event("naming_verify_success", times),
        &Event::NamingVerifySuccess { expires_at: Some(5) },
    );
    assert_event(
        &event("annual_renew", times),
        &Event::AnnualRenew { expires_at: Some(5) },
    );
    assert_event(
        &event("verify_expired", times),
        &Event::VerifyExpired { expires_at: Some(5) },
    );
    assert_event(
        &event("naming_verify_fail", times),
        &Event::NamingVerifyFail {
            failed_at: Some(6),
            reason: s("why"),
        },
    );
    let user = AuthorizedUser {
        openid: s("o2"),
        unionid: None,
        app_id: s("wx1"),
        revoke_info: None,
    };
    let fields = "<OpenID>o2</OpenID><AppID>wx1</AppID>";
    assert_event(
        &event("user_info_modified", fields),
        &Event::UserInfoModified(user.clone()),
    );
    assert_event(
        &event("user_authorization_cancellation", fields),
        &Event::UserAuthorizationCancellation(user),
    );
    assert_event(&event("ENTER", ""), &Event::Enter);
    let page = callback(
        "<MsgType>miniprogrampage</MsgType><Title>t</Title><AppId>wx1</AppId><PagePath>p</PagePath><MsgId>1</MsgId>",
    );
    assert_eq!(
        page.content,
        message(
            "1",
            MessageKind::MiniProgramPage {
                title: s("t"),
                app_id: s("wx1"),
                page_path: s("p"),
                thumb_url: s(""),
                thumb_media_id: s("")
            }
        )
    );
}

#[test]
fn unknown_callbacks_are_kept_whole() {
    let unknown = callback("<MsgType>device_event</MsgType><Event>bind</Event><DeviceID>d</DeviceID>");
    assert!(matches!(
        &unknown.content,
        Content::Message(Message { kind: MessageKind::Unknown { msg_type }, .. }) if msg_type == "device_event"
    ));
    assert_eq!(unknown.document().text("DeviceID"), Some("d"));
    assert_eq!(unknown.to_json()["document"]["DeviceID"], "d");

    assert_event(
        &callback("<Event>CLICK</Event><EventKey>k</EventKey>"),
        &Event::Click { key: s("k") },
    );
    let push = read("<xml><AppId>wx1</AppId><InfoType>component_verify_ticket</InfoType></xml>");
    assert_eq!(
        push.content,
        Content::ThirdPartyPlatform {
            info_type: s("component_verify_ticket")
        }
    );
    assert_eq!((push.msg_type(), push.event_name()), ("", None));
    for other in [
        "<xml/>",
        "<xml><ToUserName>gh_1</ToUserName><Encrypt>x</Encrypt></xml>",
        "<xml><MsgType/></xml>",
        "{}",
    ] {
        let document = Tree::parse(other.as_bytes()).unwrap();
        assert_eq!(Callback::from_document(document), Err(NotACallback), "{other}");
    }
}

#[test]
fn delivery_status_is_read_with_or_without_spaces() {
    for (text, status) in [
        ("success", DeliveryStatus::Delivered),
        (" Success ", DeliveryStatus::Delivered),
        ("failed:user block", DeliveryStatus::Blocked),
        ("failed: user block", DeliveryStatus::Blocked),
        ("failed:user block by rule", DeliveryStatus::Blocked),
        ("failed:freq limit", DeliveryStatus::FrequencyLimited),
        ("Failed: Freq Limited", DeliveryStatus::FrequencyLimited),
        ("failed: system failed", DeliveryStatus::Failed),
        ("failed:user refuse", DeliveryStatus::Failed),
        ("unsuccessful", DeliveryStatus::Failed),
        ("", DeliveryStatus::Failed),
    ] {
        assert_eq!(DeliveryStatus::parse(text), status, "{text:?}");
    }
}

#[test]
fn mass_send_status_is_read_in_its_spellings() {
    for (text, status) in [
        ("sendsuccess", MassSendStatus::Success),
        ("send success", MassSendStatus::Success),
        ("send fail", MassSendStatus::Failed),
        ("err(40001)", MassSendStatus::Refused { code: 40001 }),
        ("err(x)", MassSendStatus::Failed),
    ] {
        let callback = event("MASSSENDJOBFINISH", &format!("<MsgID>1</MsgID><Status>{text}</Status>"));
        let Content::Event(Event::MassSendJobFinish(result)) = callback.content else {
            panic!("{text}")
        };
        assert_eq!((result.status, result.status_text.as_str()), (status, text));
        assert_eq!((result.copyright_check, result.article_urls), (None, vec![]));
    }
}

#[test]
fn deliveries_of_one_callback_share_their_key() {
    let first = event("SCAN", "<EventKey><![CDATA[1]]></EventKey><Ticket>t</Ticket>").dedup_key();
    let again = read(
        "<?xml version=\"1.0\"?>\n<xml>\n <Ticket><![CDATA[t]]></Ticket> <EventKey>1</EventKey> <Event>SCAN</Event>\n\
         <MsgType>event</MsgType> <CreateTime> 1 </CreateTime> <Encrypt>differs each time</Encrypt>\n\
         <FromUserName>o1</FromUserName> <ToUserName>gh_1</ToUserName>\n</xml>",
    );
    assert_eq!(first, again.dedup_key());
    assert!(
        first.len() == 64 && first.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')),
        "{first}"
    );

    let voice = "<MsgType>voice</MsgType><MsgId>9</MsgId>";
    let recognised = format!("{voice}<Recognition>x</Recognition>");
    assert_eq!(
        callback(voice).dedup_key(),
        callback(&recognised).dedup_key(),
        "the id decides"
    );
}

#[test]
fn different_callbacks_have_different_keys() {
    let receipt = |id| {
        event(
            "TEMPLATESENDJOBFINISH",
            &format!("<MsgID>{id}</MsgID><Status>success</Status>"),
        )
    };
    let sent = |id| {
        let list = format!("<List><TemplateId>t</TemplateId><MsgID>{id}</MsgID></List>");
        event(
            "subscribe_msg_sent_event",
            &format!("<SubscribeMsgSentEvent>{list}</SubscribeMsgSentEvent>"),
        )
    };
    let text = |to, from, second, id| {
        read(&format!(
            "<xml><ToUserName>{to}</ToUserName><FromUserName>{from}</FromUserName><CreateTime>{second}</CreateTime>\
             <MsgType>text</MsgType><Content>same</Content><MsgId>{id}</MsgId></xml>"
        ))
    };
    let callbacks = [
        receipt(1),
        receipt(2),
        sent(1),
        sent(2),
        event("CLICK", "<EventKey>a</EventKey>"),
        event("CLICK", "<EventKey>b</EventKey>"),
        event("VIEW", "<EventKey>a</EventKey>"),
        event("CLICK", ""),
        event("SCAN", "<EventKey>1</EventKey><Ticket>t</Ticket>"),
        event("SCAN", "<EventKey>1</EventKey><Ticket>u</Ticket>"),
        event("SCAN", "<EventKey>1t</EventKey>"),
        event("SCAN", "<EventKey></EventKey><Ticket>1t</Ticket>"),
        event("x", "<EventKey>y</EventKey>"),
        event("xEventKeyy", ""),
        event("x", "<MsgId>1</MsgId>"),
        event("y", "<MsgId>1</MsgId>"),
        event("x", "<MsgId>1</MsgId><EventKey>a</EventKey>"),
        event("x", "<MsgId>1</MsgId><Ticket>a</Ticket>"),
        event("x", "<MsgId>1</MsgId><UserCardCode>a</UserCardCode>"),
        event("user_get_card", "<UserCardCode>1</UserCardCode>"),
        event("user_get_card", "<UserCardCode>2</UserCardCode>"),
        event("user_authorization_revoke", "<OpenID>o1</OpenID>"),
        event("user_authorization_revoke", "<OpenID>o2</OpenID>"),
        text("gh_1", "o1", 1, 1),
        callback("<MsgType>image</MsgType><MsgId>1</MsgId>"),
        text("gh_1", "o2", 1, 1),
        text("gh_2", "o1", 1, 1),
        text("gh_1", "o1", 2, 1),
        text("gh_1", "o1", 1, 2),
        text("gh_1", "o1", 11, 0),
        text("gh_1", "o11", 1, 0),
    ];
    let keys: BTreeSet<String> = callbacks.iter().map(Callback::dedup_key).collect();
    assert_eq!(keys.len(), callbacks.len());
}

#[test]
fn the_bus_gets_envelope_fields_and_document() {
    let callback = event(
        "TEMPLATESENDJOBFINISH",
        "<MsgID>3428411849815982087</MsgID><Status>failed:user block</Status>",
    );
    assert_eq!(
        callback.to_json(),
        json!({
            "id": callback.dedup_key(),
            "to": "gh_1",
            "from": "o1",
            "created_at": 1,
            "event": {
                "type": "templatesendjobfinish",
                "msg_id": "3428411849815982087",
                "status": "blocked",
                "status_text": "failed:user block",
            },
            "document": {
                "ToUserName": "gh_1",
                "FromUserName": "o1",
                "CreateTime": "1",
                "MsgType": "event",
                "Event": "TEMPLATESENDJOBFINISH",
                "MsgID": "3428411849815982087",
                "Status": "failed:user block",
            },
        })
    );
}

fn any_callback() -> impl Strategy<Value = String> {
    const NAMES: &str = "MsgType Event EventKey MsgId MsgID Status CreateTime InfoType Idx List PicList item \
                         ScanCodeInfo SendPicsInfo PublishEventInfo ResultList fail_idx";
    const TEXTS: &str = "event text location SCAN subscribe qrscene_ masssendjobfinish err(1) err() failed: \
                         PUBLISHJOBFINISH subscribe_msg_sent_event -1 99999999999999999999 NaN \u{1d} 中";
    let name = || select(NAMES.split(' ').collect::<Vec<_>>());
    let text = select(TEXTS.split(' ').chain([""]).collect::<Vec<_>>());
    let leaf = (name(), text).prop_map(|(name, text)| format!("<{name}>{text}</{name}>"));
    let element = leaf.prop_recursive(3, 12, 4, move |inner| {
        (name(), vec(inner, 0..4)).prop_map(|(name, inner)| format!("<{name}>{}</{name}>", inner.concat()))
    });
    vec(element, 0..8).prop_map(|elements| format!("<xml>{}</xml>", elements.concat()))
}

proptest! {
    #[test]
    fn any_document_is_read_or_refused(body in any_callback()) {
        let document = Tree::parse(body.as_bytes()).unwrap();
        let known = ["MsgType", "Event", "InfoType"].iter().any(|name| document.word(name).is_some());
        let callback = Callback::from_document(document);
        prop_assert_eq!(callback.is_ok(), known);
        if let Ok(callback) = callback {
            prop_assert_eq!(&callback.to_json()["id"], &json!(callback.dedup_key()));
        }
    }
}
