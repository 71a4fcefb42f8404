//! The value rules of typed fields. A field's type is its name without the final number: `thing1` is a `thing`.
//!
//! Characters are Unicode code points. A rule refuses only what WeChat certainly refuses. Where WeChat's rule is uncertain it
//! warns, and WeChat decides.

use std::sync::LazyLock;

use regex::Regex;

use crate::{validate::EMPTY, xml::is_xml_character};

/// An objection to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Objection {
    /// What would be right, in English and Chinese.
    pub(super) rule: &'static str,
    /// Whether WeChat certainly refuses the value. Otherwise it may accept it or show only a part.
    pub(super) is_sure: bool,
}

impl Objection {
    const fn sure(rule: &'static str) -> Self {
        Self { rule, is_sure: true }
    }

    const fn warning(rule: &'static str) -> Self {
        Self { rule, is_sure: false }
    }
}

/// A predicate over a value.
type Test = fn(&str) -> bool;

/// A type of field.
struct Kind {
    /// The rule, in English and Chinese.
    rule: &'static str,
    /// Whether a value follows the rule as WeChat documents it.
    keeps: Test,
    /// Whether WeChat certainly refuses a value: by a clear rule, or as observed.
    is_refused: Test,
}

const CONTROL: &str = "should not hold newlines or control characters: WeChat refuses them or takes them out \
                       / 请勿包含换行或控制字符，微信会拒绝或删除";
const EMOJI: &str = "should not hold emoji: WeChat drops them or shows □ / 请勿包含 emoji，微信会删除或显示为 □";
const NOTHING_LEFT: &str = "holds nothing but spaces or emoji, which WeChat drops: it then refuses the value as empty \
                            / 仅含空格或 emoji，微信会先删除，再按“值为空”拒绝";

/// The first and the last field of templates until 2023.
/// See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).
pub(super) const DROPPED_SINCE_2023: [&str; 2] = ["first", "remark"];
const DROPPED: &str =
    "is not shown any more: WeChat removed first and remark in 2023 / 微信已于 2023 年取消 first 与 remark，不再显示";
const CUT: &str = "is cut to 20 characters, without line breaks and emoji, since 2023 \
                   / 自 2023 年起，微信只显示前 20 个字符，并去掉换行与 emoji";

/// Emoji with their joiners and variation selectors, and control characters. `None` if the pattern were invalid, which the
/// tests rule out.
static EMOJI_OR_CONTROL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[\p{Emoji_Presentation}\u{1F000}-\u{1FAFF}\u{200D}\u{20E3}\u{FE0F}\u{E0020}-\u{E007F}\p{Cc}]").ok()
});

/// Whether a name has a known type.
pub(super) fn is_typed(name: &str) -> bool {
    kind_of(name).is_some()
}

/// Whether a field requires a value. A `const` may be empty.
pub(super) fn is_required(name: &str) -> bool {
    is_typed(name) && !is_const(name)
}

/// Whether a field takes only values that WeChat approved with its template. No API lists them.
#[must_use]
pub fn is_const(name: &str) -> bool {
    type_of(name) == Some("const")
}

/// Returns the objection to `value`, if any. A name without a known type takes any value.
pub(super) fn objection(name: &str, value: &str) -> Option<Objection> {
    let Some(kind) = kind_of(name) else {
        return untyped_objection(name, value);
    };
    if value.is_empty() {
        return is_required(name).then_some(Objection::sure(EMPTY));
    }
    // WeChat drops emoji and control characters first, so only the rest decides about a certain refusal.
    let bare = EMOJI_OR_CONTROL
        .as_ref()
        .map_or(value.into(), |it| it.replace_all(value, ""));
    let bare = bare.trim();
    if bare.is_empty() {
        Some(Objection::warning(NOTHING_LEFT))
    } else if (kind.is_refused)(bare) {
        Some(Objection::sure(kind.rule))
    } else if value.chars().any(char::is_control) {
        Some(Objection::warning(CONTROL))
    } else if EMOJI_OR_CONTROL.as_ref().is_some_and(|it| it.is_match(value)) {
        Some(Objection::warning(EMOJI))
    } else {
        (!(kind.keeps)(value)).then_some(Objection::warning(kind.rule))
    }
}

