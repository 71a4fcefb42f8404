//! QR codes with a scene (带参数的二维码).
//!
//! See [WeChat Docs/生成带参数的二维码](https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode).

use std::collections::HashMap;

use super::{
    errcode::ApiError,
    notice::{ScannedCode, Scene},
    random::Random,
};

/// Permanent codes of one account.
const MOST_PERMANENT: usize = 100_000;

/// A code that the account has made.
#[derive(Clone, Debug)]
pub(crate) struct QrCode {
    pub(crate) scanned: ScannedCode,
    /// What the picture says.
    pub(crate) url: String,
    /// Seconds since the epoch, by the simulator's clock; `None` for a permanent code.
    pub(crate) ends_at: Option<i64>,
}

impl QrCode {
    pub(crate) fn has_ended(&self, now: i64) -> bool {
        self.ends_at.is_some_and(|ends_at| now >= ends_at)
    }
}

/// All codes by ticket, also those that have ended, whose picture can still be scanned.
#[derive(Default)]
pub(crate) struct QrCodes {
    by_ticket: HashMap<String, QrCode>,
    /// The tickets by what the pictures say.
    tickets: HashMap<String, String>,
    /// The tickets of the permanent codes by their scene.
    permanent: HashMap<Scene, String>,
    /// A lower limit in place of [`MOST_PERMANENT`].
    pub(crate) most_permanent: Option<usize>,
}

impl QrCodes {
    /// A code that ends at this time.
    pub(crate) fn make_temporary(&mut self, scene: Scene, ends_at: i64, random: &mut Random) -> QrCode {
        self.make(scene, Some(ends_at), random)
    }

    /// The permanent code of the scene, a new one when there is none: 45029 when the account has too many.
    pub(crate) fn make_permanent(&mut self, scene: Scene, random: &mut Random) -> Result<QrCode, ApiError> {
        let made = self.permanent.get(&scene).and_then(|ticket| self.get(ticket));
        if let Some(code) = made {
            return Ok(code.clone());
        }
        if self.permanent.len() >= self.most_permanent.unwrap_or(MOST_PERMANENT) {
            return Err(ApiError::of(45029));
        }
        let code = self.make(scene.clone(), None, random);
        self.permanent.insert(scene, code.scanned.ticket.clone());
        Ok(code)
    }

    fn make(&mut self, scene: Scene, ends_at: Option<i64>, random: &mut Random) -> QrCode {
        let ticket = make_ticket(random);
        let code = QrCode {
            url: format!("http://weixin.qq.com/q/02{}", random.alphanumeric(20)),
            ends_at,
            scanned: ScannedCode {
                scene,
                ticket: ticket.clone(),
            },
        };
        self.tickets.insert(code.url.clone(), ticket.clone());
        self.by_ticket.insert(ticket, code.clone());
        code
    }

    pub(crate) fn get(&self, ticket: &str) -> Option<&QrCode> {
        self.by_ticket.get(ticket)
    }

    /// The code whose picture says this.
    pub(crate) fn by_url(&self, url: &str) -> Option<&QrCode> {
        self.tickets.get(url).and_then(|ticket| self.get(ticket))
    }

    /// The number of permanent codes, and of temporary ones that have not ended.
    pub(crate) fn living(&self, now: i64) -> (usize, usize) {
        let living = self.by_ticket.values().filter(|code| !code.has_ended(now)).count();
        (self.permanent.len(), living - self.permanent.len())
    }
}

pub(crate) fn make_ticket(random: &mut Random) -> String {
    format!("gQ{}==", random.url_safe(92))
}
