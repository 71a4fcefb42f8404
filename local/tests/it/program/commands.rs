//! The commands beside a run: `health`, `doctor`, `--check`, `backup`, `export` and `import`.

use std::{path::Path, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    config::{Credentials, Region},
    types::AttributeValue,
};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::FOLLOWER;
use tempfile::TempDir;
use testing::{TABLE_NAME, TableServer, create_table, eventually, http_client, now};
use wechat::random;

use super::{
    process::{Program, clean, local},
    real_account::{self, API_KEY, platform},
};

/// How a command ended: its exit code, and what it wrote to standard output and standard error.
#[derive(Debug)]
struct Ended(i32, String, String);

fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let output = local()
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended(output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn port_of(url: &str) -> &str {
    url.rsplit_once(':').unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_doctor_tell_by_their_exit_code() {
    let platform = platform().await;
    let mut program = real_account::run(&platform, &[], &[]);
    let url = program.url();
    let port = port_of(&url);
    assert_eq!(command(&["health", "--port", port], &[]).0, 0);
    let answer = http_client().get(format!("{url}/health")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap()["status"], "ok");

    let Ended(code, text, _) = command(&["doctor", "--port", port], &[("API_KEYS", API_KEY)]);
    let failed: Vec<_> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert_eq!(code, i32::from(!failed.is_empty()), "{text}");
    assert!(text.contains("ok   table: "), "{text}");
    let Ended(code, _, error) = command(&["doctor", "--port", port], &[("API_KEYS", "another-key-0000")]);
    assert_eq!(code, 1);
    assert!(error.contains("API_KEYS"), "{error}");

    program.stopped();
    for asked in ["health", "doctor"] {
        let Ended(code, _, error) = command(&[asked, "--port", port], &[]);
        assert_eq!((code, error.lines().count()), (1, 1), "{error}");
        assert!(error.contains("Connection refused"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_ends_with_1_when_a_check_fails_and_says_what_to_do() {
    let platform = platform().await;
    let mut program = real_account::run(&platform, &[], &[("API_KEYS", "short")]);
    let url = program.url();
    let Ended(code, text, _) = command(&["doctor", "--port", port_of(&url)], &[("API_KEYS", "short")]);
    assert_eq!(code, 1, "{text}");
    let lines: Vec<_> = text.lines().collect();
    let failed = lines.iter().position(|line| line.starts_with("FAIL API keys")).unwrap();
    assert!(lines[failed + 1].trim().starts_with('→'), "{text}");
}

#[test]
fn a_check_names_every_fault_of_the_settings_and_starts_nothing() {
    let real = ["--check", "--wechat", "http://127.0.0.1:9"];
    let Ended(code, _, error) = command(&real, &[("FORWARD_URL", "ftp://x")]);
    assert_eq!(code, 1);
    for name in [
        "WECHAT_APP_ID",
        "WECHAT_APP_SECRET",
        "WECHAT_TOKEN",
        "FORWARD_URL",
        "FORWARD_SECRET",
    ] {
        assert!(error.contains(name), "{name} in {error}");
    }
    let account = [
        ("WECHAT_APP_ID", "wx0123456789abcdef"),
        ("WECHAT_APP_SECRET", "5ec2e75ec2e75ec2e75ec2e75ec2e700"),
        ("WECHAT_TOKEN", "token1"),
        ("API_KEYS", "key-of-the-shop-1,key-of-the-app-1"),
    ];
    let Ended(code, text, error) = command(&real, &account);
    assert_eq!(code, 0, "{error}");
    for part in ["wx0123456789abcdef", "plain", "API 密钥: 2"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("5ec2e7") && !text.contains("key-of-the"), "{text}");
    let elsewhere = command(&["--check", "--listen", "0.0.0.0"], &[]);
    assert_eq!(elsewhere.0, 2, "{elsewhere:?}");
    let own_code = command(&["--check"], &[("FORWARD_URL", "ftp://x")]);
    assert_eq!(
        (own_code.0, own_code.2.contains("FORWARD_SECRET")),
        (1, true),
        "{own_code:?}"
    );
    assert_eq!(command(&["--check"], &[]).0, 0);
    // What only AWS has is no fault here.
    let login = command(&real, &[&account[..], &[("JWT_ISSUER", "nonsense")]].concat());
    assert_eq!(login.0, 0, "{login:?}");
    for (address, code, part) in [
        ("http://api.weixin.qq.com", 1, "must be https"),
        ("http://203.0.113.7:8080", 0, "whoever is on the way"),
        ("https://203.0.113.7", 0, "203.0.113.7"),
    ] {
        let Ended(ended, text, error) = command(&["--check", "--wechat", address], &account);
        let said = text + &error;
        assert_eq!((ended, said.contains(part)), (code, true), "{address}: {said}");
        assert_eq!(
            said.contains("AppSecret and every"),
            address.starts_with("http://203"),
            "{said}"
        );
    }
    let short = command(&real, &[&account[..3], &[("API_KEYS", "short")]].concat());
    assert_eq!((short.0, short.1.contains("shorter than 16")), (0, true), "{short:?}");
    assert_eq!(command(&["--check", "health"], &[]).0, 2);
}

#[test]
fn a_start_warns_once_that_the_app_secret_leaves_the_machine_in_the_clear() {
    let account = [
        ("WECHAT_APP_ID", "wx0123456789abcdef"),
        ("WECHAT_APP_SECRET", "5ec2e75ec2e75ec2e75ec2e75ec2e700"),
        ("WECHAT_TOKEN", "token1"),
        ("API_KEYS", API_KEY),
    ];
    // An address of RFC 5737, which is nobody's.
    let mut program = Program::start(&["--port", "0", "--wechat", "http://192.0.2.1:9"], &account);
    program.url();
    let logs = program.stopped();
    assert_eq!(logs.matches("reads the AppSecret").count(), 1, "{logs}");
}

/// A simulated run with data of every kind, which has been stopped.
async fn stopped_run(folder: &str) {
    let mut program = Program::start(&["--port", "0", "--data", folder], &[]);
    let url = program.url();
    let call = async |method: &str, path: &str, body: Value| {
        let request = http_client().request(method.parse().unwrap(), format!("{url}{path}"));
        let answer = request.bearer_auth("local").json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    };
    call("PUT", "/api/users/u-1", json!({"openid": FOLLOWER})).await;
    call(
        "PUT",
        "/api/replies",
        json!({"default": {"type": "text", "content": "稍后"}}),
    )
    .await;
    call("POST", "/api/keys", json!({"name": "shop", "scopes": ["send"]})).await;
    let message = json!({"user": "u-1", "template_id": "TEMPLATE_ID", "data": {"thing1": "项目审核", "time2": "2024年7月19日 10:00", "const3": "通过"}});
    call("POST", "/api/sendTemplateMessage", message).await;
    program.stopped();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_sends_nothing_again_by_itself() {
    let (data, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (folder, restored) = (data.path().to_str().unwrap(), copy.path().to_str().unwrap());
    let template = json!({"template_id": "TEMPLATE_ID", "data": {"thing1": "项目审核", "time2": "2024年7月19日 10:00", "const3": "通过"}});
    let with = |members: Value| {
        let mut message = template.clone();
        message
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        message
    };
    let http = http_client();
    let call = async |method: Method, url: String, body: Value| -> Value {
        let call = http.request(method, url).bearer_auth("local").json(&body);
        call.send().await.unwrap().json().await.unwrap()
    };

    let mut program = Program::start(&["--port", "0", "--data", folder], &[]);
    let url = program.url();
    let plan = with(json!({"name": "x", "audience": "list", "start_at": now() + 3600}));
    let campaign = call(Method::POST, format!("{url}/api/campaigns"), plan).await["id"].clone();
    let campaign = format!("/api/campaigns/{}", campaign.as_str().unwrap());
    let part = json!({"part": "1", "recipients": [FOLLOWER]});
    call(Method::POST, format!("{url}{campaign}/recipients"), part).await;
    let started = call(Method::POST, format!("{url}{campaign}/start"), json!({})).await;
    assert!(
        ["loading", "scheduled"].contains(&started["state"].as_str().unwrap()),
        "{started}"
    );
    let send_at = now() + 3;
    let scheduled = with(json!({"touser": FOLLOWER, "send_at": send_at}));
    let scheduled = call(Method::POST, format!("{url}/api/sendTemplateMessage"), scheduled).await;
    let scheduled = format!("/api/scheduled/{}", scheduled["scheduled"].as_str().unwrap());
    let file = copy.path().join("wechat.sqlite");
    let Ended(code, _, error) = command(&["backup", file.to_str().unwrap(), "--data", folder], &[]);
    assert_eq!(code, 0, "{error}");
    assert!(now() <= send_at, "the backup was made before the message went out");
    program.stopped();

    while now() <= send_at {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (start, expected) in [(1, true), (2, false)] {
        let mut program = Program::start(&["--port", "0", "--data", restored], &[]);
        let url = program.url();
        let held = call(Method::GET, format!("{url}{campaign}"), json!({})).await;
        assert_eq!(held["state"], "paused", "start {start}: {held}");
        let held = call(Method::GET, format!("{url}{scheduled}"), json!({})).await;
        assert_eq!(held["state"], "unknown", "start {start}: {held}");
        let logs = program.stopped();
        assert_eq!(
            logs.contains("a backup that was restored"),
            expected,
            "start {start}: {logs}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_bundle_is_its_data() {
    let (data, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let folder = data.path().to_str().unwrap();
    stopped_run(folder).await;
    let mut program = Program::start(&["--port", "0", "--data", folder], &[]);
    program.url();
    let file = copy.path().join("wechat.sqlite");
    let name = file.to_str().unwrap();
    let Ended(code, _, error) = command(&["backup", name, "--data", folder], &[]);
    assert_eq!(code, 0, "{error}");
    for odd in ["file:odd.sqlite", ":memory:"] {
        let copied = local()
            .args(["backup", odd, "--data", folder])
            .current_dir(copy.path())
            .status();
        assert_eq!(copied.unwrap().code(), Some(0), "{odd}");
        let length = |file: &Path| std::fs::metadata(file).unwrap().len();
        assert_eq!(length(&copy.path().join(odd)), length(&file), "a name is a name: {odd}");
        std::fs::remove_file(copy.path().join(odd)).unwrap();
    }
    let Ended(code, _, error) = command(&["backup", name, "--data", folder], &[]);
    assert_eq!(code, 1, "an existing file stays");
    assert!(error.contains("wechat.sqlite"), "{error}");
    program.stopped();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let mut restored = Program::start(&["--port", "0", "--data", copy.path().to_str().unwrap()], &[]);
    let user = http_client()
        .get(format!("{}/api/users/u-1", restored.url()))
        .bearer_auth("local");
    let user: Value = user.send().await.unwrap().json().await.unwrap();
    assert_eq!(user["openid"], FOLLOWER);
    let warning = "holds the data of the account";
    assert!(!restored.stopped().contains(warning));
    let platform = platform().await;
    let mut another = real_account::run(&platform, &["--data", copy.path().to_str().unwrap()], &[]);
    another.url();
    let logs = another.stopped();
    assert!(logs.contains(warning), "another account's run looks empty: {logs}");

    let nothing = TempDir::new().unwrap();
    let empty = nothing.path().to_str().unwrap();
    let other = nothing.path().join("copy");
    let Ended(code, _, error) = command(&["backup", other.to_str().unwrap(), "--data", empty], &[]);
    assert_eq!((code, error.contains("no data")), (1, true), "{error}");
    assert!(!other.exists());
}

/// A DynamoDB: the service at `STORE_ENDPOINT`, such as moto, or the embedded table on a port.
async fn dynamodb() -> (Client, String, String, Option<TableServer>) {
    let name = format!("{TABLE_NAME}-{}", random::hex::<4>());
    let (endpoint, server) = match std::env::var("STORE_ENDPOINT") {
        Ok(endpoint) => (endpoint, None),
        Err(_) => {
            let server = TableServer::start().await;
            (server.endpoint(), Some(server))
        }
    };
    let config = aws_sdk_dynamodb::config::Builder::from(&wechat::aws::load(&[
        "dynamodb:CreateTable",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    ]))
    .region(Region::new("eu-central-1"))
    .credentials_provider(Credentials::new("test", "test", None, None, "test"))
    .endpoint_url(&endpoint);
    let client = Client::from_conf(config.build());
    create_table(&client, &name).await.unwrap();
    (client, name, endpoint, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_one_machine_moves_to_dynamodb_once_and_without_its_secrets() {
    let (data, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let folder = data.path().to_str().unwrap();
    stopped_run(folder).await;
    let file = out.path().join("table.jsonl");
    let name = file.to_str().unwrap();
    let part = out.path().join("table.jsonl.part");
    std::fs::create_dir(&part).unwrap();
    let Ended(code, _, error) = command(&["export", name, "--data", folder], &[]);
    assert_eq!((code, error.contains("table.jsonl.part: ")), (1, true), "{error}");
    std::fs::remove_dir(&part).unwrap();
    std::fs::write(&part, "half of what an export that was killed had to write").unwrap();
    let Ended(code, text, error) = command(&["export", name, "--data", folder], &[]);
    assert_eq!((code, part.exists()), (0, false), "{error}");
    let lines = std::fs::read_to_string(&file).unwrap();
    let items = lines.lines().count();
    assert!(text.starts_with(&format!("{items} items")), "{text}");
    for kind in ["user#", "openid#", "message#", "replies#", "keys#"] {
        assert!(lines.contains(&format!(r#"{{"S":"{kind}"#)), "{kind} in {lines}");
    }
    for secret in ["access_token", "relay_secret", "\"token#", "wk_"] {
        assert!(!lines.contains(secret), "{secret} in {lines}");
    }

    let (client, table, endpoint, _server) = dynamodb().await;
    let aws = [
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint.as_str()),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let import = |file: &Path| command(&["import", file.to_str().unwrap(), "--table", &table], &aws);
    let Ended(code, text, error) = import(&file);
    assert_eq!(
        (code, text.starts_with(&format!("{items} items were written, 0 "))),
        (0, true),
        "{text}{error}"
    );
    let user = lines.lines().find(|line| line.contains(r#"{"S":"user#"#)).unwrap();
    let user: Value = serde_json::from_str(user).unwrap();
    let pk = AttributeValue::S(user["Item"]["pk"]["S"].as_str().unwrap().to_owned());
    let read = client.get_item().table_name(&table).key("pk", pk.clone());
    assert_eq!(
        read.send().await.unwrap().item.unwrap()["openid"],
        AttributeValue::S(FOLLOWER.to_owned())
    );

    // The relay has made the item of the keys for its secret, before the import: the keys are added to it.
    let keys = lines.lines().find(|line| line.contains(r#"{"S":"keys#"#)).unwrap();
    let keys: Value = serde_json::from_str(keys).unwrap();
    let keys = AttributeValue::S(keys["Item"]["pk"]["S"].as_str().unwrap().to_owned());
    let of_relay = client.put_item().table_name(&table).item("pk", keys.clone());
    let of_relay = of_relay.item("relay_secret", AttributeValue::S("made there".to_owned()));
    of_relay.send().await.unwrap();
    let Ended(code, text, _) = import(&file);
    assert_eq!((code, text.starts_with("1 items were written")), (0, true), "{text}");
    let read = client
        .get_item()
        .table_name(&table)
        .key("pk", keys)
        .send()
        .await
        .unwrap();
    let item = read.item.unwrap();
    assert_eq!(item["relay_secret"], AttributeValue::S("made there".to_owned()));
    assert_eq!(item["keys"].as_m().unwrap().len(), 1);

    // What is there stays: the bundle in AWS may have changed it.
    let newer = client.update_item().table_name(&table).key("pk", pk.clone());
    let newer = newer.update_expression("SET openid = :new");
    let new = AttributeValue::S("oNew".to_owned());
    newer
        .expression_attribute_values(":new", new.clone())
        .send()
        .await
        .unwrap();
    let Ended(code, text, _) = import(&file);
    assert_eq!(
        (code, text.starts_with(&format!("0 items were written, {items} "))),
        (0, true),
        "{text}"
    );
    let read = client.get_item().table_name(&table).key("pk", pk).send().await.unwrap();
    assert_eq!(read.item.unwrap()["openid"], new);

    // A damaged file changes nothing.
    let damaged = out.path().join("damaged.jsonl");
    std::fs::write(&damaged, "{\"Item\":{\"pk\":{\"S\":\"stray\"}}}\n{\"Item\":").unwrap();
    let Ended(code, _, error) = import(&damaged);
    assert_eq!((code, error.contains("line 2")), (1, true), "{error}");
    let piped = clean("sh")
        .args([
            "-c",
            &format!(
                "cat {name} | {} import /dev/stdin --table {table}",
                env!("CARGO_BIN_EXE_local")
            ),
        ])
        .envs(aws)
        .status();
    assert_eq!(piped.unwrap().code(), Some(1), "a pipe cannot be looked at beforehand");
    let stray = client
        .get_item()
        .table_name(&table)
        .key("pk", AttributeValue::S("stray".to_owned()));
    assert!(stray.send().await.unwrap().item.is_none());

    // And to another machine.
    let other = TempDir::new().unwrap();
    let elsewhere = other.path().join("new");
    let Ended(code, _, error) = command(&["import", name, "--data", elsewhere.to_str().unwrap()], &[]);
    assert_eq!(code, 0, "{error}");
    let Ended(code, _, error) = command(&["export", name, "--data", folder], &[]);
    assert_eq!(code, 1, "an existing file stays: {error}");
}

#[test]
fn a_folder_in_use_is_not_exported() {
    let data = TempDir::new().unwrap();
    let folder = data.path().to_str().unwrap();
    let mut program = Program::start(&["--port", "0", "--data", folder], &[]);
    program.url();
    let file = data.path().join("out");
    let Ended(code, _, error) = command(&["export", file.to_str().unwrap(), "--data", folder], &[]);
    assert_eq!((code, error.contains("in use")), (1, true), "{error}");
    assert!(!file.exists());
    let Ended(code, _, error) = command(&["backup", file.to_str().unwrap()], &[]);
    assert_eq!((code, error.contains("--data")), (2, true), "{error}");
    let Ended(code, _, error) = command(&["import", "nothing"], &[]);
    assert_eq!((code, error.contains("--table")), (2, true), "{error}");
    let empty = TempDir::new().unwrap();
    let Ended(code, _, error) = command(
        &[
            "export",
            file.to_str().unwrap(),
            "--data",
            empty.path().to_str().unwrap(),
        ],
        &[],
    );
    assert_eq!((code, error.contains("no data")), (1, true), "{error}");
    assert_eq!(
        std::fs::read_dir(empty.path()).unwrap().count(),
        0,
        "nothing is made there"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_for_this_machine_and_count_what_happens() {
    let platform = platform().await;
    let mut program = real_account::run(&platform, &[], &[]);
    let url = program.url();
    let callback = real_account::webhook_url(&url, platform.account());
    let subscribe = include_str!("../../fixtures/subscribe.xml");
    assert_eq!(
        http_client()
            .post(callback)
            .body(subscribe)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    let answer = http_client().get(format!("{url}/metrics")).send().await.unwrap();
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    // The first token comes in the background.
    let text = eventually("the life of the token", || async {
        let text = http_client()
            .get(format!("{url}/metrics"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        text.contains("wechat_bundle_token_life_seconds").then_some(text)
    })
    .await;
    for line in [
        r#"wechat_bundle_callbacks_total{type="event.subscribe"} 1"#,
        "wechat_bundle_reply_latency_seconds_count 1",
        "# TYPE wechat_bundle_token_life_seconds gauge",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
    assert!(
        !text.contains("97_") && !text.contains(FOLLOWER),
        "no token and no openid: {text}"
    );
    let proxied = || {
        http_client()
            .get(format!("{url}/metrics"))
            .header("x-forwarded-for", "203.0.113.1")
    };
    assert_eq!(proxied().send().await.unwrap().status(), 403);
    assert_eq!(proxied().bearer_auth(API_KEY).send().await.unwrap().status(), 200);
}
