//! The users behind openids: bindings, users, and whether they follow.

use wechat::store::{
    BindOutcome, Binding, BindingState, List, MessageStatus, NewBinding, Person, Replaced, Table, User,
};

use super::{Bench, NOW, RACERS, race, sent_to};

const fn person(openid: &str) -> Person<'_> {
    Person { openid, unionid: None }
}

fn user(user: &str, openid: &str) -> User {
    User {
        user: user.to_owned(),
        openid: openid.to_owned(),
        unionid: None,
        followed: None,
        bound_at: NOW,
    }
}

async fn begin(table: &Table, id: &str, user: &str) {
    let binding = NewBinding {
        id,
        user,
        expires_at: NOW + 600,
        return_to: None,
    };
    table.create_binding(binding).await.unwrap();
}

async fn bound(table: &Table, id: &str, openid: &str, now: i64) -> Binding {
    match table.bind(id, person(openid), now).await.unwrap() {
        BindOutcome::Bound(binding) => binding,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_scan_binds_once_and_the_same_person_gets_the_same_answer_later() {
    let Bench { table, .. } = &Bench::start().await;
    begin(table, "b1", "u-1").await;
    let first = bound(table, "b1", "o1", NOW).await;
    assert_eq!(
        (first.openid.as_deref(), first.replaced.clone()),
        (Some("o1"), Replaced::default())
    );
    assert_eq!(table.user("u-1").await.unwrap(), Some(user("u-1", "o1")));
    assert_eq!(table.user_of("o1").await.unwrap(), Some(user("u-1", "o1")));

    assert_eq!(
        bound(table, "b1", "o1", NOW + 1000).await,
        first,
        "also after the code has ended"
    );
    assert_eq!(
        table.bind("b1", person("o2"), NOW + 1).await.unwrap(),
        BindOutcome::UsedByAnother
    );
    assert_eq!(
        table.user("u-1").await.unwrap(),
        Some(user("u-1", "o1")),
        "nothing has changed"
    );
    assert_eq!(table.user_of("o2").await.unwrap(), None);
    assert_eq!(
        table.bind("nowhere", person("o1"), NOW).await.unwrap(),
        BindOutcome::Unknown
    );
}

#[tokio::test]
async fn a_code_that_has_ended_binds_nobody() {
    let Bench { table, .. } = &Bench::start().await;
    begin(table, "b1", "u-1").await;
    assert_eq!(
        table.bind("b1", person("o1"), NOW + 600).await.unwrap(),
        BindOutcome::Expired
    );
    assert_eq!(table.user("u-1").await.unwrap(), None);
    let binding = table.binding("b1", NOW + 600).await.unwrap().unwrap();
    assert_eq!(binding.state(NOW + 599), BindingState::Pending);
    assert_eq!(binding.state(NOW + 600), BindingState::Expired);
    assert_eq!(
        table.binding("b1", NOW + 600 + 24 * 3600).await.unwrap(),
        None,
        "kept for a day"
    );
}

#[tokio::test]
async fn a_newer_binding_replaces_both_ends_of_older_ones() {
    let Bench { table, .. } = &Bench::start().await;
    table.put_user("u-1", person("o1"), NOW).await.unwrap();
    table.put_user("u-2", person("o2"), NOW).await.unwrap();
    begin(table, "b1", "u-1").await;
    let binding = bound(table, "b1", "o2", NOW).await;
    let replaced = Replaced {
        openid: Some("o1".to_owned()),
        user: Some("u-2".to_owned()),
    };
    assert_eq!(binding.replaced, replaced);
    assert_eq!(table.binding("b1", NOW).await.unwrap().unwrap(), binding);
    assert_eq!(table.user("u-1").await.unwrap(), Some(user("u-1", "o2")));
    assert_eq!(table.user("u-2").await.unwrap(), None);
    assert_eq!(table.user_of("o1").await.unwrap(), None);
}

#[tokio::test]
async fn of_many_scans_at_once_one_person_is_bound() {
    let bench = Bench::start().await;
    begin(&bench.table, "b1", "u-1").await;
    let outcomes = race(|racer| {
        let table = bench.table.clone();
        async move { table.bind("b1", person(&format!("o{racer}")), NOW).await.unwrap() }
    })
    .await;
    let winners: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            BindOutcome::Bound(binding) => binding.openid.clone(),
            BindOutcome::UsedByAnother => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let [winner] = &winners[..] else { panic!("{winners:?}") };
    assert_eq!(bench.table.user("u-1").await.unwrap().unwrap().openid, *winner);
    for racer in 0..RACERS {
        let openid = format!("o{racer}");
        let expected = (openid == *winner).then(|| user("u-1", &openid));
        assert_eq!(bench.table.user_of(&openid).await.unwrap(), expected);
    }
}

/// Every user wants every openid: whatever happens, the ties stay one to one.
#[tokio::test]
async fn ties_stay_one_to_one_under_many_changes_at_once() {
    let bench = Bench::start().await;
    race(|racer| {
        let table = bench.table.clone();
        async move {
            for round in 0..4 {
                let (user, openid) = (format!("u-{}", racer % 4), format!("o{}", (racer / 4 + round) % 4));
                // A change that lost to all others is refused, and changes nothing.
                let _ = table.put_user(&user, person(&openid), NOW).await;
            }
        }
    })
    .await;
    let mut tied = 0;
    for index in 0..4 {
        if let Some(user) = bench.table.user(&format!("u-{index}")).await.unwrap() {
            assert_eq!(bench.table.user_of(&user.openid).await.unwrap(), Some(user));
            tied += 1;
        }
    }
    assert!(tied > 0);
}

#[tokio::test]
async fn the_newest_event_says_whether_a_bound_person_follows() {
    let Bench { table, .. } = &Bench::start().await;
    let followed = async || table.user("u-1").await.unwrap().unwrap().followed;
    table.set_followed("o1", true, NOW).await.unwrap();
    assert_eq!(
        table.user_of("o1").await.unwrap(),
        None,
        "nobody is known by an event alone"
    );
    table.put_user("u-1", person("o1"), NOW).await.unwrap();
    assert_eq!(followed().await, None);
    for (is_followed, at, expected) in [
        (true, NOW + 10, true),
        (false, NOW + 5, true),
        (false, NOW + 10, false),
        (true, NOW + 10, false),
        (false, NOW + 10, false),
        (true, NOW + 11, true),
    ] {
        table.set_followed("o1", is_followed, at).await.unwrap();
        assert_eq!(followed().await, Some(expected), "{is_followed} {at}");
    }
    // What only followers do mends a wrong record, and is no news otherwise.
    table.confirm_follower("o1", NOW + 20).await.unwrap();
    table.set_followed("o1", false, NOW + 12).await.unwrap();
    table.confirm_follower("o1", NOW + 12).await.unwrap();
    assert_eq!(followed().await, Some(false));
    table.confirm_follower("o1", NOW + 13).await.unwrap();
    assert_eq!(followed().await, Some(true));
    table.put_user("u-2", person("o1"), NOW).await.unwrap();
    let moved = table.user("u-2").await.unwrap().unwrap();
    assert_eq!(moved.followed, Some(true), "following belongs to the openid");
}

#[tokio::test]
async fn the_same_tie_again_changes_nothing_and_keeps_the_unionid() {
    let Bench { table, .. } = &Bench::start().await;
    let with_unionid = Person {
        openid: "o1",
        unionid: Some("union"),
    };
    let (stored, _) = table.put_user("u-1", with_unionid, NOW).await.unwrap();
    assert_eq!(table.put_user("u-1", person("o1"), NOW + 9).await.unwrap().0, stored);
    begin(table, "b1", "u-1").await;
    bound(table, "b1", "o1", NOW + 10).await;
    let again = table.user("u-1").await.unwrap().unwrap();
    assert_eq!((again.unionid.as_deref(), again.bound_at), (Some("union"), NOW + 10));
    table.put_user("u-1", person("o2"), NOW).await.unwrap();
    assert_eq!(
        table.user("u-1").await.unwrap().unwrap().unionid,
        None,
        "another person"
    );
}

#[tokio::test]
async fn many_users_are_read_at_once_and_page_by_page() {
    let Bench { table, .. } = &Bench::start().await;
    for index in 0..130 {
        let (user, openid) = (format!("用户/{index}"), format!("o{index}"));
        table.put_user(&user, person(&openid), NOW + index / 3).await.unwrap();
    }
    let found = table.users(&["用户/7", "nobody", "用户/7", "用户/129"]).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found["用户/7"].openid, "o7");

    let first = table.page_of_users(None).await.unwrap();
    assert_eq!(first.entries.len(), 100);
    let cursor = table.cursor_text(List::Users, &first.next.unwrap());
    let second = table
        .page_of_users(Some(&table.parse_cursor(List::Users, &cursor).unwrap()))
        .await
        .unwrap();
    assert_eq!((second.entries.len(), second.next), (30, None));
    let mut all: Vec<_> = first
        .entries
        .into_iter()
        .chain(second.entries)
        .map(|user| user.user)
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 130);
}

