//! Reads the audience: followers from WeChat, users from the table, and finds people who are in it twice. Every step can be
//! repeated, and memory does not grow with the audience.

use std::collections::HashSet;

use wechat::{
    api::calls::followers::{Followers, GetFollowers, GetTagged},
    campaign::{Audience, CHUNK, CampaignState, Change, Loading, Mark, NewState, Recipient, into_chunks},
    digest::sha256,
    errcode::NOT_A_FOLLOWER,
    store::USERS_LIMIT,
    token::CallError,
};

use super::{
    judge::ending_of,
    ledgers::{CHUNK_STEP, chunk_steps, new_ledger},
    run::{Ended, Run},
};

/// Entries of an audience whose people are compared in one pass. A larger audience takes several passes, so that the set of those
/// already seen stays below some 10 MB.
const COMPARED_AT_ONCE: u64 = 250_000;
/// The reason recorded for a user who is not bound to an openid.
const UNKNOWN_USER: &str = "unknown-user";

impl Run<'_> {
    /// Reads the audience, and goes to the state that follows.
    pub(super) async fn load(&self) -> Result<(), Ended> {
        while self.may_go_on() {
            let (step, audience, chunks) = {
                let campaign = self.campaign();
                (
                    campaign.progress.loading.clone(),
                    campaign.plan.audience,
                    campaign.chunks,
                )
            };
            match step {
                Loading::Ahead => {
                    self.campaign().progress.loading = match audience {
                        Audience::List => Loading::Users { chunk: 0 },
                        Audience::Followers | Audience::Tag(_) => Loading::Followers { after: String::new() },
                    };
                }
                Loading::Followers { after } => match self.followers(audience, &after).await {
                    Ok(page) => self.add_followers(&after, page).await?,
                    Err(error) => {
                        return match ending_of(error, self.now_millis()) {
                            Some(ending) => self.follow(ending, None).await,
                            None => Ok(()),
                        };
                    }
                },
                Loading::Users { chunk } if chunk < chunks => {
                    let next = chunks.min(chunk + CHUNK_STEP);
                    self.resolve_users(chunk..next).await?;
                    self.campaign().progress.loading = Loading::Users { chunk: next };
                }
                Loading::Users { .. } => self.begin_passes(),
                Loading::Duplicates { pass, passes, people } => self.find_duplicates(pass, passes, people).await?,
                Loading::Over => return self.begin().await,
            }
        }
        Ok(())
    }

    /// Goes on to the first message, or ends a campaign with nobody in its audience.
    async fn begin(&self) -> Result<(), Ended> {
        let people = self.campaign().progress.recipients;
        tracing::info!(
            campaign = self.id,
            people,
            "the audience of a campaign is loaded / 群发任务接收者加载完毕"
        );
        if people > 0 {
            return self.resume().await;
        }
        let reason = "there is nobody in the audience / 没有接收者";
        let done = NewState {
            reason: Some(reason.to_owned()),
            finished_at: Some(self.now()),
            ..NewState::plain(CampaignState::Done)
        };
        self.enter(done, |_| {}).await.map(|_| ())
    }

    async fn followers(&self, audience: Audience, after: &str) -> Result<Followers, CallError> {
        match audience {
            Audience::Tag(tag) => self.account.call(&GetTagged { tag, after }, self.limit.deadline).await,
            Audience::List | Audience::Followers => {
                self.account.call(&GetFollowers { after }, self.limit.deadline).await
            }
        }
    }

    /// Adds a page of followers to the audience. A repeat replaces what a run that died has written.
    async fn add_followers(&self, after: &str, page: Followers) -> Result<(), Ended> {
        let Followers { openids, next } = page;
        let count = openids.len() as u64;
        let chunks = into_chunks(openids.into_iter().map(Recipient::of).collect());
        let (first, entries) = {
            let campaign = self.campaign();
            (campaign.chunks, campaign.entries)
        };
        let table = &self.account.table;
        table.put_chunks(&self.id, first, &chunks).await?;
        let progress = {
            let mut campaign = self.campaign();
            campaign.chunks = first + u32::try_from(chunks.len()).unwrap_or(u32::MAX);
            campaign.entries = entries + count;
            campaign.progress.loading = match next.filter(|next| next != after) {
                Some(next) => Loading::Followers { after: next },
                None => Loading::Users { chunk: campaign.chunks },
            };
            (campaign.progress.clone(), campaign.chunks, campaign.entries)
        };
        let (progress, chunks, entries) = progress;
        let _one_at_a_time = self.writing.lock().await;
        if table
            .extend_campaign(&self.id, &self.owner, &progress, chunks, entries)
            .await?
        {
            Ok(())
        } else {
            Err(Ended::Lost)
        }
    }

    fn begin_passes(&self) {
        let mut campaign = self.campaign();
        let passes = campaign.entries.div_ceil(COMPARED_AT_ONCE).max(1);
        campaign.progress.loading = Loading::Duplicates {
            pass: 0,
            passes: u32::try_from(passes).unwrap_or(u32::MAX),
            people: 0,
        };
    }

    /// Resolves the users that these chunks name. A user who is not bound or has unfollowed counts as refused: no message
    /// can reach them.
    async fn resolve_users(&self, chunks: std::ops::Range<u32>) -> Result<(), Ended> {
        let table = &self.account.table;
        let counted = chunks.filter(|chunk| !self.campaign().skips(*chunk));
        for (chunk, mut recipients) in table.chunks(&self.id, counted).await? {
            let wanted: Vec<&str> = recipients.iter().filter_map(|entry| entry.user.as_deref()).collect();
            if wanted.is_empty() {
                continue;
            }
            const { assert!(CHUNK <= USERS_LIMIT, "one read resolves the users of a chunk") };
            let users = table.users(&wanted).await?;
            let mut refused = Vec::new();
            for (position, entry) in recipients.iter_mut().enumerate() {
                let Some(user) = &entry.user else { continue };
                match users.get(user) {
                    None => refused.push((position, UNKNOWN_USER.to_owned())),
                    Some(user) => {
                        entry.openid = Some(user.openid.clone());
                        if user.followed == Some(false) {
                            refused.push((position, NOT_A_FOLLOWER.to_string()));
                        }
                    }
                }
            }
            table
                .put_chunks(&self.id, chunk, std::slice::from_ref(&recipients))
                .await?;
            if !refused.is_empty() {
                let mut stored = self.ledger(chunk, recipients.len()).await?;
                for (position, errcode) in refused {
                    stored.ledger.apply(position, Change::Refused(errcode));
                }
                self.put_ledger(chunk, &stored).await?;
            }
        }
        Ok(())
    }

    /// Finds the people who are in the audience twice, among the share of all people that `pass` compares. Keeps the first
    /// entry.
    async fn find_duplicates(&self, pass: u32, passes: u32, people: u64) -> Result<(), Ended> {
        let chunks = self.campaign().chunks;
        let mut seen = HashSet::new();
        let table = &self.account.table;
        for step in chunk_steps(chunks) {
            if !self.may_go_on() {
                return Ok(());
            }
            let counted = step.filter(|chunk| !self.campaign().skips(*chunk));
            let found = table.chunks(&self.id, counted.clone()).await?;
            let mut ledgers = table.ledgers(&self.id, found.keys().copied()).await?;
            for (chunk, recipients) in found {
                let stored = ledgers.remove(&chunk).unwrap_or_else(|| new_ledger(recipients.len()));
                let mut changed = stored.clone();
                for (position, recipient) in recipients.iter().enumerate() {
                    let name = identity(recipient);
                    let is_dropped = stored.ledger.marks().get(position) == Some(&Mark::Duplicate);
                    if share_of(name, passes) == pass && !is_dropped && !seen.insert(name) {
                        changed.ledger.drop_duplicate(position);
                    }
                }
                if changed != stored {
                    self.put_ledger(chunk, &changed).await?;
                }
            }
        }
        let people = people + seen.len() as u64;
        if pass + 1 < passes {
            let pass = pass + 1;
            self.campaign().progress.loading = Loading::Duplicates { pass, passes, people };
            return Ok(());
        }
        self.campaign().progress.recipients = people;
        self.recount().await?;
        // Only now: an order that ends the run here finds totals that add up.
        let progress = &mut self.campaign().progress;
        progress.refused_at_loading = progress.totals.refused;
        progress.loading = Loading::Over;
        Ok(())
    }
}

/// A short name of a person. No two people share one: it is half of a SHA-256.
fn identity(recipient: &Recipient) -> u128 {
    let (kind, name) = recipient.identity();
    let digest = sha256(format!("{kind} {name}").as_bytes());
    let (half, _) = digest.split_at(16);
    half.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// The pass that looks at a person.
fn share_of(name: u128, passes: u32) -> u32 {
    u32::try_from((name >> 64) % u128::from(passes.max(1))).unwrap_or(0)
}
