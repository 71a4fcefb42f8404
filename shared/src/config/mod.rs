//! The configuration of the functions, from the environment and the secret that it names.
//!
//! Reading reports all problems together and never shows a secret. [`crate::live`] reads the secret again while a function
//! runs.

#[cfg(feature = "client")]
mod callers;
mod forward;
#[cfg(feature = "client")]
mod staff_login;
#[cfg(test)]
mod tests;
#[cfg(feature = "client")]
mod users;

use std::{collections::HashMap, error::Error, fmt, time::Duration};

use serde_json::Value;

pub use self::forward::{ForwardConfig, ForwardUrl, SigningSecret};
#[cfg(feature = "client")]
pub use self::{
    callers::{
        AdminConfig, ApiConfig, CallerConfig, RefresherConfig, SHORTEST_API_KEY, WorkerConfig, count_short_keys,
    },
    staff_login::StaffLogin,
    users::UsersConfig,
};
use crate::{
    bilingual::{both, caused, halves},
    callback::{CallbackVerifier, MessageMode, aes::EncodingAesKey},
    secret::Secret,
};

const APP_ID: &str = "WECHAT_APP_ID";
const TOKEN: &str = "WECHAT_TOKEN";
const ENCODING_AES_KEY: &str = "WECHAT_ENCODING_AES_KEY";
const MESSAGE_MODE: &str = "WECHAT_MESSAGE_MODE";
const MAX_CLOCK_SKEW: &str = "WECHAT_MAX_CLOCK_SKEW";
/// The variable with the name or ARN of the secret, whose values complete the environment.
const SECRET_ID: &str = "WECHAT_SECRET_ID";
/// Seconds of tolerated clock skew between a callback's timestamp and now.
const DEFAULT_MAX_CLOCK_SKEW: u64 = 600;

/// The values to configure from: variables of the process, members of a secret, or pairs in a test. An empty value counts as
/// absent.
#[derive(Clone, Default)]
pub struct Environment {
    values: HashMap<String, String>,
    /// Why the secret's values are absent.
    secret_problem: Option<SecretError>,
}

impl Environment {
    /// Reads the environment of this process. Skips variables that are not UTF-8.
    #[must_use]
    pub fn process() -> Self {
        Self::from_pairs(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// Collects the values of `pairs`.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self {
            values: pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            secret_problem: None,
        }
    }

    /// Adds the values of `pairs`, which replace values of the same name.
    #[must_use]
    pub fn with<N: Into<String>>(mut self, pairs: impl IntoIterator<Item = (N, String)>) -> Self {
        self.values
            .extend(pairs.into_iter().map(|(name, value)| (name.into(), value)));
        self
    }

    /// Adds the members of a secret's JSON object that are texts, numbers or booleans. A variable that is set directly wins.
    ///
    /// # Errors
    /// [`SecretFormatError`] when `json` is not a JSON object.
    pub fn with_secret(mut self, json: &str) -> Result<Self, SecretFormatError> {
        let values: HashMap<String, Value> = serde_json::from_str(json).map_err(|_| SecretFormatError)?;
        for (name, value) in values {
            let value = match value {
                Value::String(text) => text,
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => continue,
            };
            if self.get(&name).is_none() {
                self.values.insert(name, value);
            }
        }
        Ok(self)
    }

    /// Adds the values of the secret, or keeps the reason why it gave none. A configuration then fails with this reason
    /// next to its other problems.
    #[must_use]
    pub fn completed(self, secret: Result<&str, SecretError>) -> Self {
        let problem = match secret {
            Ok(json) => match self.clone().with_secret(json) {
                Ok(completed) => return completed,
                Err(error) => error.into(),
            },
            Err(error) => error,
        };
        Self {
            secret_problem: Some(problem),
            ..self
        }
    }

    /// The name or ARN of the secret, if `WECHAT_SECRET_ID` is set.
    #[must_use]
    pub fn secret_id(&self) -> Option<&str> {
        self.get(SECRET_ID)
    }

    /// The value of `name` without the whitespace around it; `None` when it is absent or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} values)", self.values.len())
    }
}

/// The secret that `WECHAT_SECRET_ID` names is not a JSON object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret that WECHAT_SECRET_ID names must be a JSON object of names and texts \
     / WECHAT_SECRET_ID 指向的密钥应为 JSON 对象，值为字符串"
)]
pub struct SecretFormatError;

