//! Who gets a campaign: lists, followers and those with a tag.

use std::collections::BTreeMap;

use serde_json::json;
use testing::{now, plan};
use wechat::{
    api::FieldValue,
    campaign::{Audience, CampaignState, Order, Plan, Recipient},
    store::MessageStatus,
};

use super::{bench, expected, of, run};
use crate::start;

#[tokio::test]
async fn each_person_in_a_list_gets_one_message_and_the_totals_say_what_became_of_it() {
    let bench = bench().await;
    let openids = bench.stage.wechat.followers(230).await;
    bench.stage.table.bind("u-1", &openids[0]).await;
    bench.stage.table.bind("u-gone", "odhkKgone_gone_gone_gone_gone").await;
    bench.stage.table.set("user#u-gone", &json!({"followed": false})).await;
    let user = |user: &str| Recipient {
        user: Some(user.to_owned()),
        ..Recipient::default()
    };
    let own = Recipient {
        data: [(
            "thing1".to_owned(),
            FieldValue {
                value: "给你的".to_owned(),
                color: None,
            },
        )]
        .into(),
        ..Recipient::of(openids[1].clone())
    };
    let list = |openids: &[String]| openids.iter().cloned().map(Recipient::of).collect::<Vec<_>>();
    let first = [
        vec![user("u-1"), own],
        list(&openids[..150]),
        vec![user("nobody"), user("nobody"), user("u-gone")],
    ]
    .concat();
    let stranger = Recipient::of("odhkKstranger_stranger_strang".to_owned()[..28].to_owned());
    let second = [list(&openids[100..]), vec![stranger]].concat();
    bench.draft(plan(), &[first, second]).await;
    assert_eq!(bench.campaign().await.recipients(), 150 + 5 + 131);
    bench.order(Order::Start).await;

    let mut worker = start(&bench.stage).await;
    assert_eq!(run(&mut worker).await, json!({"campaigns": 1}));
    let campaign = bench.campaign().await;
    assert_eq!(campaign.state, CampaignState::Done, "{campaign:?}");
    assert_eq!(campaign.recipients(), 233);
    assert_eq!(of(bench.totals().await), expected([("sent", 230), ("refused", 3)]));
    let refusals = ["40003", "43004", "unknown-user"].map(|refusal| (refusal.to_owned(), 1));
    assert_eq!(campaign.progress.refusals, BTreeMap::from(refusals));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));
    let shown = bench.stage.wechat.phone(&openids[1]).await;
    assert_eq!(shown[0]["data"]["thing1"], "给你的", "own data, of the first entry");
    assert_eq!(shown[0]["data"]["time2"], "10:00");

    let receipts = async |openids, status| bench.record_receipts(openids, status, now()).await;
    receipts(&openids[..200], MessageStatus::Delivered).await;
    receipts(&openids[200..210], MessageStatus::Blocked).await;
    receipts(&openids[210..220], MessageStatus::Failed).await;
    bench.look_for_receipts().await;
    run(&mut worker).await;
    let totals = [
        ("delivered", 200),
        ("blocked", 10),
        ("failed", 10),
        ("sent", 10),
        ("refused", 3),
    ];
    assert_eq!(of(bench.totals().await), expected(totals));
    assert_eq!(bench.sends().await, 231);
}

#[tokio::test]
async fn followers_and_those_with_a_tag_are_read_page_by_page_when_the_campaign_is_due() {
    let bench = bench().await;
    bench
        .stage
        .wechat
        .control("sizes", &json!({"followers_a_page": 40}))
        .await;
    let openids = bench.stage.wechat.followers(99).await;
    bench
        .draft(
            Plan {
                audience: Audience::Followers,
                ..plan()
            },
            &[],
        )
        .await;
    bench.order(Order::Start).await;
    let mut worker = start(&bench.stage).await;
    run(&mut worker).await;
    // The platform has one follower from the start.
    assert_eq!(of(bench.totals().await), expected([("sent", 100)]));
    assert!(bench.received(&openids).await.iter().all(|count| *count == 1));

    let tagged = json!({"openid": openids[5], "tags": ["134"]});
    bench.stage.wechat.control("user", &tagged).await;
    let tag = Plan {
        audience: Audience::Tag(134),
        ..plan()
    };
    bench.draft_of("c2", tag).await;
    bench.order_of("c2", Order::Start).await;
    let other = || bench.campaign_of("c2");
    bench
        .run_until(worker, || async { other().await.state == CampaignState::Done })
        .await;
    assert_eq!(other().await.recipients(), 1);
}
