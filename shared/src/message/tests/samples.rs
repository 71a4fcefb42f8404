//! The sample callbacks in `tests/data/callbacks`, each named by its type or event.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::{super::*, message, o, read, s};

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/callbacks")
}

/// The expected content of each sample message.
fn messages() -> Vec<(&'static str, Content)> {
    let article = Some(ArticleOrigin {
        msg_data_id: s("2650000001_1"),
        index: Some(1),
    });
    vec![
        (
            "text",
            Content::Message(Message {
                msg_id: o("24000000000000001"),
                article,
                kind: MessageKind::Text {
                    content: s("hello 世界"),
                    menu_id: None,
                },
            }),
        ),
        (
            "text_menu",
            message(
                "24000000000000002",
                MessageKind::Text {
                    content: s("满意"),
                    menu_id: o("101"),
                },
            ),
        ),
        (
            "image",
            message(
                "24000000000000003",
                MessageKind::Image {
                    pic_url: s("http://mmbiz.example/pic/0?a=1&b=2"),
                    media_id: s("media-img-1"),
                },
            ),
        ),
        (
            "voice",
            message(
                "24000000000000004",
                MessageKind::Voice {
                    media_id: s("media-voice-1"),
                    media_id_16k: o("media-voice-16k"),
                    format: s("amr"),
                    recognition: o("今天天气"),
                },
            ),
        ),
        (
            "video",
            message(
                "24000000000000005",
                MessageKind::Video {
                    media_id: s("media-video-1"),
                    thumb_media_id: s("media-thumb-1"),
                },
            ),
        ),
        (
            "shortvideo",
            message(
                "24000000000000006",
                MessageKind::ShortVideo {
                    media_id: s("media-sv-1"),
                    thumb_media_id: s("media-thumb-2"),
                },
            ),
        ),
        (
            "location",
            message(
                "24000000000000007",
                MessageKind::Location {
                    latitude: Some(31.230416),
                    longitude: Some(121.473701),
                    scale: Some(16),
                    label: s("上海市黄浦区某路1号"),
                },
            ),
        ),
        (
            "link",
            message(
                "24000000000000008",
                MessageKind::Link {
                    title: s("标题"),
                    description: s("描述"),
                    url: s("https://example.com/a?x=1&y=2"),
                },
            ),
        ),
    ]
}

