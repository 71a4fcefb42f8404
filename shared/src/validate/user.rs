//! A team's own id of a user.

use serde_json::Value;

use super::{Place, Reader};

/// Characters. The longest id of a user.
pub const USER_ID_LIMIT: usize = 128;

/// Bytes. The longest openid and unionid that are accepted; WeChat's have 28.
pub const OPENID_LIMIT: usize = 128;

/// Whether `text` can be the id of a user: 1 to [`USER_ID_LIMIT`] characters without control characters.
#[must_use]
pub fn is_user_id(text: &str) -> bool {
    (1..=USER_ID_LIMIT).contains(&text.chars().count()) && !text.contains(char::is_control)
}

/// Reads the id of a user.
pub fn user_id<'v>(reader: &mut Reader, place: &Place<'_>, value: &'v Value) -> Option<&'v str> {
    let user = value.as_str().filter(|text| is_user_id(text));
    if user.is_none() {
        reader.fault(
            place,
            format!(
                "must be a user id of yours: a text of 1 to {USER_ID_LIMIT} characters without control characters \
                 / 应为您自己的用户标识：1 至 {USER_ID_LIMIT} 个字符的字符串，不含控制字符"
            ),
        );
    }
    user
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::assert_each_half_says_all, *};

    #[test]
    fn a_user_id_has_1_to_128_characters_without_control_characters() {
        let long = "用".repeat(USER_ID_LIMIT);
        for user in ["u", " ", "a/b?c#d%e", "甲@例.com", long.as_str()] {
            let value = json!(user);
            let mut reader = Reader::of_request();
            assert_eq!(user_id(&mut reader, &Place::Root, &value), Some(user));
            assert_eq!(reader.count(), 0, "{user}");
        }
        for value in [
            json!(""),
            json!(format!("{long}户")),
            json!("u\n"),
            json!("u\u{7f}"),
            json!("u\u{85}"),
            json!(7),
            json!(["u"]),
        ] {
            let mut reader = Reader::of_request();
            assert_eq!(user_id(&mut reader, &Place::Root, &value), None, "{value}");
            let faults = reader.finish(Some(())).unwrap_err();
            assert_eq!(faults.len(), 1, "{value}");
            assert_each_half_says_all(&faults[0], &[]);
        }
    }
}
