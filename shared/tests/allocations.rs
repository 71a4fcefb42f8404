//! Matching a text takes the same memory for any number of rules.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use allocation_counter::{AllocationInfo, measure};
use serde_json::{Value, json};
use wechat::rules::ReplyRules;

/// `count` rules of all types, of which only the first matches the text of [`cost_of_a_text`].
fn rules(count: usize) -> ReplyRules {
    let rule = |index: usize| -> Value {
        let (kind, value) = match index % 4 {
            _ if index == 0 => ("contains", "订单".to_owned()),
            0 => ("exact", format!("问题{index}")),
            1 => ("prefix", format!("查询{index}号")),
            2 => ("contains", format!("退货{index}单")),
            _ => ("regex", format!("^(快递|物流){index}\\d+(哪|何)$")),
        };
        json!({"match": kind, "value": value, "reply": {"type": "text", "content": "r"}})
    };
    let document = json!({"keywords": (0..count).map(rule).collect::<Vec<_>>()});
    ReplyRules::parse(document.to_string().as_bytes()).unwrap()
}

fn cost_of_a_text(rules: &ReplyRules) -> AllocationInfo {
    let answer = || assert_eq!(rules.answer_text("快递到哪了，我的订单").unwrap().rule, "/keywords/0");
    // The first text builds DFA states, which stay in the cache.
    answer();
    measure(answer)
}

#[test]
fn two_thousand_rules_need_no_more_memory_for_a_text_than_ten() {
    let (few, many) = (cost_of_a_text(&rules(10)), cost_of_a_text(&rules(2000)));
    assert_eq!(
        (many.count_total, many.bytes_total),
        (few.count_total, few.bytes_total),
        "{many:?} instead of {few:?}"
    );
}
