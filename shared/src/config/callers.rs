//! The configuration of the functions that call WeChat: token-refresher, send-template, admin, relay and worker.

use std::sync::Arc;

use super::{
    ConfigError, ENCODING_AES_KEY, Environment, ForwardConfig, ForwardUrl, Reader, SecretError, StaffLogin, TOKEN,
};
use crate::{
    api::{Client, ClientError, DEFAULT_API_BASE, TokenApi, parse_base, parse_proxy},
    callback::MessageMode,
    clock::Clock,
    page::is_https_or_local,
    secret::Secret,
};

impl From<ClientError> for ConfigError {
    fn from(error: ClientError) -> Self {
        Self {
            secret: None,
            problems: vec![error.to_string()],
        }
    }
}

/// The configuration that all functions which call WeChat have in common.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The AppID of the account.
    pub app_id: String,
    /// The base URL of WeChat's API, or of a forwarding server or simulator.
    pub api_base: String,
    /// The URL of the proxy for calls to WeChat. It is secret because it may hold a password.
    pub https_proxy: Option<Secret>,
    /// The name of the DynamoDB table.
    pub table: String,
}

impl ApiConfig {
    fn read(reader: &mut Reader<'_>) -> Self {
        let api_base = reader
            .optional("WECHAT_API_BASE")
            .unwrap_or(DEFAULT_API_BASE)
            .to_owned();
        let https_proxy = reader
            .optional("HTTPS_PROXY")
            .or(reader.optional("https_proxy"))
            .map(Secret::new);
        let base = parse_base(&api_base).err();
        let proxy = https_proxy.as_ref().and_then(|proxy| parse_proxy(proxy).err());
        let problems = base.into_iter().chain(proxy).map(|error| error.to_string());
        reader.problems.extend(problems);
        Self {
            app_id: reader.app_id(),
            api_base,
            https_proxy,
            table: reader.required("TABLE_NAME"),
        }
    }

    /// Returns a warning when calls leave this machine without TLS.
    #[must_use]
    pub fn clear_text_warning(&self) -> Option<&'static str> {
        let is_safe = parse_base(&self.api_base).is_ok_and(|base| is_https_or_local(&base));
        (!is_safe).then_some(
            "WECHAT_API_BASE (--wechat) is http: whoever is on the way reads the AppSecret and every message; use https \
             / WECHAT_API_BASE（--wechat）为 http：途经者可读取 AppSecret 与全部消息，请使用 https",
        )
    }

    /// Makes a client of the API.
    ///
    /// # Errors
    /// [`ClientError`] when TLS cannot be set up. Reading has already checked the addresses.
    pub fn client(&self, clock: Arc<dyn Clock>) -> Result<Client, ClientError> {
        Client::new(&self.api_base, self.https_proxy.as_ref(), clock)
    }
}

/// The configuration of token-refresher, the only function with the AppSecret.
#[derive(Clone, Debug)]
pub struct RefresherConfig {
    /// Account, API and table.
    pub api: ApiConfig,
    /// The AppSecret.
    pub app_secret: Secret,
    /// The endpoint that issues tokens.
    /// See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).
    pub token_api: TokenApi,
}

impl RefresherConfig {
    /// Reads `WECHAT_APP_ID`, `WECHAT_APP_SECRET`, `WECHAT_TOKEN_API`, `WECHAT_API_BASE`, `HTTPS_PROXY` and
    /// `TABLE_NAME`.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(environment);
        let api = ApiConfig::read(&mut reader);
        let app_secret = Secret::new(reader.required("WECHAT_APP_SECRET"));
        let token_api = match reader.optional("WECHAT_TOKEN_API") {
            None | Some("stable") => TokenApi::Stable,
            Some("token") => TokenApi::Classic,
            Some(_) => {
                reader.problem("WECHAT_TOKEN_API", "must be stable or token", "应为 stable 或 token");
                TokenApi::Stable
            }
        };
        reader.finish(Self {
            api,
            app_secret,
            token_api,
        })
    }
}

/// The configuration of admin.
#[derive(Debug)]
pub struct AdminConfig {
    /// What every function behind `/api` and the relay need.
    pub caller: CallerConfig,
    /// The message mode that the webhook would read from this environment, or its problems; `None` when the environment has
    /// no callback settings.
    pub webhook_mode: Option<Result<MessageMode, ConfigError>>,
    /// The address of the team's own code, for the doctor.
    pub forward_url: Option<ForwardUrl>,
    /// The staff's OIDC login, for the console.
    pub staff_login: Option<StaffLogin>,
    /// Why the secret could not be read, when the doctor can work without it.
    pub secret: Option<SecretError>,
    /// Whether the account is simulated: its API key is then public, and it has no real users. No variable sets this; the
    /// program that starts the simulator does.
    pub is_simulated: bool,
}

