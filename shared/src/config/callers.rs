//! The configuration of the functions that call WeChat: token-refresher, send-template and admin.

use std::sync::Arc;

use super::{ConfigError, ENCODING_AES_KEY, Environment, Reader, SecretError, TOKEN, WebhookConfig};
use crate::{
    api::{Client, ClientError, DEFAULT_API_BASE, TokenApi, parse_base, parse_proxy},
    callback::MessageMode,
    clock::Clock,
    secret::Secret,
};

/// An address that reading the configuration has let through.
impl From<ClientError> for ConfigError {
    fn from(error: ClientError) -> Self {
        Self {
            secret: None,
            problems: vec![error.to_string()],
        }
    }
}

/// What every function that calls WeChat needs.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The account.
    pub app_id: String,
    /// Where WeChat's API is.
    pub api_base: String,
    /// The proxy for calls to it; its URL may hold a password.
    pub https_proxy: Option<Secret>,
    /// The DynamoDB table.
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

    /// A client of the API.
    ///
    /// # Errors
    /// [`ClientError`] when an address is no URL, which reading has ruled out, or TLS cannot be set up.
    pub fn client(&self, clock: Arc<dyn Clock>) -> Result<Client, ClientError> {
        Client::new(&self.api_base, self.https_proxy.as_ref(), clock)
    }
}

/// What the token-refresher needs. It alone holds the AppSecret.
#[derive(Clone, Debug)]
pub struct RefresherConfig {
    /// Account, API and table.
    pub api: ApiConfig,
    /// The AppSecret.
    pub app_secret: Secret,
    /// The interface that issues tokens.
    pub token_api: TokenApi,
}

impl RefresherConfig {
    /// Reads `WECHAT_APP_ID`, `WECHAT_APP_SECRET`, `WECHAT_TOKEN_API`, `WECHAT_API_BASE`, `HTTPS_PROXY` and
    /// `TABLE_NAME`.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
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

/// What admin needs.
#[derive(Debug)]
pub struct AdminConfig {
    /// What it has in common with send-template.
    pub caller: CallerConfig,
    /// The webhook's message mode, or what is wrong with its settings. `None` when they cannot be seen from here.
    pub webhook_mode: Option<Result<MessageMode, ConfigError>>,
    /// Why the secret could not be read, when all that the doctor needs is set directly.
    pub secret: Option<SecretError>,
    /// Whether the account is a simulated one, which its maker knows and no variable says: its API key is no secret, and it
    /// has no users but the one who plays them.
    pub is_simulated: bool,
}

impl AdminConfig {
    /// Reads what [`CallerConfig`] reads, and judges the callback's settings where they can be seen. When the secret could
    /// not be read, what is set directly is enough if `API_KEYS` is among it: the doctor can say so to those who hold one.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of the admin function itself.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let visible = environment.get(TOKEN).or(environment.get(ENCODING_AES_KEY)).is_some();
        let webhook_mode = visible.then(|| WebhookConfig::read(environment).map(|config| config.verifier.mode));
        let (caller, secret) = match CallerConfig::without_secret(environment) {
            Some((caller, error)) => (caller, Some(error)),
            None => (CallerConfig::read(environment)?, None),
        };
        Ok(Self {
            caller,
            webhook_mode,
            secret,
            is_simulated: false,
        })
    }
}

/// What send-template and admin need.
#[derive(Clone, Debug)]
pub struct CallerConfig {
    /// Account, API and table.
    pub api: ApiConfig,
    /// The function that refreshes the token, by name or ARN.
    pub refresher_function: String,
    /// Who may call `/api/*`. Empty: only callers that the gateway's JWT authorizer has let through.
    pub api_keys: Vec<Secret>,
}

impl CallerConfig {
    /// What is set directly, and why the secret could not be read; `None` when it was read, or that is not enough.
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
    /// [`ConfigError`] with every problem.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(environment);
        let api = ApiConfig::read(&mut reader);
        let refresher_function = reader.required("TOKEN_REFRESHER_FUNCTION");
        let api_keys = reader.api_keys();
        reader.finish(Self {
            api,
            refresher_function,
            api_keys,
        })
    }
}