/// Why the values of the secret that `WECHAT_SECRET_ID` names are absent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not return the secret.
    #[error(
        "{}",
        caused(
            "the secret that WECHAT_SECRET_ID names cannot be read",
            "无法读取 WECHAT_SECRET_ID 指向的密钥",
            &format!("{cause}{}", detail(.message))
        )
    )]
    Unreadable {
        /// The error's code, or why no answer came. Strangers may see it.
        cause: String,
        /// The error's message, which may name roles and accounts. Empty when there is none.
        message: String,
    },
    /// The secret is not a JSON object.
    #[error(transparent)]
    Format(#[from] SecretFormatError),
}

impl SecretError {
    /// Secrets Manager did not answer in time.
    pub(crate) fn late() -> Self {
        Self::Unreadable {
            cause: "no answer in time".to_owned(),
            message: String::new(),
        }
    }
}

impl From<SecretError> for ConfigError {
    fn from(error: SecretError) -> Self {
        Self {
            secret: Some(error),
            problems: Vec::new(),
        }
    }
}

fn detail(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

/// All problems of an environment. Its text names the variables and shows no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    secret: Option<SecretError>,
    problems: Vec<String>,
}

impl ConfigError {
    /// Joins the problems of several configurations and drops duplicates.
    #[must_use]
    pub fn union(errors: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self {
            secret: None,
            problems: Vec::new(),
        };
        for error in errors {
            all.secret = all.secret.or(error.secret);
            for problem in error.problems {
                if !all.problems.contains(&problem) {
                    all.problems.push(problem);
                }
            }
        }
        all
    }

    /// Whether the only problem is that the secret could not be read, or is malformed. A later read may complete the configuration.
    #[must_use]
    pub fn awaits_secret(&self) -> bool {
        self.secret.is_some() && self.problems.is_empty()
    }

    /// Whether there is a secret, and it is not a JSON object.
    #[must_use]
    pub const fn has_malformed_secret(&self) -> bool {
        matches!(self.secret, Some(SecretError::Format(_)))
    }

    /// The error type with which an invoked function fails.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        if self.awaits_secret() {
            "SecretUnreadable"
        } else {
            "Configuration"
        }
    }

    /// The text that strangers may see: it leaves out the message of Secrets Manager, which may name roles and accounts.
    #[must_use]
    pub fn public(&self) -> String {
        let secret = self.secret.clone().map(|error| match error {
            SecretError::Unreadable { cause, .. } => SecretError::Unreadable {
                cause,
                message: String::new(),
            },
            format @ SecretError::Format(_) => format,
        });
        let public = Self {
            secret,
            problems: self.problems.clone(),
        };
        public.to_string()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.secret.as_ref().map(ToString::to_string);
        let problems: Vec<&str> = secret.iter().chain(&self.problems).map(String::as_str).collect();
        let count = problems.len();
        let (english, chinese): (Vec<&str>, Vec<&str>) = problems.into_iter().map(halves).unzip();
        f.write_str(&both(
            &format!("the configuration has {count} problem(s): {}", english.join("; ")),
            &format!("配置有 {count} 处错误：{}", chinese.join("；")),
        ))
    }
}

impl Error for ConfigError {}

