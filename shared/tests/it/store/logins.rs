//! Web logins: one exchange, one end for every request, and a code that is good once.

use wechat::{
    secret::Secret,
    store::{Login, LoginClaim, LoginEnd, LoginPurpose, Person, Table},
};

use super::{Bench, NOW, RACERS, race};

const PERSON: Person<'_> = Person {
    openid: "o1",
    unionid: Some("union"),
};

async fn begin(table: &Table, state: &str) -> Login {
    let login = Login {
        purpose: LoginPurpose::Return("https://shop.example.com/".to_owned()),
        browser_sha256: "digest".to_owned(),
        code: Secret::new(format!("code of {state}")),
        expires_at: NOW + 600,
    };
    table.create_login(state, &login).await.unwrap();
    login
}

#[tokio::test]
async fn of_many_requests_one_exchanges_and_all_get_its_end() {
    let bench = Bench::start().await;
    let login = begin(&bench.table, "s1").await;
    let claims = race(|racer| {
        let table = bench.table.clone();
        async move { table.claim_login("s1", &format!("run {racer}"), NOW).await.unwrap() }
    })
    .await;
    let won = claims.iter().filter(|claim| **claim == LoginClaim::Won).count();
    let waiting = claims.iter().filter(|claim| **claim == LoginClaim::InProgress).count();
    assert_eq!((won, waiting), (1, RACERS - 1));

    let table = &bench.table;
    begin(table, "s2").await;
    assert_eq!(table.claim_login("s2", "a", NOW).await.unwrap(), LoginClaim::Won);
    assert!(
        !table
            .end_login_with_code("s2", "b", &login.code, PERSON, NOW + 120)
            .await
            .unwrap()
    );
    let code = Secret::new("code of s2");
    assert!(
        table
            .end_login_with_code("s2", "a", &code, PERSON, NOW + 120)
            .await
            .unwrap()
    );
    let ended = LoginClaim::Ended(LoginEnd::LoggedIn);
    assert_eq!(table.claim_login("s2", "b", NOW).await.unwrap(), ended);
    assert!(
        !table.end_login("s2", "a", &LoginEnd::Snapshot).await.unwrap(),
        "it has ended"
    );
}

#[tokio::test]
async fn a_claim_that_was_given_up_or_whose_holder_died_is_free() {
    let Bench { table, .. } = &Bench::start().await;
    begin(table, "s1").await;
    assert_eq!(table.claim_login("s1", "a", NOW).await.unwrap(), LoginClaim::Won);
    assert_eq!(table.claim_login("s1", "b", NOW).await.unwrap(), LoginClaim::InProgress);
    table.give_up_login("s1", "a").await.unwrap();
    assert_eq!(table.claim_login("s1", "b", NOW).await.unwrap(), LoginClaim::Won);
    assert_eq!(table.claim_login("s1", "c", NOW + 30).await.unwrap(), LoginClaim::Won);
    assert!(
        !table.end_login("s1", "b", &LoginEnd::Snapshot).await.unwrap(),
        "it lost the claim"
    );
    assert!(table.end_login("s1", "c", &LoginEnd::Refused(40163)).await.unwrap());
    assert_eq!(
        table.claim_login("s1", "d", NOW + 600).await.unwrap(),
        LoginClaim::Unknown,
        "it has expired"
    );
    assert_eq!(
        table.claim_login("nowhere", "d", NOW).await.unwrap(),
        LoginClaim::Unknown
    );
    assert!(table.login("s1", NOW + 600).await.unwrap().is_none());
}

#[tokio::test]
async fn a_code_is_redeemed_once_and_in_time() {
    let bench = Bench::start().await;
    let table = &bench.table;
    for state in ["s1", "s2"] {
        let login = begin(table, state).await;
        table.claim_login(state, "a", NOW).await.unwrap();
        assert!(
            table
                .end_login_with_code(state, "a", &login.code, PERSON, NOW + 120)
                .await
                .unwrap()
        );
    }
    assert!(
        !table.redeem_login("code of s1", "r", NOW + 120).await.unwrap(),
        "it has expired"
    );
    assert!(
        !table.redeem_login("s1", "r", NOW).await.unwrap(),
        "a state is not a code"
    );
    let person = Some(("o1".to_owned(), Some("union".to_owned())));
    assert_eq!(table.login_person("code of s1", NOW + 119).await.unwrap(), person);
    assert_eq!(table.login_person("code of s1", NOW + 120).await.unwrap(), None);
    assert_eq!(table.login_person("s1", NOW).await.unwrap(), None);
    assert_eq!(
        table.claim_login("code of s1", "r", NOW).await.unwrap(),
        LoginClaim::Unknown,
        "a code is not a state"
    );
    let redeemed = race(|racer| {
        let table = bench.table.clone();
        async move {
            table
                .redeem_login("code of s2", &format!("run {racer}"), NOW + 119)
                .await
                .unwrap()
        }
    })
    .await;
    assert_eq!(redeemed.into_iter().filter(|redeemed| *redeemed).count(), 1);
    assert!(!table.redeem_login("code of s2", "another", NOW + 119).await.unwrap());
    assert_eq!(table.login_person("code of s2", NOW + 119).await.unwrap(), None);
}
