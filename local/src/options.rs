//! The command line.

use std::path::PathBuf;

/// The WeChat bundle on this machine: webhook, token-refresher, send-template and admin behind one address, on an
/// embedded store. Without --wechat it runs against a simulated platform with a made account. / 在本机运行整套服务；
/// 不带 --wechat 时使用内置的微信平台模拟器。
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(version)]
pub struct Options {
    /// The port on 127.0.0.1; the simulator takes the next one. / 监听端口，模拟器使用其后一个端口
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Keeps the store in this folder; without it nothing is kept. / 数据目录，不指定则不保存数据
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The real platform, such as https://api.weixin.qq.com, with the account in the environment. / 真实平台地址，账号信息取自环境变量
    #[arg(long, value_name = "URL", value_parser = platform_url)]
    pub wechat: Option<String>,
    /// How callbacks travel; default safe, with --wechat as the environment says. / 消息加解密方式
    #[arg(long)]
    pub mode: Option<Mode>,
}

/// 消息加解密方式: how callbacks travel.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub enum Mode {
    /// 安全模式: encrypted
    #[default]
    Safe,
    /// 兼容模式: clear fields beside encrypted ones
    Compat,
    /// 明文模式: clear
    Plain,
}

impl Mode {
    /// As `WECHAT_MESSAGE_MODE` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Compat => "compat",
            Self::Plain => "plain",
        }
    }
}

impl From<Mode> for wechat_simulator::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Safe => Self::Safe,
            Mode::Compat => Self::Compat,
            Mode::Plain => Self::Plain,
        }
    }
}

fn platform_url(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(text.to_owned()),
        _ => Err("must be an http or https URL, such as https://api.weixin.qq.com".to_owned()),
    }
}