/// The expected content of each sample event.
fn events() -> Vec<(&'static str, Event)> {
    let subscribe = || Event::Subscribe {
        scene: None,
        ticket: None,
        last_trade_no: None,
    };
    let pictures = |key: &str, md5_sums: &[&str]| Pictures {
        key: s(key),
        md5_sums: md5_sums.iter().map(|sum| s(sum)).collect(),
    };
    let finished = |msg_id: &str, status, status_text: &str| Event::TemplateSendJobFinish {
        msg_id: o(msg_id),
        status,
        status_text: s(status_text),
    };
    let choice = |template: &str, accepted, popup_scene| SubscribeChoice {
        template_id: s(template),
        accepted,
        popup_scene,
    };
    vec![
        ("subscribe", subscribe()),
        ("fixture_subscribe", subscribe()),
        (
            "subscribe_scene",
            Event::Subscribe {
                scene: o("order_42"),
                ticket: o("gQTICKETsample=="),
                last_trade_no: None,
            },
        ),
        ("unsubscribe", Event::Unsubscribe),
        (
            "scan",
            Event::Scan {
                scene: s("order_42"),
                ticket: o("gQTICKETsample=="),
            },
        ),
        (
            "location",
            Event::Location {
                latitude: Some(31.230416),
                longitude: Some(121.473701),
                precision: Some(65.0),
            },
        ),
        ("click", Event::Click { key: s("MENU_HELP") }),
        (
            "view",
            Event::View {
                url: s("https://example.com/?a=1&b=2"),
                menu_id: o("430000001"),
            },
        ),
        (
            "fixture_view",
            Event::View {
                url: s("https://zhjy.rchang.cn/api/project_audit/getOpenid?type=1"),
                menu_id: o("421351906"),
            },
        ),
        (
            "scancode_push",
            Event::ScanCodePush(ScanCode {
                key: s("MENU_SCAN"),
                scan_type: s("qrcode"),
                scan_result: s("https://example.com/q/1"),
            }),
        ),
        (
            "scancode_waitmsg",
            Event::ScanCodeWaitMsg(ScanCode {
                key: s("MENU_SCANW"),
                scan_type: s("qrcode"),
                scan_result: s("2"),
            }),
        ),
        (
            "pic_sysphoto",
            Event::PicSysPhoto(pictures("MENU_PIC1", &["00112233445566778899aabbccddeeff"])),
        ),
        (
            "pic_photo_or_album",
            Event::PicPhotoOrAlbum(pictures(
                "MENU_PIC2",
                &["00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"],
            )),
        ),
        (
            "pic_weixin",
            Event::PicWeixin(pictures("MENU_PIC3", &["0f0e0d0c0b0a09080706050403020100"])),
        ),
        (
            "location_select",
            Event::LocationSelect {
                key: s("MENU_LOC"),
                latitude: Some(31.23),
                longitude: Some(121.47),
                scale: Some(15),
                label: s(" 上海市某路2号"),
                poi_name: None,
            },
        ),
        (
            "view_miniprogram",
            Event::ViewMiniProgram {
                path: s("pages/index/index"),
                menu_id: o("430000001"),
            },
        ),
        (
            "templatesendjobfinish_success",
            finished("3000000000000000001", DeliveryStatus::Delivered, "success"),
        ),
        (
            "templatesendjobfinish_user_block",
            finished("3000000000000000002", DeliveryStatus::Blocked, "failed:user block"),
        ),
        (
            "templatesendjobfinish_system_failed",
            finished("3000000000000000003", DeliveryStatus::Failed, "failed: system failed"),
        ),
        (
            "templatesendjobfinish_freq_limit",
            finished(
                "3000000000000000004",
                DeliveryStatus::FrequencyLimited,
                "failed:freq limit",
            ),
        ),
        ("masssendjobfinish", Event::MassSendJobFinish(mass_send_result())),
        (
            "publishjobfinish",
            Event::PublishJobFinish(PublishResult {
                publish_id: o("2247500001"),
                publish_status: Some(0),
                article_id: o("art-0001"),
                articles: vec![ArticleUrl {
                    index: Some(1),
                    url: s("https://example.com/s/1"),
                }],
                failed_indexes: vec![],
            }),
        ),
        (
            "subscribe_msg_popup_event",
            Event::SubscribeMsgPopup {
                choices: vec![choice("tmpl_A", true, Some(2)), choice("tmpl_B", false, Some(2))],
            },
        ),
        (
            "subscribe_msg_change_event",
            Event::SubscribeMsgChange {
                choices: vec![choice("tmpl_A", false, None)],
            },
        ),
        (
            "subscribe_msg_sent_event",
            Event::SubscribeMsgSent {
                results: vec![SubscribeMsgResult {
                    template_id: s("tmpl_A"),
                    msg_id: o("1700000000000000001"),
                    error_code: Some(0),
                    error_status: s("success"),
                }],
            },
        ),
        (
            "kf_create_session",
            Event::KfCreateSession {
                account: s("agent1@sheet"),
            },
        ),
        (
            "kf_close_session",
            Event::KfCloseSession {
                account: s("agent1@sheet"),
            },
        ),
        (
            "kf_switch_session",
            Event::KfSwitchSession {
                from_account: s("agent1@sheet"),
                to_account: s("agent2@sheet"),
            },
        ),
        (
            "qualification_verify_success",
            Event::QualificationVerifySuccess {
                expires_at: Some(1_798_761_600),
            },
        ),
        (
            "qualification_verify_fail",
            Event::QualificationVerifyFail {
                failed_at: Some(1_767_225_841),
                reason: s("by time"),
            },
        ),
        (
            "user_authorization_revoke",
            Event::UserAuthorizationRevoke(AuthorizedUser {
                openid: s("oSheet_u1"),
                unionid: o("uSheet_1"),
                app_id: s("wx0123456789abcdef"),
                revoke_info: o("301"),
            }),
        ),
        (
            "user_get_card",
            Event::Unknown {
                event: s("user_get_card"),
            },
        ),
        (
            "poi_check_notify",
            Event::Unknown {
                event: s("poi_check_notify"),
            },
        ),
        (
            "wificonnected",
            Event::Unknown {
                event: s("WifiConnected"),
            },
        ),
        ("debug_demo", Event::DebugDemo { debug_str: s("hello") }),
    ]
}

