//! The value rules of typed fields. The type is the name without the number at its end: `thing1` is a `thing`.
//!
//! Characters are Unicode code points. Where WeChat's own rule is not certain, the value passes: WeChat has the last word.

use std::sync::LazyLock;

use regex::Regex;

/// A rule in words, and the values that keep it.
type Rule = (&'static str, fn(&str) -> bool);

/// Whether a name carries a known type.
pub(super) fn is_typed(name: &str) -> bool {
    rule_of(name).is_some()
}

/// The rule that `value` breaks, if it breaks the one of its field. Names without a known type take anything.
pub(super) fn broken(name: &str, value: &str) -> Option<&'static str> {
    let (words, holds) = rule_of(name)?;
    if value.is_empty() {
        Some("must not be empty / 不能为空")
    } else if value.chars().any(char::is_control) {
        Some("must not hold newlines or control characters / 不能包含换行或控制字符")
    } else {
        (!holds(value)).then_some(words)
    }
}

fn rule_of(name: &str) -> Option<Rule> {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if kind.len() == name.len() {
        return None;
    }
    Some(match kind {
        "thing" => ("thing: at most 20 characters / 20 个以内字符", |value| {
            at_most(20, value)
        }),
        "const" => ("const: at most 20 characters / 20 个以内字符", |value| {
            at_most(20, value)
        }),
        "character_string" => (
            "character_string: at most 32 digits, letters or symbols, no Chinese / 32 位以内数字、字母或符号，不能有汉字",
            |value| at_most(32, value) && !value.chars().any(is_chinese),
        ),
        "number" => (
            "number: at most 32 digits, decimals allowed / 32 位以内数字，可带小数",
            is_number,
        ),
        "letter" => ("letter: at most 32 letters / 32 位以内字母", |value| {
            at_most(32, value) && value.chars().all(|c| c.is_alphabetic() && !is_chinese(c))
        }),
        "symbol" => ("symbol: at most 5 symbols / 5 位以内符号", |value| {
            at_most(5, value) && !value.chars().any(char::is_alphanumeric)
        }),
        "time" => (
            "time: 24-hour time, a date before it allowed, a range with a half-width ~, such as 15:01 or \
             2026年1月1日 15:01 / 24 小时制时间，可带年月日，时间段用半角 ~ 连接",
            is_time,
        ),
        "date" => (
            "date: a date, 24-hour time after it allowed, a range with a half-width ~, such as 2026年1月1日 or \
             2026-01-01 / 年月日，可带 24 小时制时间，时间段用半角 ~ 连接",
            is_date,
        ),
        "amount" => (
            "amount: at most one currency sign, then at most 10 digits, decimals and 元 allowed, such as ¥99.00 or 99元 \
             / 1 个币种符号加 10 位以内数字，可带小数，结尾可带“元”",
            is_amount,
        ),
        "phone_number" => (
            "phone_number: at most 17 digits and symbols, such as +86-0766-66888866 / 17 位以内数字与符号",
            |value| at_most(17, value) && !value.chars().any(char::is_alphabetic),
        ),
        "car_number" => (
            "car_number: at most 8 letters and digits, the first and the last may be Chinese, such as 粤A8Z888挂 \
             / 8 位以内，首末位可为汉字，其余为字母或数字",
            is_car_number,
        ),
        "name" => (
            "name: at most 10 characters with Chinese among them, or 20 letters or symbols / 10 个以内汉字，或 20 个以内字母或符号",
            |value| at_most(if value.chars().any(is_chinese) { 10 } else { 20 }, value),
        ),
        "phrase" => ("phrase: at most 5 Chinese characters / 5 个以内汉字", |value| {
            at_most(5, value) && value.chars().all(is_chinese)
        }),
        _ => return None,
    })
}

fn at_most(limit: usize, value: &str) -> bool {
    value.chars().count() <= limit
}

/// Han ideographs, and 〇.
const fn is_chinese(c: char) -> bool {
    matches!(
        c,
        '\u{3007}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}'
    )
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    is_digits(whole) && is_digits(decimals)
}

fn is_number(value: &str) -> bool {
    is_decimal(value.strip_prefix(['+', '-']).unwrap_or(value))
        && value.bytes().filter(u8::is_ascii_digit).count() <= 32
}

fn is_amount(value: &str) -> bool {
    let number = value.strip_prefix(|c: char| !c.is_alphanumeric()).unwrap_or(value);
    let number = number.strip_suffix('元').unwrap_or(number);
    is_decimal(number) && number.split('.').next().is_some_and(|whole| whole.len() <= 10)
}

fn is_car_number(value: &str) -> bool {
    let last = value.chars().count().saturating_sub(1);
    last < 8
        && value
            .chars()
            .enumerate()
            .all(|(at, c)| c.is_ascii_alphanumeric() || (is_chinese(c) && (at == 0 || at == last)))
}

const CLOCK: &str = "(?:(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?|24:00(?::00)?)";
const DAY: &str = "(?:(?:[0-9]{4}年)?(?:0?[1-9]|1[0-2])月(?:0?[1-9]|[12][0-9]|3[01])日\
                   |[0-9]{4}年(?:0?[1-9]|1[0-2])月\
                   |[0-9]{4}[-/.](?:0?[1-9]|1[0-2])(?:[-/.](?:0?[1-9]|[12][0-9]|3[01]))?\
                   |(?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12][0-9]|3[01]))";

fn is_time(value: &str) -> bool {
    static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| range_of(&format!(r"(?:{DAY}\s*)?{CLOCK}")));
    TIME.as_ref().is_none_or(|time| time.is_match(value))
}

fn is_date(value: &str) -> bool {
    static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| range_of(&format!(r"{DAY}(?:\s*{CLOCK})?")));
    DATE.as_ref().is_none_or(|date| date.is_match(value))
}

