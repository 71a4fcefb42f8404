//! Reads the details that only the text of an `errmsg` carries. Its wording varies from API to API and changes over the
//! years, so each reader relies only on the few characters around the detail.
//!
//! See [WeChat Docs/全局返回码](https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html).

use std::{net::IpAddr, ops::Range};

/// What stands before the request id.
const RID: &str = "rid:";

/// The request id in an errmsg (`rid: 6698ef60-27d10c40-100819f9`). WeChat's diagnosis (API 诊断) finds the call by it for 7
/// days.
#[must_use]
pub fn rid(errmsg: &str) -> Option<&str> {
    Some(last_rid(errmsg)?.1)
}

/// Cuts every request id out of `text`, an errmsg or a sentence that quotes one: WeChat shows the call, with the secret in
/// it, to anyone who looks the id up.
#[must_use]
pub fn without_rid(text: &str) -> String {
    let mut cut = text.to_owned();
    while let Some((place, _)) = last_rid(&cut) {
        let before = cut.get(..place.start).unwrap_or_default().trim_end_matches([' ', ',']);
        let after = cut.get(place.end..).unwrap_or_default();
        cut = format!("{before}{after}");
    }
    cut
}

/// The last request id, and its place with its label.
fn last_rid(errmsg: &str) -> Option<(Range<usize>, &str)> {
    // WeChat appends the rid, so the last label is the true one; an earlier one may be quoted input.
    errmsg.rmatch_indices(RID).find_map(|(start, _)| {
        let text = errmsg.get(start + RID.len()..)?.trim_start();
        let candidate = leading(text, |c| c.is_ascii_hexdigit() || c == '-');
        let groups = candidate.split('-');
        let is_rid = groups.clone().count() == 3 && groups.clone().all(|group| !group.is_empty());
        let end = errmsg.len() - text.len() + candidate.len();
        is_rid.then_some((start..end, candidate))
    })
}

/// The caller's IP address that WeChat refused, from the errmsg of 40164 and sometimes of 61004. The operator must add it to
/// the account's IP whitelist.
///
/// Prefers IPv4: WeChat names the address also as IPv4-mapped IPv6, but does not document which form of IPv6 the whitelist
/// accepts. See [WeChat Docs/IP 白名单](https://developers.weixin.qq.com/doc/oplatform/developers/basic_func/ip_whitelist).
#[must_use]
pub fn denied_address(errmsg: &str) -> Option<&str> {
    let addresses = || {
        errmsg
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == ':'))
            .filter_map(address)
    };
    addresses()
        .find(|(_, ip)| ip.is_ipv4())
        .or_else(|| addresses().next())
        .map(|(text, _)| text)
}