fn mass_send_result() -> MassSendResult {
    MassSendResult {
        msg_id: o("1000001625"),
        status: MassSendStatus::Success,
        status_text: s("send success"),
        total_count: Some(100),
        filter_count: Some(80),
        sent_count: Some(75),
        error_count: Some(5),
        copyright_check: Some(CopyrightCheck {
            check_state: Some(2),
            items: vec![CopyrightItem {
                article_index: Some(1),
                user_declare_state: Some(0),
                audit_state: Some(2),
                original_article_url: o("https://example.com/o1"),
                original_article_type: Some(1),
                can_reprint: Some(1),
                need_replace_content: Some(1),
                need_show_reprint_source: Some(1),
            }],
        }),
        article_urls: vec![ArticleUrl {
            index: Some(1),
            url: s("https://example.com/a1"),
        }],
    }
}

#[test]
fn every_sample_is_read_from_xml_and_from_json() {
    let events = events()
        .into_iter()
        .map(|(name, event)| match name.strip_prefix("fixture_") {
            Some(_) => (s(name), Content::Event(event)),
            None => (format!("event_{name}"), Content::Event(event)),
        });
    let expected: Vec<(String, Content)> = messages()
        .into_iter()
        .map(|(name, content)| (s(name), content))
        .chain(events)
        .collect();

    let files: BTreeSet<PathBuf> = fs::read_dir(samples())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let named: BTreeSet<PathBuf> = expected
        .iter()
        .map(|(name, _)| samples().join(format!("{name}.xml")))
        .collect();
    assert_eq!(files, named);

    for (name, content) in expected {
        let xml = fs::read_to_string(samples().join(format!("{name}.xml"))).unwrap();
        let callback = read(&xml);
        assert_eq!(callback.content, content, "{name}");
        assert!(
            callback.to.starts_with("gh_") && callback.from.starts_with('o'),
            "{name}"
        );
        assert!(callback.created_at > 1_721_357_000, "{name}");
        assert!(
            xml.contains(&format!("<MsgType><![CDATA[{}]]>", callback.msg_type())),
            "{name}"
        );

        let json = read(&callback.document().to_json().to_string());
        assert_eq!(json.content, content, "{name} as JSON");
        assert_eq!(json.dedup_key(), callback.dedup_key(), "{name} as JSON");
    }
}

#[test]
fn the_type_on_the_bus_is_wechats_name_in_lower_case() {
    for file in fs::read_dir(samples()).unwrap() {
        let callback = read(&fs::read_to_string(file.unwrap().path()).unwrap());
        let json = callback.to_json();
        match callback.event_name() {
            Some("user_get_card" | "poi_check_notify" | "WifiConnected") => {
                assert_eq!(json["event"]["type"], "unknown")
            }
            Some(name) => assert_eq!(json["event"]["type"], name.to_ascii_lowercase()),
            None => assert_eq!(json["message"]["type"], callback.msg_type()),
        }
    }
}