/// Returns what WeChat does to a value whose name has no type. Templates until 2023 have `first`, `keyword1` and `remark`.
fn untyped_objection(name: &str, value: &str) -> Option<Objection> {
    let is_emoji_or_control = || EMOJI_OR_CONTROL.as_ref().is_some_and(|it| it.is_match(value));
    if DROPPED_SINCE_2023.contains(&name) && !value.trim().is_empty() {
        Some(Objection::warning(DROPPED))
    } else if type_of(name) == Some("keyword") && (!at_most(20, value) || is_emoji_or_control()) {
        Some(Objection::warning(CUT))
    } else {
        let is_sendable = value.chars().all(is_xml_character);
        (!is_sendable).then_some(Objection::warning(CONTROL))
    }
}

/// Returns the name without its final number. `None` without such a number.
fn type_of(name: &str) -> Option<&str> {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (kind.len() < name.len()).then_some(kind)
}

fn kind_of(name: &str) -> Option<Kind> {
    of_official_accounts(type_of(name)?).or_else(|| of_mini_programs(type_of(name)?))
}

/// The types in WeChat's table for Official Accounts, and `phrase`, which has left the table but whose rule WeChat's staff
/// still confirms.
/// See [WeChat Docs/模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).
fn of_official_accounts(kind: &str) -> Option<Kind> {
    let (rule, keeps, is_refused): (_, Test, Test) = match kind {
        "thing" => (
            "thing: at most 20 characters / 20 个以内字符",
            |_| true,
            |value| !at_most(20, value),
        ),
        "const" => (
            "const: empty, or one of the values that were approved with the template, of at most 20 characters \
             / 只能为空或模板审核通过的枚举值，20 个以内字符",
            |_| true,
            |value| !at_most(20, value),
        ),
        "character_string" => (
            "character_string: at most 32 digits, letters or symbols, no Chinese / 32 位以内数字、字母或符号，不能有汉字",
            |value| value.chars().all(|c| c.is_ascii() || !c.is_alphanumeric()),
            |value| !at_most(32, value) || value.chars().any(is_chinese),
        ),
        "time" => (
            "time: 24-hour time, a date before it allowed, a range with a half-width ~, such as 15:01 or \
             2026年1月1日 15:01 / 24 小时制时间，可带年月日，时间段用半角 ~ 连接",
            is_time,
            is_no_time,
        ),
        "amount" => (
            "amount: at most one currency sign, then at most 10 digits, decimals and 元 allowed, such as ¥99.00 or 99元 \
             / 1 个币种符号加 10 位以内数字，可带小数，结尾可带“元”",
            is_amount,
            is_no_amount,
        ),
        "phone_number" => (
            "phone_number: at most 17 digits and symbols, such as +86-0766-66888866 / 17 位以内数字与符号",
            |value| !value.contains(char::is_whitespace),
            |value| !at_most(17, value) || value.chars().any(char::is_alphabetic),
        ),
        "car_number" => (
            "car_number: at most 8 letters and digits, the first and the last may be Chinese, such as 粤A8Z888挂 \
             / 8 位以内，首末位可为汉字，其余为字母或数字",
            is_car_number,
            |value| !at_most(8, value),
        ),
        "phrase" => (
            "phrase: at most 5 Chinese characters / 5 个以内汉字",
            |value| value.chars().all(is_chinese),
            |value| !at_most(5, value) || value.chars().any(|c| c.is_ascii_alphanumeric()),
        ),
        _ => return None,
    };
    Some(Kind {
        rule,
        keeps,
        is_refused,
    })
}

/// The types that only the table for mini programs' subscription messages has. Older templates of Official Accounts use them
/// too; what WeChat refuses there is uncertain, so they only warn.
/// See [WeChat Docs/订阅通知](https://developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html).
fn of_mini_programs(kind: &str) -> Option<Kind> {
    let (rule, keeps): (_, Test) = match kind {
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
        "date" => (
            "date: a date, 24-hour time after it allowed, a range with a half-width ~, such as 2026年1月1日 or \
             2026-01-01 / 年月日，可带 24 小时制时间，时间段用半角 ~ 连接",
            is_date,
        ),
        "name" => (
            "name: at most 10 characters with Chinese among them, or 20 letters or symbols / 10 个以内汉字，或 20 个以内字母或符号",
            |value| at_most(if value.chars().any(is_chinese) { 10 } else { 20 }, value),
        ),
        _ => return None,
    };
    Some(Kind {
        rule,
        keeps,
        is_refused: |_| false,
    })
}