/// The template field that WeChat refuses with 47003: a key of `data`, such as `time5`.
///
/// Knows two wordings: `data.time5.value invalid` (or `is empty`) and `time5.DATA is invalid`.
#[must_use]
pub fn rejected_field(errmsg: &str) -> Option<&str> {
    let named_by_value = errmsg.match_indices("data.").find_map(|(start, label)| {
        let text = errmsg.get(start + label.len()..)?;
        let name = leading(text, is_of_name);
        (!name.is_empty() && text.get(name.len()..)?.starts_with(".value")).then_some(name)
    });
    let named_by_placeholder = || {
        let (before, _) = errmsg.split_once(".DATA")?;
        before.rsplit(|c| !is_of_name(c)).next().filter(|name| !name.is_empty())
    };
    named_by_value.or_else(named_by_placeholder)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn leading(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    text.split(|c| !belongs(c)).next().unwrap_or_default()
}

/// Reads an address from a word that may have punctuation (`198.51.100.7.`) or a label (`requestIP:198.51.100.7`) on it.
fn address(word: &str) -> Option<(&str, IpAddr)> {
    let trimmed = word.trim_end_matches(['.', ':']);
    let unlabelled = trimmed.split_once(':').map_or(trimmed, |(_, rest)| rest);
    let (text, ip) = [word, trimmed, unlabelled]
        .into_iter()
        .find_map(|text| Some((text, text.parse::<IpAddr>().ok()?)))?;
    if ip.is_unspecified() {
        return None;
    }
    // The text of ::ffff:198.51.100.7 ends in its IPv4 address.
    match text.rsplit_once(':') {
        Some((_, tail)) if tail.contains('.') && ip.to_canonical().is_ipv4() => Some((tail, ip.to_canonical())),
        _ => Some((text, ip)),
    }
}

#[cfg(test)]
mod tests {
    use super::{denied_address, rejected_field, rid, without_rid};

    #[test]
    fn rid_ends_the_message_with_or_without_a_comma() {
        let id = Some("6aac005a-01bfdbee-79769285");
        assert_eq!(rid("invalid appid rid: 6aac005a-01bfdbee-79769285"), id);
        assert_eq!(rid("invalid appid, rid: 6aac005a-01bfdbee-79769285"), id);
        assert_eq!(rid("invalid appid rid:6aac005a-01bfdbee-79769285, hint: [x]"), id);
        assert_eq!(rid("rid: unknown field rid: 6aac005a-01bfdbee-79769285"), id);
    }

    #[test]
    fn a_text_that_only_resembles_a_rid_is_not_read_as_one() {
        for errmsg in [
            "",
            "ok",
            "rid:",
            "rid: ",
            "rid: none",
            "rid: 5fd1befd-7eeb5dbe-",
            "invalid grid: 系统繁忙",
        ] {
            assert_eq!(rid(errmsg), None, "{errmsg}");
        }
    }

    #[test]
    fn every_rid_can_be_cut_out_of_a_text() {
        for (text, cut) in [
            (
                "invalid ip 198.51.100.7, not in whitelist rid: 6698ef60-27d10c40-100819f9",
                "invalid ip 198.51.100.7, not in whitelist",
            ),
            (
                "errcode 40013 (invalid appid, rid:1-2-3): mend it",
                "errcode 40013 (invalid appid): mend it",
            ),
            ("rid: 1-2-3 rid: a-b-c, hint: [x]", ", hint: [x]"),
            ("invalid grid: 系统繁忙", "invalid grid: 系统繁忙"),
        ] {
            assert_eq!(without_rid(text), cut);
        }
    }

    #[test]
    fn denied_address_prefers_ipv4() {
        let ipv4 = Some("198.51.100.7");
        for errmsg in [
            "invalid ip 198.51.100.7 ipv6 ::ffff:198.51.100.7, not in whitelist rid: 6698ef60-27d10c40-100819f9",
            "invalid ip 198.51.100.7, not in whitelist",
            "invalid ip 198.51.100.7.",
            "invalid ip 198.51.100.7: not in whitelist",
            "invalid ip ipv6 ::ffff:198.51.100.7, not in whitelist rid: 6698ef60-27d10c40-100819f9",
            "invalid ip 2001:db8::7 ipv4 198.51.100.7, not in whitelist",
            "access clientip is not registered hint: [Ln36_0041e575] requestIP: 198.51.100.7",
            "access clientip is not registered requestIP:198.51.100.7 rid: 6698ef60-27d10c40-100819f9",
            "调用 IP（198.51.100.7）需要管理员确认",
        ] {
            assert_eq!(denied_address(errmsg), ipv4, "{errmsg}");
        }
    }

    #[test]
    fn denied_address_takes_ipv6_when_there_is_nothing_else() {
        assert_eq!(
            denied_address("invalid ip 2001:db8::7, not in whitelist"),
            Some("2001:db8::7")
        );
        assert_eq!(
            denied_address("invalid ip  ipv6 [2001:db8::7], not in whitelist"),
            Some("2001:db8::7")
        );
        assert_eq!(
            denied_address("invalid ip ipv6:2001:db8:0:0:0:0:0:7"),
            Some("2001:db8:0:0:0:0:0:7")
        );
    }

    #[test]
    fn a_message_without_an_address_denies_none() {
        for errmsg in [
            "",
            "invalid ip xx.xx.xx.xx ipv6 ::ffff:xx.xx.xx.xx, not in whitelist rid: 6698ef60-27d10c40-100819f9",
            "invalid ip 0.0.0.0 ipv6 ::, not in whitelist",
            "invalid ip 198.51.100, not in whitelist",
            "此次调用需要管理员确认",
        ] {
            assert_eq!(denied_address(errmsg), None, "{errmsg}");
        }
    }

    #[test]
    fn rejected_field_reads_every_known_wording() {
        let rid = "rid: 669df26e-538a8a1a-15ab8ba4";
        for (errmsg, field) in [
            ("argument invalid! data.time5.value invalid", "time5"),
            ("argument invalid! data.time2.value is empty", "time2"),
            ("argument invalid! data.thing3.value is emtpy", "thing3"),
            (
                "argument invalid! data.character_string1.value invalid",
                "character_string1",
            ),
            ("argument invalid! data.first.value invalid", "first"),
            ("thing01.DATA is invalid", "thing01"),
            (
                "argument invalid! data.{{phone_number6.DATA}} is invalid",
                "phone_number6",
            ),
        ] {
            assert_eq!(rejected_field(&format!("{errmsg} {rid}")), Some(field), "{errmsg}");
        }
    }

    #[test]
    fn a_message_that_names_no_field_rejects_none() {
        for errmsg in [
            "",
            "argument invalid!",
            "data format error",
            "data..value",
            "data.",
            ".DATA",
            "参数.DATA",
        ] {
            assert_eq!(rejected_field(errmsg), None, "{errmsg}");
        }
    }
}
