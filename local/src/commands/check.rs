//! `local --check`: whether the bundle would start with these settings.

use super::{CommandError, Outcome};
use crate::{Local, options::Options};

/// Reads all settings as a start does, and says what they make.
pub(super) async fn run(options: &Options) -> Result<Outcome, CommandError> {
    let Some(platform) = &options.wechat else {
        Local::check_addresses(options)?;
        return Ok(Outcome::good(
            "a simulated run needs no settings / 模拟运行无需配置".to_owned(),
        ));
    };
    let settings = Local::settings(options).await?;
    let own_code = settings
        .admin
        .forward_url
        .map_or_else(|| "–".to_owned(), |url| url.to_string());
    Ok(Outcome::good(format!(
        "AppID: {}\nplatform / 平台: {platform}\nmessage mode / 消息加解密方式: {}\nAPI keys / API 密钥: {}\n\
         own code / 自有服务: {own_code}\n\
         the settings are complete; the doctor of the running bundle checks the rest / 配置完整；其余由运行后的诊断检查",
        settings.caller.api.app_id,
        settings.webhook.verifier.mode.as_str(),
        settings.caller.api_keys.len(),
    )))
}