#[tokio::test]
async fn of_a_deleted_user_nothing_stays_but_a_digest() {
    let bench = Bench::start().await;
    let table = &bench.table;
    begin(table, "b1", "u-1").await;
    bound(table, "b1", "o1", NOW).await;
    for msgid in 1..=30 {
        table
            .record_sent(sent_to(&msgid.to_string(), "o1", "T"), NOW * 1000)
            .await
            .unwrap();
    }
    table.record_sent(sent_to("31", "o2", "T"), NOW * 1000).await.unwrap();

    begin(table, "b2", "u-1").await;
    begin(table, "b3", "u-2").await;
    while table.delete_bindings("u-1").await.unwrap() {}
    let mut next = table.forget_messages("o1", None).await.unwrap();
    while let Some(cursor) = next {
        next = table.forget_messages("o1", Some(&cursor)).await.unwrap();
    }
    assert_eq!(table.delete_user("u-1").await.unwrap(), Some(user("u-1", "o1")));
    assert_eq!(table.delete_user("u-1").await.unwrap(), None);
    assert_eq!(table.user_of("o1").await.unwrap(), None);
    for (id, is_left) in [("b1", false), ("b2", false), ("b3", true)] {
        assert_eq!(table.binding(id, NOW).await.unwrap().is_some(), is_left, "{id}");
    }
    for msgid in 1..=30 {
        let record = table.message(&msgid.to_string(), NOW).await.unwrap().unwrap();
        assert_eq!((record.touser, record.status), (None, MessageStatus::Sent));
        let item = bench.item(format!("message#{}#{msgid}", bench.app_id)).await.unwrap();
        assert!(!format!("{item:?}").contains("\"o1\""), "{item:?}");
    }
    let other = table.message("31", NOW).await.unwrap().unwrap();
    assert_eq!(other.touser.as_deref(), Some("o2"));
}