impl AdminConfig {
    /// Reads the variables of [`CallerConfig`], `FORWARD_URL` and those of the staff's login, and checks the callback
    /// settings if there are any. Succeeds without the secret when all needed variables and `API_KEYS` are set directly: the
    /// doctor can then report the problem to the holder of a key.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems of admin itself.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let visible = environment.get(TOKEN).or(environment.get(ENCODING_AES_KEY)).is_some();
        let webhook_mode = visible.then(|| {
            let mut reader = Reader::new(environment);
            let mode = reader.verifier().mode;
            reader.finish(mode)
        });
        let (caller, secret) = match CallerConfig::without_secret(environment) {
            Some((caller, error)) => (Ok(caller), Some(error)),
            None => (CallerConfig::read(environment), None),
        };
        let mut reader = Reader::new(environment);
        let forward_url = reader.forward_url();
        let staff_login = reader.staff_login();
        let own = ConfigError {
            secret: None,
            problems: reader.problems,
        };
        if !own.problems.is_empty() {
            return Err(ConfigError::union(caller.err().into_iter().chain([own])));
        }
        Ok(Self {
            caller: caller?,
            webhook_mode,
            forward_url,
            staff_login,
            secret,
            is_simulated: false,
        })
    }
}

/// The configuration of send-template and relay, and part of admin's and users'.
#[derive(Clone, Debug)]
pub struct CallerConfig {
    /// Account, API and table.
    pub api: ApiConfig,
    /// The function token-refresher, by name or ARN.
    pub refresher_function: String,
    /// The keys that open `/api/*`. When empty, only callers with a JWT that the gateway's authorizer has accepted may call.
    pub api_keys: Vec<Secret>,
}

/// Characters. A shorter API key can be guessed.
pub const SHORTEST_API_KEY: usize = 16;

/// Returns how many of `keys` can be guessed.
#[must_use]
pub fn count_short_keys(keys: &[Secret]) -> usize {
    let is_short = |key: &&Secret| key.expose().chars().count() < SHORTEST_API_KEY;
    keys.iter().filter(is_short).count()
}

impl CallerConfig {
    /// Reads the configuration without the secret and returns it with the reason why the secret is absent. `None` when the
    /// secret was read, or when the variables alone are not enough.
    fn without_secret(environment: &Environment) -> Option<(Self, SecretError)> {
        let error = environment.secret_problem.clone()?;
        let direct = Environment {
            secret_problem: None,
            ..environment.clone()
        };
        let caller = Self::read(&direct).ok()?;
        (!caller.api_keys.is_empty()).then_some((caller, error))
    }

    /// Reads `WECHAT_APP_ID`, `WECHAT_API_BASE`, `HTTPS_PROXY`, `TABLE_NAME`, `TOKEN_REFRESHER_FUNCTION` and
    /// `API_KEYS`.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(environment);
        let config = Self::from_reader(&mut reader);
        reader.finish(config)
    }

    /// Returns a warning when one of the API keys can be guessed.
    #[must_use]
    pub fn short_key_warning(&self) -> Option<String> {
        (count_short_keys(&self.api_keys) > 0).then(|| {
            format!(
                "a key of API_KEYS is shorter than {SHORTEST_API_KEY} characters and can be guessed \
                 / API_KEYS 中有密钥短于 {SHORTEST_API_KEY} 个字符，容易被猜到"
            )
        })
    }

    pub(super) fn from_reader(reader: &mut Reader<'_>) -> Self {
        Self {
            api: ApiConfig::read(reader),
            refresher_function: reader.required("TOKEN_REFRESHER_FUNCTION"),
            api_keys: reader.api_keys(),
        }
    }
}

/// The configuration of the worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Account, API and table.
    pub api: ApiConfig,
    /// The function token-refresher, by name or ARN. Without it the worker sends no messages, and does its other work.
    pub refresher_function: Option<String>,
    /// The EventBridge bus, as in [`WebhookConfig::event_bus`](super::WebhookConfig::event_bus).
    pub event_bus: Option<String>,
    /// The team's own code, as in [`WebhookConfig::forward`](super::WebhookConfig::forward).
    pub forward: Option<ForwardConfig>,
}

impl WorkerConfig {
    /// Reads `WECHAT_APP_ID`, `WECHAT_API_BASE`, `HTTPS_PROXY`, `TABLE_NAME`, `TOKEN_REFRESHER_FUNCTION`, `EVENT_BUS_NAME`,
    /// `FORWARD_URL`, and `FORWARD_SECRET`, also with `_PREVIOUS`.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(environment);
        let config = Self {
            api: ApiConfig::read(&mut reader),
            refresher_function: reader.optional("TOKEN_REFRESHER_FUNCTION").map(str::to_owned),
            event_bus: reader.optional("EVENT_BUS_NAME").map(str::to_owned),
            forward: reader.forward(),
        };
        reader.finish(config)
    }
}
