//! The table of errcodes, and the details that are read from an errmsg.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// Codes that WeChat's pages and the SDKs name: the table must have them all.
#[rustfmt::skip]
const DOCUMENTED: &[i64] = &[
    -1, 0, 40001, 40002, 40003, 40004, 40005, 40006, 40007, 40008, 40009, 40010, 40011, 40012, 40013, 40014,
    40015, 40016, 40017, 40018, 40019, 40020, 40021, 40022, 40023, 40024, 40025, 40026, 40027, 40028, 40029,
    40030, 40031, 40032, 40033, 40035, 40036, 40037, 40038, 40039, 40048, 40050, 40052, 40053, 40054, 40055,
    40062, 40066, 40073, 40082, 40097, 40117, 40118, 40119, 40120, 40121, 40125, 40132, 40137, 40155, 40163,
    40164, 40165, 40166, 40200, 40201, 40202, 40203, 40227, 40243, 40246, 40247, 40249, 41001, 41002, 41003,
    41004, 41005, 41006, 41007, 41008, 41009, 42001, 42002, 42003, 42007, 42010, 43001, 43002, 43003, 43004,
    43005, 43019, 43100, 43101, 43116, 44001, 44002, 44003, 44004, 45001, 45002, 45003, 45004, 45005, 45006,
    45007, 45008, 45009, 45010, 45011, 45012, 45015, 45016, 45017, 45018, 45026, 45027, 45028, 45029, 45035,
    45047, 45048, 45056, 45058, 45059, 45061, 45064, 45065, 45066, 45067, 45072, 45080, 45081, 45087, 45104,
    45110, 45157, 45158, 45159, 45166, 46001, 46002, 46003, 46004, 47001, 47002, 47003, 48001, 48002, 48003,
    48004, 48005, 48006, 48008, 48011, 48012, 49003, 50001, 50002, 50003, 50004, 50005, 50006, 50007, 53600,
    61003, 61004, 61005, 61007, 61023, 61450, 61451, 61452, 61500, 61501, 61503, 65301, 65302, 65303, 65304,
    65305, 65306, 65307, 65308, 65309, 65316, 65317, 65318, 65320, 65400, 65413, 65415, 70000, 76021, 76022,
    88000, 89501, 89502, 89503, 89504, 89505, 89506, 89507, 200011, 200012, 200013, 200014, 200020, 200021,
    268487001, 268487002,
    45086, 200022, 200100,
    40092, 40241, 43106, 43117, 44990, 45109, 45113, 45169, 45171, 886000,
];
/// Documented codes that form ranges.
const DOCUMENTED_RANGES: &[std::ops::RangeInclusive<i64>] = &[
    65310..=65314,
    76001..=76004,
    89501..=89507,
    200011..=200022,
    9001001..=9001036,
    9410010..=9410012,
    268487001..=268487002,
];

fn documented() -> impl Iterator<Item = i64> {
    DOCUMENTED
        .iter()
        .copied()
        .chain(DOCUMENTED_RANGES.iter().cloned().flatten())
}

/// Errmsgs that a team in the field recorded.
const FIELD_40164: &str =
    "invalid ip xx.xx.xx.xx ipv6 ::ffff:xx.xx.xx.xx, not in whitelist rid: 6698ef60-27d10c40-100819f9";
const FIELD_47003: &str = "argument invalid! data.time5.value invalid rid: 669df26e-538a8a1a-15ab8ba4";
const FIELD_40001: &str = "invalid credential, access_token is invalid or not latest, could get access_token by \
     getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r rid: 669df2f1-74be87a6-05e77d20";
const FIELD_45009: &str = "reach max api daily quota limit, could get access_token by getStableAccessToken, more \
     details at https://mmbizurl.cn/s/JtxxFh33r rid: 669e5c4c-2bb4e05f-61d6917c";

fn retry_after(code: i64, now: i64) -> Option<u64> {
    lookup(code).retry.seconds(now)
}

