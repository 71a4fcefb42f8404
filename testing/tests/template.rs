//! What `template.yaml` grants: each function its own, and no more.

use std::{fs, path::Path};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn template() -> String {
    fs::read_to_string(Path::new(ROOT).join("template.yaml")).unwrap()
}

/// The roles, by name: what stands indented below a resource of that type.
fn roles(template: &str) -> Vec<(String, String)> {
    let mut resources: Vec<(String, String)> = Vec::new();
    for line in template.lines() {
        match line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')) {
            Some(name) if name.starts_with(char::is_alphanumeric) => resources.push((name.to_owned(), String::new())),
            _ => {
                if let Some((_, text)) = resources.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    resources.retain(|(_, text)| text.contains("Type: AWS::IAM::Role\n"));
    assert!(resources.len() >= 4, "{resources:?}");
    resources
}

#[test]
fn only_the_refresher_may_read_the_app_secret() {
    for (name, role) in roles(&template()) {
        assert_eq!(role.contains("!Ref AppSecret"), name == "TokenRefresherRole", "{name}");
    }
}

#[test]
fn no_role_reaches_further_than_its_own_resources() {
    const ON_THE_TABLE: [&str; 6] = [
        "GetItem",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "DescribeTable",
        "DescribeTimeToLive",
    ];
    for (name, role) in roles(&template()) {
        assert!(
            !role.contains("Resource: \"*\"") && !role.contains("Resource: '*'"),
            "{name}"
        );
        for action in role.split("dynamodb:").skip(1) {
            let action: String = action.chars().take_while(char::is_ascii_alphabetic).collect();
            assert!(ON_THE_TABLE.contains(&action.as_str()), "{name}: dynamodb:{action}");
        }
    }
}

/// They are in Secrets Manager, where the functions read them.
#[test]
fn no_secret_is_a_parameter_or_a_variable() {
    let template = template();
    for secret in [
        "WECHAT_APP_SECRET",
        "WECHAT_TOKEN",
        "WECHAT_ENCODING_AES_KEY",
        "API_KEYS",
    ] {
        assert!(template.contains(secret), "{secret}");
        for line in template.lines() {
            assert!(!line.trim_start().starts_with(&format!("{secret}:")), "{line}");
        }
    }
}