fn at_most(limit: usize, value: &str) -> bool {
    value.chars().count() <= limit
}

/// Whether `c` is a Han ideograph or 〇.
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
    static AMOUNT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Sc}?[0-9]{1,10}(?:\.[0-9]+)?元?$").ok());
    AMOUNT.as_ref().is_none_or(|amount| amount.is_match(value))
}

/// Whether WeChat certainly refuses an amount. Observed: it refuses `100万元`. Copies of its table differ (10 digits, 12), so
/// only 13 are sure.
fn is_no_amount(value: &str) -> bool {
    let whole = value.split('.').next().unwrap_or_default();
    !value.contains(char::is_numeric)
        || value.chars().any(|c| is_chinese(c) && c != '元')
        || whole.bytes().filter(u8::is_ascii_digit).count() > 12
}

fn is_car_number(value: &str) -> bool {
    let last = value.chars().count().saturating_sub(1);
    value
        .chars()
        .enumerate()
        .all(|(at, c)| c.is_ascii_alphanumeric() || (is_chinese(c) && (at == 0 || at == last)))
}

/// Whether WeChat certainly refuses a time. Observed: it refuses `1min`, a full-width ～ and a bare number of milliseconds.
fn is_no_time(value: &str) -> bool {
    !value.contains(char::is_numeric)
        || is_digits(value)
        || value.contains('～')
        || value
            .chars()
            .any(|c| c.is_ascii_alphabetic() || (is_chinese(c) && !"年月日时分秒点".contains(c)))
}

const CLOCK: &str = "(?:(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?)";
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

