//! The value rules of template fields, by the type in the field's name.
//!
//! See [WeChat Docs/订阅通知](https://developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html), whose field
//! types template messages share.

use std::borrow::Cow;

/// Checks a value against the rule of its field's type: the name without its trailing digits.
///
/// A field whose name is not a known type with a number takes anything; a const may be empty. The error is the end of
/// WeChat's errmsg.
pub(crate) fn check(name: &str, value: &str) -> Result<(), &'static str> {
    let kind = name.trim_end_matches(|character: char| character.is_ascii_digit());
    let Some(rule) = rule(kind).filter(|_| kind.len() < name.len()) else {
        return Ok(());
    };
    if value.is_empty() {
        if kind == "const" { Ok(()) } else { Err("is empty") }
    } else if value.chars().any(char::is_control) || !rule(value) {
        Err("invalid")
    } else {
        Ok(())
    }
}

/// What the platform shows of a value, which it also checks: without emoji in a field with a type. Of templates until 2023 it shows
/// no `first` and `remark`, and of a `keyword1` 20 characters in one line. Other fields without a type show everything.
pub(crate) fn shown<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let has_number = kind.len() < name.len();
    if matches!(name, "first" | "remark") {
        Cow::Borrowed("")
    } else if has_number && kind == "keyword" {
        let shown = value.chars().filter(|c| !is_emoji(*c) && !matches!(c, '\r' | '\n'));
        Cow::Owned(shown.take(20).collect())
    } else if has_number && rule(kind).is_some() && value.contains(is_emoji) {
        let rest: String = value.chars().filter(|c| !is_emoji(*c)).collect();
        Cow::Owned(rest.trim().to_owned())
    } else {
        Cow::Borrowed(value)
    }
}

