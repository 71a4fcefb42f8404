//! `local --check`: whether the bundle would start with these settings.

use wechat::callback::MessageMode;

use super::{CommandError, Outcome};
use crate::{Local, options::Options};

/// Reads all settings as a start does, and says what they make.
pub(super) async fn run(options: &Options) -> Result<Outcome, CommandError> {
    let settings = Local::settings(options).await?;
    let mut lines = Vec::new();
    if let Some(platform) = &options.wechat {
        let keys = &settings.caller.api_keys;
        lines.push(format!("platform / 平台: {platform}"));
        lines.extend(
            settings
                .caller
                .api
                .clear_text_warning()
                .map(|warning| format!("  → {warning}")),
        );
        lines.push(format!("AppID: {}", settings.caller.api.app_id));
        lines.push(format!("API keys / API 密钥: {}", keys.len()));
        if keys.is_empty() {
            lines.push(
                "  → without API_KEYS /api answers 401 to everyone / 未设置 API_KEYS，/api 一律返回 401".to_owned(),
            );
        }
        lines.extend(
            settings
                .caller
                .short_key_warning()
                .map(|warning| format!("  → {warning}")),
        );
    }
    let mode = settings.webhook.verifier.mode;
    lines.push(format!("message mode / 消息加解密方式: {}", mode.as_str()));
    if mode == MessageMode::Plain {
        lines.push("  → callbacks are not encrypted; safe mode needs WECHAT_ENCODING_AES_KEY / 回调为明文；安全模式需要 WECHAT_ENCODING_AES_KEY".to_owned());
    }
    let own_code = settings
        .admin
        .forward_url
        .map_or_else(|| "–".to_owned(), |url| url.to_string());
    lines.push(format!("own code / 自有服务: {own_code}"));
    lines.push(
        "the settings can be used; the doctor of the running bundle checks the rest / 配置可用；其余由运行后的诊断检查"
            .to_owned(),
    );
    Ok(Outcome::good(lines.join("\n")))
}
