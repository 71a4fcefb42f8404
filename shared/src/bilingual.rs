//! Sentences in English and Chinese: the English half, ` / `, the Chinese half.

use std::fmt::Display;

/// Separates the halves.
const HALVES: &str = " / ";

/// Returns the English and the Chinese half of a sentence. A sentence without halves is returned twice.
#[must_use]
pub fn halves(sentence: &str) -> (&str, &str) {
    sentence.split_once(HALVES).unwrap_or((sentence, sentence))
}

/// Returns a sentence from its halves.
#[must_use]
pub fn both(english: &str, chinese: &str) -> String {
    format!("{english}{HALVES}{chinese}")
}

/// Returns a sentence with its cause, each half with that half of the cause.
#[must_use]
pub fn caused(english: &str, chinese: &str, cause: &(impl Display + ?Sized)) -> String {
    let cause = cause.to_string();
    let (cause_english, cause_chinese) = halves(&cause);
    format!("{english}: {cause_english}{HALVES}{chinese}：{cause_chinese}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_half_has_its_half_of_the_cause() {
        let cause = caused("no table", "没有数据表", "timeout");
        assert_eq!(cause, "no table: timeout / 没有数据表：timeout");
        assert_eq!(
            caused("not sent", "未发送", &cause),
            "not sent: no table: timeout / 未发送：没有数据表：timeout"
        );
    }
}
