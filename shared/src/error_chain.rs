//! Errors as text, for logs and messages.

use std::error::Error;

/// Joins the texts of `error` and its sources. Never uses `Debug`, which may show a request, an item or a URL.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut texts = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        texts = format!("{texts}: {error}");
        source = error.source();
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn every_source_is_told() {
        let inner = std::fmt::Error;
        assert_eq!(chain(&Outer(inner)), format!("outer: {inner}"));
    }
}
