//! The command line.

use std::{net::IpAddr, path::PathBuf};

use clap::{Parser, Subcommand};
use wechat::callback::MessageMode;

const EXAMPLES_AND_ENVIRONMENT: &str = "\
The program is called local where it was built (cargo run -p local), and wechat-bundle where it is installed: local is a word of
the shell. / 构建产物名为 local，安装后名为 wechat-bundle：local 是 shell 的内部命令。

Examples / 示例:
  wechat-bundle                     a simulated account, nothing is kept / 模拟账号，不保存数据
  wechat-bundle --data ./data       the same account, rules and records every time / 每次使用同一账号、规则与发送记录
  wechat-bundle --port 9000 --mode plain
                                    other ports, callbacks in the clear / 另选端口，明文模式
  wechat-bundle --data ./data --wechat https://api.weixin.qq.com
                                    a real account, from the environment / 真实账号，取自环境变量

Environment with --wechat / 使用 --wechat 时读取的环境变量:
  WECHAT_APP_ID                     AppID (wx…), required / 必填
  WECHAT_APP_SECRET                 AppSecret, required / 必填
  WECHAT_TOKEN                      the callback's Token, required / 必填，域名与消息推送配置中的 Token
  WECHAT_ENCODING_AES_KEY           EncodingAESKey, for compat and safe mode / 兼容与安全模式所需
  WECHAT_MESSAGE_MODE               as --mode, which wins / 同 --mode，以 --mode 为准
  API_KEYS                          keys for /api, separated by commas; without any /api answers 401
                                    / 调用 /api 的密钥，逗号分隔；不设置则一律返回 401
  WECHAT_TOKEN_PREVIOUS, WECHAT_ENCODING_AES_KEY_PREVIOUS
                                    still accepted while rotating / 轮换期间仍接受
  WECHAT_MAX_CLOCK_SKEW             seconds, default 600 / 允许的时间偏差（秒）
  PUBLIC_URL, LOGIN_HOSTS, JSSDK_HOSTS, WECHAT_DOMAIN_CHECK
                                    links, web login and the JS-SDK, see docs/users.md
                                    / 绑定链接、网页登录与 JS-SDK，见 docs/users.zh-CN.md
  WECHAT_TOKEN_API                  stable (default) or token / 获取 access_token 的接口
  HTTPS_PROXY                       a proxy for the calls to WeChat / 调用微信接口的代理
  WECHAT_SECRET_ID                  an AWS secret with any of the above / 保存以上变量的 AWS 密钥
  EVENT_BUS_NAME                    an EventBridge bus for every callback / 接收全部回调的 EventBridge 总线
                                    (both need AWS_REGION and credentials / 二者需要 AWS_REGION 与凭证)
Always / 始终读取:
  FORWARD_URL, FORWARD_SECRET       your own code for every callback, and whsec_… that signs what it gets
                                    / 接收全部回调的自有服务，及其签名密钥 whsec_…
  FORWARD_SECRET_PREVIOUS           signs too while the secret is replaced / 更换密钥期间同时签名
  FORWARD_BUDGET_MS                 how long it may take for a reply, default 3500 / 等待其回复的毫秒数
  AWS_LAMBDA_LOG_LEVEL              error, warn, info (default), debug / 日志级别";

/// The WeChat bundle on this machine: all functions behind one address, on an embedded store. Without --wechat it runs against a simulated platform, and needs no account and no cloud. / 在本机运行整套服务；不带 --wechat 时使用内置的微信平台模拟器，无需账号与云服务。
#[derive(Clone, Debug, Parser)]
#[command(name = "wechat-bundle", version, after_help = EXAMPLES_AND_ENVIRONMENT)]
pub struct Options {
    /// What to do in place of running. / 不运行服务，而是执行：
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Checks the settings and ends. / 只检查配置，然后退出
    #[arg(long)]
    pub check: bool,
    /// The port; the simulator takes the next one. 0 is any free port. / 监听端口，模拟器使用其后一个端口；0 为任意空闲端口
    #[arg(long, default_value_t = 8000, global = true)]
    pub port: u16,
    /// The address to listen on. Any other than loopback needs --wechat and API_KEYS. / 监听地址；非回环地址需要 --wechat 与 API_KEYS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", global = true)]
    pub listen: IpAddr,
    /// Keeps the store in this folder; without it nothing is kept. / 数据目录，不指定则不保存数据
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// The real platform's address, with the account in the environment. / 真实平台地址，账号信息取自环境变量
    #[arg(long, value_name = "URL")]
    pub wechat: Option<String>,
    /// How callbacks are encrypted; default safe, with --wechat WECHAT_MESSAGE_MODE. / 消息加解密方式；默认 safe，使用 --wechat 时取 WECHAT_MESSAGE_MODE
    #[arg(long)]
    pub mode: Option<Mode>,
    /// How log lines are written to standard error. / 日志格式，写入标准错误
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log: LogFormat,
}

/// What `local` does besides running. Each ends with 0, with 1 when the answer is no, and with 2 for a wrong command line.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Asks the bundle at --port whether it serves. / 询问运行中的服务是否正常
    Health,
    /// Asks the doctor of the bundle at --port, with the first of API_KEYS. / 运行诊断，使用 API_KEYS 中的第一个密钥
    Doctor,
    /// Copies the data of --data to a new file, also while the bundle runs. / 备份数据目录到新文件，可在运行中执行
    Backup {
        /// The copy, which must not exist. / 备份文件，须不存在
        file: PathBuf,
    },
    /// Writes the table of --data to a new file, for another machine or AWS. Stop the bundle first. / 导出数据到新文件，须先停止服务
    Export {
        /// The file, one item a line. / 导出文件，每行一项
        file: PathBuf,
    },
    /// Puts an export into --table in AWS, or into --data. What is there stays. / 将导出文件导入 AWS 数据表或数据目录，已有的数据保持不变
    Import {
        /// The file of `export`. / `export` 的文件
        file: PathBuf,
        /// A DynamoDB table, by the standard variables of AWS. / DynamoDB 数据表，凭证取自 AWS 标准变量
        #[arg(long, value_name = "NAME")]
        table: Option<String>,
    },
}

impl Default for Options {
    /// The options of a command line without arguments.
    fn default() -> Self {
        Self::parse_from(["local"])
    }
}

/// 日志格式: how log lines are written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum LogFormat {
    /// For people / 便于阅读
    Text,
    /// One JSON object a line, as in AWS / 每行一个 JSON 对象
    Json,
}

/// 消息加解密方式: how callbacks are encrypted.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub enum Mode {
    /// Encrypted / 安全模式
    #[default]
    Safe,
    /// Both clear and encrypted fields / 兼容模式
    Compat,
    /// Not encrypted / 明文模式
    Plain,
}

impl Mode {
    /// The mode as `WECHAT_MESSAGE_MODE` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        let mode = match self {
            Self::Safe => MessageMode::Safe,
            Self::Compat => MessageMode::Compat,
            Self::Plain => MessageMode::Plain,
        };
        mode.as_str()
    }
}

impl From<Mode> for simulator::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Safe => Self::Safe,
            Mode::Compat => Self::Compat,
            Mode::Plain => Self::Plain,
        }
    }
}

/// Whether `text` is the address of a platform: http or https, without user name and password.
pub(crate) fn is_platform(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    })
}
