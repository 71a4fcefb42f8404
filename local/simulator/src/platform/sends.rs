//! The template messages sent recently: repeats by `client_msg_id`, and the same content twice.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use super::random::Random;

/// Seconds. The same `client_msg_id` to the same user within this time is one message.
///
/// See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).
const REPEAT_WINDOW: i64 = 600;
/// The smallest message id: 19 digits, as accounts see them today.
const FIRST_MSGID: u64 = 3_400_000_000_000_000_000;

/// The last message id, and what recent messages are recognised by.
#[derive(Default)]
pub(crate) struct Sends {
    last: u64,
    /// Message id and time of sending, by openid and `client_msg_id`.
    recent: HashMap<(String, String), (u64, i64)>,
    /// The keys of `recent`, the oldest first.
    order: VecDeque<(String, String)>,
    /// Seconds for which the same content to the same user is refused; `None` lets it pass.
    pub(crate) duplicates_refused_for: Option<u32>,
    contents: HashMap<(String, String), i64>,
}

impl Sends {
    /// The message id of an earlier send with this `client_msg_id` to this user.
    pub(crate) fn repeated(&mut self, openid: &str, client_msg_id: &str, now: i64) -> Option<u64> {
        while let Some(oldest) = self.order.front() {
            let is_old = self
                .recent
                .get(oldest)
                .is_none_or(|(_, sent_at)| now - sent_at >= REPEAT_WINDOW);
            if !is_old {
                break;
            }
            self.recent.remove(oldest);
            self.order.pop_front();
        }
        let key = (openid.to_owned(), client_msg_id.to_owned());
        self.recent.get(&key).map(|(msgid, _)| *msgid)
    }

    /// Whether the same content went to the same user within the window. Remembers the content if not.
    pub(crate) fn is_duplicate(&mut self, openid: &str, content: String, now: i64) -> bool {
        let Some(window) = self.duplicates_refused_for else {
            return false;
        };
        self.contents.retain(|_, sent_at| now - *sent_at < i64::from(window));
        match self.contents.entry((openid.to_owned(), content)) {
            Entry::Occupied(_) => true,
            Entry::Vacant(place) => {
                place.insert(now);
                false
            }
        }
    }

    /// Makes the id of a new message, and remembers it by its `client_msg_id` if that is not empty.
    pub(crate) fn record(&mut self, openid: &str, client_msg_id: String, now: i64, random: &mut Random) -> u64 {
        self.last = self.last.max(FIRST_MSGID) + 1 + random.below(1_000_000_000);
        if !client_msg_id.is_empty() {
            let key = (openid.to_owned(), client_msg_id);
            self.order.push_back(key.clone());
            self.recent.insert(key, (self.last, now));
        }
        self.last
    }
}