/// Matches one moment, or two with `~` between them. `None` if the pattern were invalid, which the tests rule out.
fn range_of(moment: &str) -> Option<Regex> {
    Regex::new(&format!(r"^\s*{moment}\s*(?:~\s*{moment}\s*)?$")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Values = &'static [&'static str];
    /// Values of each type: accepted, warned of, refused.
    const CASES: &[(&str, Values, Values, Values)] = &[
        (
            "thing1",
            &["项目审核", "二十个字二十个字二十个字二十个字二十个字", "a1，。★→"],
            &[
                "两\n行",
                "\u{7}",
                "好😀",
                "😀😀😀",
                " ",
                // WeChat drops the emoji first, so 20 characters are left.
                "二十个字二十个字二十个字二十个字二十个字😀",
            ],
            &["二十个字二十个字二十个字二十个字二十个字一", ""],
        ),
        (
            "const3",
            &["通过", ""],
            &[],
            &["二十个字二十个字二十个字二十个字二十个字一"],
        ),
        (
            "character_string10",
            &["SF-20260101_001#", "12345678901234567890123456789012", "125 mmHg"],
            &["Ａ１", "カ"],
            &["订单1", "123456789012345678901234567890123", ""],
        ),
        (
            "time2",
            &[
                "15:01",
                "15:01:30",
                "2024年7月19日 10:00",
                "2026年1月1日15:01",
                "2023-09-12 19:43:07",
                "2026-01-01 9:05",
                "10:00~11:30",
                "2026/01/01 10:00 ~ 2026/01/02 11:00",
            ],
            &[
                "24:00",
                "25:00",
                "10:60",
                "2024年7月19日",
                "2026-01-01",
                "10：00",
                "2026-13-01 10:00",
                "10:00~",
                "15时30分",
                "2022-01-27 15:00-16:00",
            ],
            &["明天", "10:00～11:30", "1min", "1708432089530", "下午3点", ""],
        ),
        (
            "amount3",
            &["¥99.00", "99元", "￥1234567890", "$5", "100", "1234567890.12", "1.12元"],
            &[
                "-1",
                "¥¥9",
                "9.",
                "RMB9",
                "1,000.00",
                "12345678901",
                "￥123456789012.12",
            ],
            &["1234567890123", "九元", "100万元", ""],
        ),
        (
            "phone_number5",
            &["+86-0766-66888866", "13800138000", "(010)12345678", "138****8000"],
            &["(010) 12345678"],
            &["+86-0766-668888666", "电话", "1380013800O"],
        ),
        (
            "car_number1",
            &["粤A8Z888挂", "粤A8Z888", "A12345"],
            &["粤A8粤888挂", "粤A-8888"],
            &["粤A8Z8888挂"],
        ),
        (
            "phrase1",
            &["已完成", "审核通过啦"],
            &["通过!", "***"],
            &["审核已经通过", "OK", "完成1"],
        ),
        (
            "number2",
            &["0", "12.50", "-3", "12345678901234567890123456789012"],
            &["1,000", "1.", ".5", "三", "123456789012345678901234567890123"],
            &[""],
        ),
        (
            "letter1",
            &["ABC", "abcdefghijabcdefghijabcdefghijab"],
            &["A1", "字母", "abcdefghijabcdefghijabcdefghijabc"],
            &[""],
        ),
        ("symbol1", &["***", "！？"], &["a", "1", "字", "******"], &[""]),
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
            &[""],
        ),
        (
            "name1",
            &["一二三四五六七八九十", "Jean-Luc O'Neill", "ABCDEFGHIJABCDEFGHIJ"],
            &["一二三四五六七八九十一", "张Abcdefghij", "ABCDEFGHIJABCDEFGHIJK"],
            &[""],
        ),
    ];

    #[test]
    fn each_type_keeps_its_rule() {
        let is_sure = |name, value| objection(name, value).map(|objection| objection.is_sure);
        for (name, kept, warned_of, refused) in CASES {
            for (values, expected) in [(kept, None), (warned_of, Some(false)), (refused, Some(true))] {
                for value in *values {
                    assert_eq!(is_sure(name, value), expected, "{name}: {value:?}");
                }
            }
        }
    }

    #[test]
    fn only_a_known_type_with_a_number_is_judged() {
        for name in ["thing", "name", "greeting", "keyword", "time2x", "1", "", "enum1"] {
            assert!(!is_typed(name), "{name}");
            assert_eq!(objection(name, "任意\n内容"), None, "{name}");
        }
        assert!(objection("greeting", "a\u{b}").is_some_and(|objection| !objection.is_sure));
    }

    const HAN: &str = r"[\u{3007}\u{3400}-\u{4DBF}\u{4E00}-\u{9FFF}\u{F900}-\u{FAFF}\u{20000}-\u{3FFFF}]";
    /// The rules of WeChat's table that one pattern can express.
    const PATTERNS: [(&str, &str); 6] = [
        ("thing1", r"^\P{Cc}{1,20}$"),
        ("const2", r"^\P{Cc}{0,20}$"),
        ("number3", r"^[+-]?[0-9]+(\.[0-9]+)?$"),
        ("phrase4", r"^HAN{1,5}$"),
        ("amount5", r"^\p{Sc}?[0-9]{1,10}(\.[0-9]+)?元?$"),
        ("car_number6", r"^(HAN|[A-Za-z0-9])?[A-Za-z0-9]{0,6}(HAN|[A-Za-z0-9])$"),
    ];

    static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
        let compile = |pattern: &str| Regex::new(&pattern.replace("HAN", HAN)).unwrap();
        PATTERNS.map(|(name, pattern)| (name, compile(pattern))).into()
    });

    proptest! {
        #[test]
        fn a_rule_takes_what_its_pattern_takes(
            value in prop_oneof!["[+¥$-]?[0-9]{1,14}(\\.[0-9]{0,3})?[元x]?", "[粤京A-Z0-9]{0,9}", "[通过\\PC]{0,24}", ".{0,6}"],
        ) {
            for (name, pattern) in COMPILED.iter() {
                let objection = objection(name, &value);
                let holds_emoji = EMOJI_OR_CONTROL.as_ref().unwrap().is_match(&value);
                let is_blank = value.trim().is_empty() && !value.is_empty();
                let keeps = pattern.is_match(&value) && !holds_emoji && !is_blank;
                prop_assert!(objection.is_none() || !keeps, "{}: {:?}", name, value);
                prop_assert!(objection.is_some() || pattern.is_match(&value), "{}: {:?}", name, value);
            }
        }
    }
}