/// One moment, or two with `~` between them. `None` when the pattern is wrong, which a test would show.
fn range_of(moment: &str) -> Option<Regex> {
    Regex::new(&format!(r"^\s*{moment}\s*(?:~\s*{moment}\s*)?$")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Accepted and refused values of each type.
    const CASES: &[(&str, &[&str], &[&str])] = &[
        (
            "thing1",
            &[
                "项目审核",
                "二十个字二十个字二十个字二十个字二十个字",
                "😀😀😀😀😀😀😀😀😀😀😀",
                "a1，。",
            ],
            &["二十个字二十个字二十个字二十个字二十个字一", "", "两\n行", "\u{7}"],
        ),
        ("const3", &["通过"], &["二十个字二十个字二十个字二十个字二十个字一", ""]),
        (
            "number2",
            &["0", "12.50", "-3", "12345678901234567890123456789012"],
            &["1,000", "1.", ".5", "三", "123456789012345678901234567890123"],
        ),
        (
            "letter1",
            &["ABC", "abcdefghijabcdefghijabcdefghijab"],
            &["A1", "字母", "abcdefghijabcdefghijabcdefghijabc"],
        ),
        ("symbol1", &["***", "！？"], &["a", "1", "字", "******"]),
        (
            "character_string10",
            &["SF-20260101_001#", "12345678901234567890123456789012"],
            &["订单1", "123456789012345678901234567890123"],
        ),
        (
            "time2",
            &[
                "15:01",
                "15:01:30",
                "2024年7月19日 10:00",
                "2026年1月1日15:01",
                "2026-01-01 9:05",
                "10:00~11:30",
                "2026/01/01 10:00 ~ 2026/01/02 11:00",
                "24:00",
            ],
            &[
                "25:00",
                "10:60",
                "明天",
                "2024年7月19日",
                "10:00～11:30",
                "10：00",
                "2026-13-01 10:00",
                "10:00~",
            ],
        ),
        (
            "date5",
            &[
                "2026年1月1日",
                "2026年1月",
                "1月1日",
                "2026-01-01",
                "2026/1/1",
                "2026.01.01",
                "2026-01",
                "2026年1月1日 15:01",
                "2026-01-01~2026-01-07",
            ],
            &[
                "15:01",
                "2026年",
                "20260101",
                "2026年13月1日",
                "2026-01-32",
                "2026-01-01～2026-01-07",
            ],
        ),
        (
            "amount3",
            &["¥99.00", "99元", "￥1234567890", "$5", "100", "1234567890.12"],
            &["12345678901", "¥¥9", "九元", "9.", "RMB9"],
        ),
        (
            "phone_number5",
            &["+86-0766-66888866", "13800138000", "(010) 12345678"],
            &["+86-0766-668888666", "电话", "1380013800O"],
        ),
        (
            "car_number1",
            &["粤A8Z888挂", "粤A8Z888", "A12345"],
            &["粤A8粤888挂", "粤A8Z8888挂", "粤A-8888"],
        ),
        (
            "name1",
            &["一二三四五六七八九十", "Jean-Luc O'Neill", "ABCDEFGHIJABCDEFGHIJ"],
            &["一二三四五六七八九十一", "张Abcdefghij", "ABCDEFGHIJABCDEFGHIJK"],
        ),
        ("phrase1", &["已完成", "审核通过啦"], &["审核已经通过", "OK", "完成1"]),
    ];

    #[test]
    fn each_type_keeps_its_rule() {
        for (name, accepted, refused) in CASES {
            for value in *accepted {
                assert_eq!(broken(name, value), None, "{name}: {value:?}");
            }
            for value in *refused {
                assert!(broken(name, value).is_some(), "{name}: {value:?}");
            }
        }
    }

    #[test]
    fn only_a_known_type_with_a_number_is_judged() {
        for name in ["thing", "name", "first", "keyword1", "time2x", "1", "", "enum1"] {
            assert!(!is_typed(name), "{name}");
            assert_eq!(broken(name, "任意\n内容"), None, "{name}");
        }
    }

    const HAN: &str = r"[\u{3007}\u{3400}-\u{4DBF}\u{4E00}-\u{9FFF}\u{F900}-\u{FAFF}\u{20000}-\u{3FFFF}]";
    /// The rules of WeChat's table that a pattern can say whole.
    const PATTERNS: [(&str, &str); 6] = [
        ("thing1", r"^\P{Cc}{1,20}$"),
        ("const2", r"^\P{Cc}{1,20}$"),
        ("number3", r"^[+-]?[0-9]+(\.[0-9]+)?$"),
        ("phrase4", r"^HAN{1,5}$"),
        ("amount5", r"^[^\p{Alphabetic}\p{N}\p{Cc}]?[0-9]{1,10}(\.[0-9]+)?元?$"),
        ("car_number6", r"^(HAN|[A-Za-z0-9])?[A-Za-z0-9]{0,6}(HAN|[A-Za-z0-9])$"),
    ];

    static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
        let compile = |pattern: &str| Regex::new(&pattern.replace("HAN", HAN)).unwrap();
        PATTERNS.map(|(name, pattern)| (name, compile(pattern))).into()
    });

    proptest! {
        #[test]
        fn a_rule_takes_what_its_pattern_takes(
            value in prop_oneof!["[+¥$-]?[0-9]{1,12}(\\.[0-9]{0,3})?[元x]?", "[粤京A-Z0-9]{0,9}", "[通过\\PC]{0,24}", ".{0,6}"],
        ) {
            for (name, pattern) in COMPILED.iter() {
                prop_assert_eq!(broken(name, &value).is_none(), pattern.is_match(&value), "{}: {:?}", name, value);
            }
        }
    }
}