/// Collects problems while values are read.
struct Reader<'a> {
    environment: &'a Environment,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(environment: &'a Environment) -> Self {
        Self {
            environment,
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, name: &str, english: &str, chinese: &str) {
        self.problems
            .push(both(&format!("{name}: {english}"), &format!("{name}：{chinese}")));
    }

    fn optional(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name)
    }

    /// Whether an absent value may be in the secret, which gave no values.
    const fn may_be_in_the_secret(&self) -> bool {
        self.environment.secret_problem.is_some()
    }

    fn required(&mut self, name: &str) -> String {
        match self.optional(name) {
            Some(value) => value.to_owned(),
            None => {
                if !self.may_be_in_the_secret() {
                    self.problem(name, "is not set", "未设置");
                }
                String::new()
            }
        }
    }

    /// Reads the AppID and checks its shape.
    /// See [WeChat Docs/接入指南](https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Access_Overview.html), also
    /// for Token, EncodingAESKey and 消息加解密方式.
    fn app_id(&mut self) -> String {
        let app_id = self.required(APP_ID);
        let well_formed = app_id.starts_with("wx") && app_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !app_id.is_empty() && !well_formed {
            self.problem(
                APP_ID,
                "is not an AppID (wx, then letters and digits)",
                "不是合法的 AppID（应以 wx 开头，其后为字母与数字）",
            );
        }
        app_id
    }

    fn aes_key(&mut self, name: &str) -> Option<EncodingAesKey> {
        match EncodingAesKey::parse(self.optional(name)?) {
            Ok(key) => Some(key),
            Err(error) => {
                let error = error.to_string();
                let (english, chinese) = halves(&error);
                self.problems
                    .push(both(&format!("{name}: {english}"), &format!("{name}：{chinese}")));
                None
            }
        }
    }

    fn message_mode(&mut self) -> MessageMode {
        let has_key = self.optional(ENCODING_AES_KEY).is_some();
        let mode = match self.optional(MESSAGE_MODE).map(MessageMode::parse) {
            None if has_key => MessageMode::Safe,
            None => MessageMode::Plain,
            Some(Some(mode)) => mode,
            Some(None) => {
                self.problem(
                    MESSAGE_MODE,
                    "must be plain, compat or safe",
                    "应为 plain、compat 或 safe",
                );
                return MessageMode::Plain;
            }
        };
        if mode != MessageMode::Plain && !has_key && !self.may_be_in_the_secret() {
            self.problem(
                ENCODING_AES_KEY,
                "is needed in compat and safe mode",
                "兼容模式与安全模式需要 EncodingAESKey",
            );
        }
        mode
    }

    /// Reads the callback settings.
    fn verifier(&mut self) -> CallbackVerifier {
        let app_id = self.app_id();
        let current = self.required(TOKEN);
        let previous = self.optional("WECHAT_TOKEN_PREVIOUS");
        let tokens = std::iter::once(current.as_str())
            .chain(previous)
            .map(Secret::new)
            .collect();
        let keys = [
            self.aes_key(ENCODING_AES_KEY),
            self.aes_key("WECHAT_ENCODING_AES_KEY_PREVIOUS"),
        ];
        CallbackVerifier {
            app_id,
            tokens,
            keys: keys.into_iter().flatten().collect(),
            mode: self.message_mode(),
            max_clock_skew: self.seconds(MAX_CLOCK_SKEW, DEFAULT_MAX_CLOCK_SKEW),
        }
    }

    fn seconds(&mut self, name: &str, default: u64) -> u64 {
        match self.optional(name).map(str::parse) {
            None => default,
            Some(Ok(seconds)) => seconds,
            Some(Err(_)) => {
                self.problem(name, "must be a number of seconds", "应为秒数");
                default
            }
        }
    }

    #[cfg(feature = "client")]
    fn api_keys(&self) -> Vec<Secret> {
        let keys = self.optional("API_KEYS").unwrap_or_default();
        keys.split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(Secret::new)
            .collect()
    }

    fn finish<T>(self, config: T) -> Result<T, ConfigError> {
        let secret = self.environment.secret_problem.clone();
        if secret.is_none() && self.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError {
                secret,
                problems: self.problems,
            })
        }
    }
}

/// The configuration of the webhook.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The name of the DynamoDB table.
    pub table: String,
    /// Verifies callbacks and decrypts them.
    pub verifier: CallbackVerifier,
    /// The EventBridge bus for every verified callback, by name or ARN.
    pub event_bus: Option<String>,
    /// The function `worker`, by name or ARN. It takes over effects that failed.
    pub worker_function: Option<String>,
    /// The team's own code, which may answer callbacks.
    pub forward: Option<ForwardConfig>,
    /// How long own code may take for a reply.
    pub forward_budget: Duration,
}

impl WebhookConfig {
    /// Reads `WECHAT_APP_ID`, `WECHAT_TOKEN`, `WECHAT_ENCODING_AES_KEY`, both also with `_PREVIOUS`,
    /// `WECHAT_MESSAGE_MODE`, `WECHAT_MAX_CLOCK_SKEW`, `TABLE_NAME`, `EVENT_BUS_NAME`, `WORKER_FUNCTION`, `FORWARD_URL`,
    /// `FORWARD_SECRET`, also with `_PREVIOUS`, and `FORWARD_BUDGET_MS`.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(environment);
        let config = Self {
            verifier: reader.verifier(),
            table: reader.required("TABLE_NAME"),
            event_bus: reader.optional("EVENT_BUS_NAME").map(str::to_owned),
            worker_function: reader.optional("WORKER_FUNCTION").map(str::to_owned),
            forward: reader.forward(),
            forward_budget: reader.forward_budget(),
        };
        reader.finish(config)
    }
}
