//! The stream of events that the console shows: the last ones, then each new one. A watcher that is too slow loses the
//! oldest and learns how many.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::{Stream, stream};
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};
use wechat::{
    clock::{Clock, SystemClock},
    json,
    lock::lock,
};

use super::event::Event;

/// Past events that a new watcher gets.
const REMEMBERED: usize = 200;
/// Past reads of the console itself. It polls, so they have places of their own and push nothing else out.
const OWN_READS: usize = 50;
/// Events that a watcher may lag behind.
const BUFFERED: usize = 256;

/// The events of one run. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started_at: i64,
    state: Mutex<State>,
}

/// The events, as the JSON that watchers read.
#[derive(Debug)]
struct State {
    last_id: u64,
    remembered: Ring<REMEMBERED>,
    own_reads: Ring<OWN_READS>,
    /// None after [`Activity::close`].
    watchers: Option<Sender<Arc<str>>>,
}

/// The last `N` events, by their ids.
#[derive(Debug, Default)]
struct Ring<const N: usize>(VecDeque<(u64, Arc<str>)>);

impl<const N: usize> Ring<N> {
    fn push(&mut self, id: u64, event: Arc<str>) {
        if self.0.len() == N {
            self.0.pop_front();
        }
        self.0.push_back((id, event));
    }
}

/// An item of a watcher's stream.
#[derive(Debug)]
pub(crate) enum Update {
    /// An event, as JSON.
    Happened(Arc<str>),
    /// The number of events that the watcher missed.
    Lost(u64),
}

impl Activity {
    pub(crate) fn new() -> Self {
        let state = State {
            last_id: 0,
            remembered: Ring::default(),
            own_reads: Ring::default(),
            watchers: Some(broadcast::channel(BUFFERED).0),
        };
        Self(Arc::new(Shared {
            started_at: SystemClock.now_millis(),
            state: Mutex::new(state),
        }))
    }

    /// Epoch milliseconds. They identify the run, so that a page drops the events of an earlier one.
    pub(crate) fn started_at(&self) -> i64 {
        self.0.started_at
    }

    pub(crate) fn publish(&self, mut event: Event) {
        let mut state = self.lock();
        state.last_id += 1;
        event.id = state.last_id;
        let json: Arc<str> = json::write(&event).into();
        if event.is_own_read {
            state.own_reads.push(event.id, Arc::clone(&json));
        } else {
            state.remembered.push(event.id, Arc::clone(&json));
        }
        if let Some(watchers) = &state.watchers {
            // An error means that there is no watcher.
            let _ = watchers.send(json);
        }
    }

    /// Streams the remembered events, then each new one until [`Self::close`].
    pub(crate) fn follow(&self) -> impl Stream<Item = Update> + use<> {
        let state = self.lock();
        let receiver = match &state.watchers {
            Some(watchers) => watchers.subscribe(),
            None => broadcast::channel(1).1,
        };
        let mut remembered: Vec<_> = state.remembered.0.iter().chain(&state.own_reads.0).cloned().collect();
        remembered.sort_unstable_by_key(|(id, _)| *id);
        let follower = (remembered.into_iter(), receiver);
        stream::unfold(follower, |(mut remembered, mut receiver)| async move {
            let update = match remembered.next() {
                Some((_, event)) => Update::Happened(event),
                None => next(&mut receiver).await?,
            };
            Some((update, (remembered, receiver)))
        })
    }

    /// Ends every watcher's stream.
    pub(crate) fn close(&self) {
        self.lock().watchers = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

async fn next(receiver: &mut Receiver<Arc<str>>) -> Option<Update> {
    match receiver.recv().await {
        Ok(event) => Some(Update::Happened(event)),
        Err(RecvError::Lagged(count)) => Some(Update::Lost(count)),
        Err(RecvError::Closed) => None,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn publish(activity: &Activity, count: usize) {
        for _ in 0..count {
            activity.publish(Event::default());
        }
    }

    fn id(update: Option<Update>) -> u64 {
        match update {
            Some(Update::Happened(event)) => serde_json::from_str::<serde_json::Value>(&event).unwrap()["id"]
                .as_u64()
                .unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_fresh_watcher_sees_the_last_events_and_then_the_new_ones() {
        let activity = Activity::new();
        publish(&activity, REMEMBERED + 3);
        let mut watcher = Box::pin(activity.follow());
        publish(&activity, 1);
        for expected in 4..=REMEMBERED as u64 + 4 {
            assert_eq!(id(watcher.next().await), expected);
        }
        activity.close();
        assert!(watcher.next().await.is_none());
        assert_eq!(
            id(Box::pin(activity.follow()).next().await),
            5,
            "history outlives the end"
        );
    }

    #[tokio::test]
    async fn the_consoles_own_reads_push_no_event_out() {
        let activity = Activity::new();
        publish(&activity, 1);
        for _ in 0..REMEMBERED {
            let mut read = Event::default();
            read.is_own_read = true;
            activity.publish(read);
        }
        publish(&activity, 1);
        let mut watcher = Box::pin(activity.follow());
        let mut seen = Vec::new();
        for _ in 0..OWN_READS + 2 {
            seen.push(id(watcher.next().await));
        }
        let last = REMEMBERED as u64 + 2;
        assert_eq!((seen[0], *seen.last().unwrap()), (1, last));
        assert!(seen.is_sorted(), "a watcher skips what comes out of turn: {seen:?}");
    }

    #[tokio::test]
    async fn a_slow_watcher_is_told_what_it_missed() {
        let activity = Activity::new();
        let mut watcher = Box::pin(activity.follow());
        publish(&activity, BUFFERED + 7);
        assert!(matches!(watcher.next().await, Some(Update::Lost(7))));
        assert_eq!(id(watcher.next().await), 8);
    }
}
