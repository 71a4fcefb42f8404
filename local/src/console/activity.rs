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
    remembered: VecDeque<Arc<str>>,
    /// None after [`Activity::close`].
    watchers: Option<Sender<Arc<str>>>,
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
            remembered: VecDeque::with_capacity(REMEMBERED),
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
        if state.remembered.len() == REMEMBERED {
            state.remembered.pop_front();
        }
        state.remembered.push_back(Arc::clone(&json));
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
        let follower = (state.remembered.clone(), receiver);
        stream::unfold(follower, |(mut remembered, mut receiver)| async move {
            let update = match remembered.pop_front() {
                Some(event) => Update::Happened(event),
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
    async fn a_slow_watcher_is_told_what_it_missed() {
        let activity = Activity::new();
        let mut watcher = Box::pin(activity.follow());
        publish(&activity, BUFFERED + 7);
        assert!(matches!(watcher.next().await, Some(Update::Lost(7))));
        assert_eq!(id(watcher.next().await), 8);
    }
}