#[test]
fn table_is_sorted_and_no_code_occurs_twice() {
    for row in TABLE {
        assert!(row.errcode.code <= row.last, "{}", row.errcode.code);
    }
    for pair in TABLE.windows(2) {
        assert!(
            pair[0].last < pair[1].errcode.code,
            "{} is out of place",
            pair[1].errcode.code
        );
    }
}

#[test]
fn every_documented_code_is_known() {
    for code in documented() {
        assert!(find(code).is_some(), "{code}");
        assert_eq!(lookup(code).code, code);
        // 45110 occurs, but nobody documents its meaning.
        assert_eq!(lookup(code).class == Class::Unknown, code == 45110, "{code}");
    }
}

#[test]
fn every_row_speaks_both_languages() {
    let is_chinese = |text: &str| text.contains(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    let extra = [table::UNKNOWN, table::WRONG_APP_SECRET];
    for entry in TABLE.iter().map(|row| row.errcode).chain(extra) {
        assert!(!entry.english.is_empty() && entry.english.is_ascii(), "{entry:?}");
        assert!(is_chinese(entry.chinese), "{entry:?}");
        assert!(
            entry.remedy_english.starts_with(|c: char| c.is_ascii_uppercase()),
            "{entry:?}"
        );
        assert!(entry.remedy_english.ends_with('.'), "{entry:?}");
        assert!(
            is_chinese(entry.remedy_chinese) && entry.remedy_chinese.ends_with('。'),
            "{entry:?}"
        );
    }
}

#[test]
fn remedies_of_the_set_up_name_the_page_of_the_console() {
    for code in [40013, 40125, 40164, 40243, 41004, 61004] {
        assert!(lookup(code).remedy_english.contains("开发信息"), "{code}");
        assert!(lookup(code).remedy_chinese.contains("设置与开发 → 基本配置"), "{code}");
    }
    assert!(lookup(40164).remedy_english.contains("IP白名单"));
    assert!(lookup(40201).remedy_chinese.contains("域名与消息推送配置"));
}

#[test]
fn unknown_codes_are_explained_as_such() {
    for code in [i64::MIN, -2, 1, 40034, 65315, 200023, 9_001_037, i64::MAX] {
        let entry = lookup(code);
        assert_eq!(
            (entry.code, entry.class, entry.retry),
            (code, Class::Unknown, Retry::Never)
        );
        assert!(!entry.remedy_english.is_empty() && !entry.remedy_chinese.is_empty());
        assert_eq!(http_status(code), 502);
        assert_eq!(retry_after(code, 0), None);
    }
}

#[test]
fn a_range_answers_with_the_code_that_was_asked() {
    assert_eq!(
        lookup(65312),
        Errcode {
            code: 65312,
            ..lookup(65310)
        }
    );
    assert_ne!(lookup(65312).english, lookup(65309).english);
}

#[test]
fn field_40164_whitelist() {
    let entry = lookup(40164);
    assert_eq!((entry.class, entry.retry), (Class::SetUp, Retry::Never));
    assert_eq!(lookup_at_token_endpoint(40164), entry);
    assert_eq!(http_status(40164), 503);
    assert_eq!(retry_after(40164, 0), None);
    assert!(!is_dead_token(40164));
    assert_eq!(rid(FIELD_40164), Some("6698ef60-27d10c40-100819f9"));
    assert_eq!(denied_address(FIELD_40164), None);
    assert_eq!(denied_address(&FIELD_40164.replace("xx", "10")), Some("10.10.10.10"));
    assert_eq!(rejected_field(FIELD_40164), None);
}

#[test]
fn field_47003_template_value() {
    let entry = lookup(47003);
    assert_eq!((entry.class, entry.retry), (Class::Caller, Retry::Never));
    assert_eq!(lookup_at_token_endpoint(47003), entry);
    assert_eq!(http_status(47003), 400);
    assert_eq!(retry_after(47003, 0), None);
    assert!(!is_dead_token(47003));
    assert_eq!(rid(FIELD_47003), Some("669df26e-538a8a1a-15ab8ba4"));
    assert_eq!(denied_address(FIELD_47003), None);
    assert_eq!(rejected_field(FIELD_47003), Some("time5"));
}

#[test]
fn field_40001_token() {
    let entry = lookup(40001);
    assert_eq!((entry.class, entry.retry), (Class::Token, Retry::WithFreshToken));
    assert_eq!(http_status(40001), 503);
    assert_eq!(
        retry_after(40001, 0),
        Some(30),
        "not before the refresher may replace another token"
    );
    assert!(is_dead_token(40001));
    assert_eq!(rid(FIELD_40001), Some("669df2f1-74be87a6-05e77d20"));
    assert_eq!(denied_address(FIELD_40001), None);
    assert_eq!(rejected_field(FIELD_40001), None);
}

#[test]
fn at_the_token_endpoint_40001_is_a_wrong_secret() {
    let entry = lookup_at_token_endpoint(40001);
    assert_eq!(
        (entry.code, entry.class, entry.retry),
        (40001, Class::SetUp, Retry::Never)
    );
    assert_ne!(entry.english, lookup(40001).english);
    assert!(entry.remedy_english.contains("WECHAT_APP_SECRET"));
    assert!(entry.remedy_chinese.contains("WECHAT_APP_SECRET"));
    for code in documented().filter(|code| *code != 40001) {
        assert_eq!(lookup_at_token_endpoint(code), lookup(code));
    }
}

#[test]
fn field_45009_daily_quota() {
    let entry = lookup(45009);
    assert_eq!((entry.class, entry.retry), (Class::Quota, Retry::NextDay));
    assert_eq!(lookup_at_token_endpoint(45009), entry);
    assert_eq!(http_status(45009), 429);
    assert!(!is_dead_token(45009));
    assert_eq!(rid(FIELD_45009), Some("669e5c4c-2bb4e05f-61d6917c"));
    assert_eq!(denied_address(FIELD_45009), None);
    assert_eq!(rejected_field(FIELD_45009), None);
}

#[test]
fn daily_quotas_are_renewed_at_midnight_in_china() {
    const MIDNIGHT_IN_CHINA: i64 = 1_795_276_800; // 2026-11-21T16:00:00Z
    assert_eq!(retry_after(45009, MIDNIGHT_IN_CHINA - 1), Some(1));
    assert_eq!(retry_after(45009, MIDNIGHT_IN_CHINA), Some(86_400));
    assert_eq!(retry_after(45009, MIDNIGHT_IN_CHINA + 8 * 3600), Some(16 * 3600));
    assert_eq!(retry_after(45009, -1), Some(16 * 3600 + 1));
    for now in [i64::MIN, i64::MAX] {
        assert!(retry_after(45009, now).is_some_and(|pause| (1..=86_400).contains(&pause)));
    }
}

#[test]
fn retry_after_is_given_only_where_the_time_is_known() {
    let known: Vec<_> = documented()
        .filter_map(|code| Some((code, retry_after(code, 0)?)))
        .collect();
    let expected = [
        (40001, 30),
        (40014, 30),
        (42001, 30),
        (40241, 60),
        (45009, 57_600),
        (45011, 60),
        (45066, 60),
        (61503, 3600),
        (89506, 86_400),
        (89507, 3600),
    ];
    assert_eq!(known.iter().copied().collect::<HashSet<_>>(), HashSet::from(expected));
}

#[test]
fn status_follows_the_contract() {
    for (status, codes) in [
        (200, &[0][..]),
        (
            400,
            &[
                40003, 40036, 40037, 40165, 43004, 43101, 44002, 45015, 47001, 47003, 48002, 40249, 43116,
            ][..],
        ),
        (404, &[46003][..]),
        (429, &[45009, 45011, 48006, 45028, 43117, 40241][..]),
        (502, &[-1, 61450, 268487001, 45110][..]),
        (
            503,
            &[
                40001, 40014, 41001, 42001, 40013, 40125, 40164, 40243, 41004, 48001, 48004,
            ][..],
        ),
        (503, &[50002, 50004, 50007, 61004, 89501, 89503, 89506, 89507][..]),
    ] {
        for code in codes {
            assert_eq!(http_status(*code), status, "{code}");
        }
    }
}

/// A batch goes on after a refusal of one recipient and stops after a refusal of everybody.
#[test]
fn refusals_at_volume_tell_one_recipient_from_everybody() {
    for code in [43117, 40241] {
        assert_eq!(
            (lookup(code).class, http_status(code)),
            (Class::Recipient, 429),
            "{code}"
        );
    }
    assert_eq!((retry_after(43117, 0), retry_after(40241, 0)), (None, Some(60)));
    for code in [40249, 43116] {
        assert_eq!((lookup(code).class, http_status(code)), (Class::Content, 400), "{code}");
        assert!(
            lookup(code).remedy_english.contains("every further call harms"),
            "{code}"
        );
    }
    for code in [43106, 45109] {
        assert_eq!((lookup(code).class, http_status(code)), (Class::SetUp, 503), "{code}");
    }
}

/// WeChat answers "invalid use button type" also to a correct type that the account may not use.
#[test]
fn a_wrong_button_type_may_be_a_right_that_the_account_lacks() {
    for code in [40119, 40120] {
        let entry = lookup(code);
        assert!(
            entry.remedy_english.contains("接口权限") && entry.remedy_chinese.contains("权限"),
            "{code}"
        );
    }
}

#[test]
fn only_three_codes_condemn_the_token() {
    let condemning: HashSet<i64> = documented().filter(|code| is_dead_token(*code)).collect();
    assert_eq!(condemning, HashSet::from([40001, 40014, 42001]));
}

#[test]
fn a_fault_of_the_recipient_or_the_set_up_is_not_retried_blindly() {
    for code in documented() {
        let entry = lookup(code);
        if matches!(
            entry.class,
            Class::Caller | Class::Recipient | Class::Content | Class::SetUp
        ) {
            assert!(
                !matches!(entry.retry, Retry::BackOff | Retry::WithFreshToken),
                "{entry:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn every_code_is_explained_and_has_a_status(
        code in prop_oneof![any::<i64>(), -2_i64..100_000],
        now in 0_i64..4_000_000_000,
    ) {
        let entry = lookup(code);
        prop_assert_eq!(entry.code, code);
        prop_assert_eq!(entry.class == Class::Success, code == 0);
        prop_assert_eq!(http_status(code) == 200, code == 0);
        prop_assert_eq!(is_dead_token(code), entry.class == Class::Token && [40001, 40014, 42001].contains(&code));
        if entry.class == Class::Unknown {
            prop_assert_eq!((entry.retry, http_status(code)), (Retry::Never, 502));
        }
        if let Some(seconds) = retry_after(code, now) {
            prop_assert!((1..=86_400).contains(&seconds));
        }
        let at_token = lookup_at_token_endpoint(code);
        prop_assert_eq!(at_token == entry, code != 40001);
    }
}

/// A batch of 100 recipients must not collect the same refusal 100 times, and one stranger must not stop the other 99.
#[test]
fn a_refusal_of_everybody_is_told_from_that_of_one_recipient() {
    for code in [40164, 48001, 45009, 45011, 40037, 50002, 40013, 40249, 43116, 40001] {
        assert!(lookup(code).refuses_everybody(), "{code}");
    }
    for code in [0, -1, 40003, 43004, 43019, 43101, 47003, 48002, 49003, 50005, 123_456] {
        assert!(!lookup(code).refuses_everybody(), "{code}");
    }
}
