//! The reply rules in the table: `replies#<appid>` and its earlier versions.

use std::collections::BTreeSet;

use wechat::store::SavedReplies;

use super::{Bench, NOW, number, race, text};

/// The number of earlier versions that the table keeps.
const KEPT: u64 = 10;

impl Bench {
    async fn save(&self, document: &str, expected: Option<u64>) -> SavedReplies {
        let save = self.table.save_replies(document, expected, NOW);
        save.await.unwrap()
    }
}

#[tokio::test]
async fn versions_are_counted_and_the_last_ten_are_kept() {
    let bench = Bench::start().await;
    assert_eq!(bench.table.replies().await.unwrap(), None);
    let last = KEPT + 3;
    for version in 1..=last {
        let saved = bench.save(&format!("{{\"version\":{version}}}"), None).await;
        assert_eq!(saved, SavedReplies::Saved { version });
    }
    let stored = bench.table.replies().await.unwrap().unwrap();
    assert_eq!(
        (stored.version, stored.document),
        (last, format!("{{\"version\":{last}}}"))
    );
    for version in 1..last {
        let earlier = bench.table.earlier_replies(version).await.unwrap();
        assert_eq!(earlier.is_some(), last - version <= KEPT, "version {version}");
        assert!(earlier.is_none_or(|earlier| earlier.document.contains(&version.to_string())));
    }
    let item = bench.item(format!("replies#{}", bench.app_id)).await.unwrap();
    assert!(text(&item, "document").starts_with('{'));
    assert_eq!((number(&item, "version"), number(&item, "updated_at")), (13, NOW));
}

#[tokio::test]
async fn a_restored_version_says_so_until_a_new_document_is_saved() {
    let bench = Bench::start().await;
    let table = &bench.table;
    bench.save("{\"a\":1}", None).await;
    bench.save("{\"a\":2}", None).await;
    let earlier = table.earlier_replies(1).await.unwrap().unwrap();
    let late = table.restore_replies(&earlier, 1, NOW).await.unwrap();
    assert_eq!(late, SavedReplies::Changed { version: 2 });
    let restored = table.restore_replies(&earlier, 2, NOW).await.unwrap();
    assert_eq!(restored, SavedReplies::Saved { version: 3 });
    let stored = table.replies().await.unwrap().unwrap();
    assert_eq!((stored.document.as_str(), stored.restores), ("{\"a\":1}", Some(1)));
    bench.save("{\"a\":3}", None).await;
    assert_eq!(table.replies().await.unwrap().unwrap().restores, None);
}

#[tokio::test]
async fn a_save_over_another_version_than_expected_changes_nothing() {
    let bench = Bench::start().await;
    assert_eq!(bench.save("{}", Some(1)).await, SavedReplies::Changed { version: 0 });
    assert_eq!(bench.save("{}", Some(0)).await, SavedReplies::Saved { version: 1 });
    assert_eq!(
        bench.save("{\"a\":1}", Some(0)).await,
        SavedReplies::Changed { version: 1 }
    );
    let stored = bench.table.replies().await.unwrap().unwrap();
    assert_eq!((stored.version, stored.document.as_str()), (1, "{}"));
}

#[tokio::test]
async fn of_many_editors_of_one_version_one_is_saved() {
    let bench = Bench::start().await;
    bench.save("{}", None).await;
    let saved = race(|editor| {
        let table = bench.table.clone();
        async move {
            let document = format!("{{\"editor\":{editor}}}");
            table.save_replies(&document, Some(1), NOW).await.unwrap()
        }
    })
    .await;
    let is_saved = |outcome: &&SavedReplies| matches!(outcome, SavedReplies::Saved { .. });
    assert_eq!(saved.iter().filter(is_saved).count(), 1, "{saved:?}");
}

#[tokio::test]
async fn no_save_of_many_is_overwritten_unseen() {
    let bench = Bench::start().await;
    let saved = race(|editor| {
        let table = bench.table.clone();
        async move {
            let document = format!("{{\"editor\":{editor}}}");
            table.save_replies(&document, None, NOW).await.unwrap()
        }
    })
    .await;
    let versions: Vec<_> = saved
        .iter()
        .filter_map(|outcome| match outcome {
            SavedReplies::Saved { version } => Some(*version),
            SavedReplies::Changed { .. } => None,
        })
        .collect();
    let stored = bench.table.replies().await.unwrap().unwrap();
    let distinct: BTreeSet<_> = versions.iter().copied().collect();
    assert_eq!(distinct.len(), versions.len(), "{versions:?}");
    assert_eq!(distinct, (1..=stored.version).collect(), "every version is someone's");
}

#[tokio::test]
async fn a_large_document_comes_back_as_it_was() {
    let bench = Bench::start().await;
    let document = format!("{{\"default\":\"{}\"}}", "欢迎关注😀\\n\\u0000 ".repeat(8_000));
    assert!(document.len() > 150_000);
    bench.save(&document, None).await;
    let stored = bench.table.replies().await.unwrap().unwrap();
    assert!(stored.document == document);
}