/// Emoji of the supplementary planes, and the characters that join and vary them.
const fn is_emoji(character: char) -> bool {
    matches!(character, '\u{200d}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}

fn rule(kind: &str) -> Option<fn(&str) -> bool> {
    Some(match kind {
        "thing" | "const" | "enum" => |value| at_most(20, value),
        "number" => |value| digits_at_most(32, value),
        "letter" => |value| at_most(32, value) && value.chars().all(|c| c.is_ascii_alphabetic()),
        "symbol" => |value| at_most(5, value) && value.chars().all(is_symbol),
        "character_string" => |value| at_most(32, value) && value.chars().all(|c| c.is_ascii() || is_symbol(c)),
        "time" => |value| is_range(value, is_time),
        "date" => |value| is_range(value, |point| is_date(point) || is_dated_time(point)),
        "amount" => is_amount,
        "phone_number" => |value| at_most(17, value) && value.chars().all(|c| c.is_ascii_digit() || is_symbol(c)),
        "car_number" => is_car_number,
        "name" => |value| at_most(if value.chars().any(is_chinese) { 10 } else { 20 }, value),
        "phrase" => |value| at_most(5, value) && value.chars().all(is_chinese),
        _ => return None,
    })
}

fn at_most(limit: usize, value: &str) -> bool {
    value.chars().count() <= limit
}

fn is_chinese(character: char) -> bool {
    matches!(
        character,
        '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}'
    )
}

fn is_symbol(character: char) -> bool {
    !character.is_alphanumeric() && !character.is_whitespace()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits with an optional decimal point among them.
fn digits_at_most(limit: usize, value: &str) -> bool {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, "0"));
    is_digits(whole) && is_digits(decimals) && value.bytes().filter(u8::is_ascii_digit).count() <= limit
}

/// An optional currency sign, up to ten digits, optional decimals, an optional 元.
fn is_amount(value: &str) -> bool {
    let number = value
        .strip_prefix(['¥', '￥', '$', '€', '£', '₩', '₽', '฿'])
        .unwrap_or(value);
    let number = number.strip_suffix('元').unwrap_or(number);
    let whole = number.split('.').next().unwrap_or_default();
    whole.len() <= 10 && digits_at_most(usize::MAX, number)
}

fn is_car_number(value: &str) -> bool {
    let characters: Vec<char> = value.chars().collect();
    let last = characters.len().saturating_sub(1);
    let fits = |(index, character): (usize, &char)| {
        character.is_ascii_alphanumeric() || (is_chinese(*character) && (index == 0 || index == last))
    };
    characters.len() <= 8 && characters.iter().enumerate().all(fits)
}

/// One point, or two joined by the half-width `~`.
fn is_range(value: &str, is_point: fn(&str) -> bool) -> bool {
    value.splitn(2, '~').all(|point| is_point(point.trim()))
}

fn is_time(point: &str) -> bool {
    is_clock(point) || is_dated_time(point)
}

/// `15:01` or `15:01:30`, in 24 hours.
fn is_clock(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let in_range = |(index, part): (usize, &&str)| {
        let (limit, lengths) = if index == 0 { (24, 1..=2) } else { (60, 2..=2) };
        is_digits(part) && lengths.contains(&part.len()) && part.parse::<u8>().is_ok_and(|number| number < limit)
    };
    matches!(parts.len(), 2 | 3) && parts.iter().enumerate().all(in_range)
}

/// A date, a space, and a time; after 日 the space may be missing.
fn is_dated_time(text: &str) -> bool {
    let split = text
        .split_once(' ')
        .or_else(|| text.find('日').map(|end| text.split_at(end + '日'.len_utf8())));
    split.is_some_and(|(date, clock)| is_date(date) && is_clock(clock.trim_start()))
}

/// `2026年1月1日`, `2026年1月`, `1月1日`, or the same with `-`, `/` or `.` between the numbers.
fn is_date(text: &str) -> bool {
    if text.contains(['年', '月']) {
        let (year, rest) = text
            .split_once('年')
            .map_or((None, text), |(year, rest)| (Some(year), rest));
        let Some((month, rest)) = rest.split_once('月') else {
            return false;
        };
        let day = (!rest.is_empty()).then(|| rest.strip_suffix('日').unwrap_or_default());
        return (year.is_some() || day.is_some()) && are_in_range(year, month, day);
    }
    ['-', '/', '.']
        .into_iter()
        .any(|separator| match text.split(separator).collect::<Vec<_>>()[..] {
            [year, month] if year.len() == 4 => are_in_range(Some(year), month, None),
            [month, day] => are_in_range(None, month, Some(day)),
            [year, month, day] => are_in_range(Some(year), month, Some(day)),
            _ => false,
        })
}

fn are_in_range(year: Option<&str>, month: &str, day: Option<&str>) -> bool {
    let within = |text: &str, limit: u8| {
        is_digits(text) && text.len() <= 2 && text.parse::<u8>().is_ok_and(|number| (1..=limit).contains(&number))
    };
    year.is_none_or(|year| year.len() == 4 && is_digits(year))
        && within(month, 12)
        && day.is_none_or(|day| within(day, 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepted and refused values of each type.
    const CASES: &[(&str, &[&str], &[&str])] = &[
        (
            "thing1",
            &["项目审核", "二十个字二十个字二十个字二十个字二十个字", "a1,。"],
            &["二十个字二十个字二十个字二十个字二十个字一", "两\n行"],
        ),
        (
            "number2",
            &["0", "12.50", "12345678901234567890123456789012"],
            &["1a", "1.", ".5", "1,000", "123456789012345678901234567890123"],
        ),
        ("letter3", &["AbC"], &["A1", "字", "A B"]),
        ("symbol4", &["!@#", "……"], &["a", "!!!!!!"]),
        (
            "character_string5",
            &["20260101-A", "a b"],
            &["单号1", "123456789012345678901234567890123"],
        ),
        (
            "time6",
            &[
                "15:01",
                "9:05:30",
                "2026年1月1日 15:01",
                "2026年1月1日15:01",
                "2026-01-01 15:01:30",
                "15:01~16:01",
                "1月2日 00:00",
            ],
            &[
                "24:00",
                "15:60",
                "15",
                "2026年1月1日",
                "15:01～16:01",
                "15:01~",
                "2026年13月1日 15:01",
                "下午3点",
                "15:1",
            ],
        ),
        (
            "date7",
            &[
                "2026年1月1日",
                "2026年1月",
                "1月1日",
                "2026-01-01",
                "2026/1/1",
                "2026.01.01",
                "2026-01-01 10:00",
                "2026-01-01~2026-01-05",
            ],
            &[
                "2026",
                "2026-13-01",
                "2026年",
                "26-1-1",
                "2026-01-32",
                "明天",
                "2026年1月日",
                "2026-01/01",
            ],
        ),
        (
            "amount8",
            &["¥99.00", "99元", "100", "$1234567890", "￥1234567890.50"],
            &["¥12345678901", "100万元", "99.00 RMB", "¥", "¥¥1", "-1"],
        ),
        (
            "phone_number9",
            &["+86-0766-66888866", "13800138000"],
            &["138001380001380013", "电话1"],
        ),
        (
            "car_number10",
            &["粤A8Z888挂", "粤A8Z888"],
            &["粤A粤Z888", "粤A8Z888888"],
        ),
        (
            "name11",
            &["张三", "Zhang San", "ABCDEFGHIJKLMNOPQRST"],
            &["一二三四五六七八九十一", "张ABCDEFGHIJ", "ABCDEFGHIJKLMNOPQRSTU"],
        ),
        ("phrase12", &["已通过"], &["通过了吗啊啊", "OK", "通过!"]),
        ("const13", &["通过"], &["二十个字二十个字二十个字二十个字二十个字一"]),
    ];

    #[test]
    fn every_type_takes_its_values_and_refuses_others() {
        for (name, accepted, refused) in CASES {
            for value in *accepted {
                assert_eq!(check(name, value), Ok(()), "{name}: {value}");
            }
            for value in *refused {
                assert_eq!(check(name, value), Err("invalid"), "{name}: {value}");
            }
            let may_be_empty = name.starts_with("const");
            assert_eq!(check(name, "").is_ok(), may_be_empty, "{name}");
        }
    }

    #[test]
    fn names_without_a_known_type_and_number_are_free() {
        for name in ["first", "content", "time", "name", "keyword1", "1"] {
            assert_eq!(check(name, ""), Ok(()), "{name}");
            assert_eq!(check(name, "随便写\n什么"), Ok(()), "{name}");
        }
    }
}
