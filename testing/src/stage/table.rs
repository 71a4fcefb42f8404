//! The items of the table as JSON, read and written as another process would.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use embedded_table::TABLE_NAME;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{TableServer, account::APP_ID, now};

/// The account's items. An item is called by its `pk` without the AppID: `token`, `message#1`.
#[derive(Clone, Debug)]
pub struct Table(Arc<TableServer>);

impl Table {
    /// Starts with no items.
    pub async fn start() -> Self {
        Self(Arc::new(TableServer::start().await))
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &TableServer {
        &self.0
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }

    /// A client in this process.
    #[must_use]
    pub fn client(&self) -> aws_sdk_dynamodb::Client {
        self.0.client()
    }

    /// The item `name`, or null.
    pub async fn item(&self, name: &str) -> Value {
        let get = self.client().get_item().table_name(TABLE_NAME).key("pk", pk(name));
        let item = get.send().await.unwrap().item;
        item.map_or(Value::Null, |item| json_of(&AttributeValue::M(item)))
    }

    /// All items of the table.
    pub async fn items(&self) -> Vec<Value> {
        let scan = self.client().scan().table_name(TABLE_NAME).send().await.unwrap();
        let items = scan.items.unwrap().into_iter();
        items.map(|item| json_of(&AttributeValue::M(item))).collect()
    }

    /// Writes attributes of the item `name`, which need not exist.
    pub async fn set(&self, name: &str, attributes: &Value) {
        let mut update = self.client().update_item().table_name(TABLE_NAME).key("pk", pk(name));
        let mut sets = Vec::new();
        for (index, (attribute, value)) in attributes.as_object().unwrap().iter().enumerate() {
            sets.push(format!("#{index} = :{index}"));
            update = update
                .expression_attribute_names(format!("#{index}"), attribute)
                .expression_attribute_values(format!(":{index}"), attribute_of(value));
        }
        let update = update.update_expression(format!("SET {}", sets.join(", ")));
        update.send().await.unwrap();
    }

    /// Deletes the item `name`.
    pub async fn delete(&self, name: &str) {
        let delete = self.client().delete_item().table_name(TABLE_NAME).key("pk", pk(name));
        delete.send().await.unwrap();
    }

    /// Binds `user` to `openid`, as a scan does.
    pub async fn bind(&self, user: &str, openid: &str) {
        let bound = json!({"openid": openid, "bound_at": now()});
        self.set(&format!("user#{user}"), &bound).await;
        self.set(&format!("openid#{openid}"), &json!({"user": user})).await;
    }

    /// Stores reply rules.
    pub async fn save_rules(&self, rules: &Value) {
        let attributes = json!({"document": rules.to_string(), "version": 1, "updated_at": now()});
        self.set("replies", &attributes).await;
    }

    /// Keeps a list of templates, each an id with its fields, as a process `age` seconds ago did.
    pub async fn keep_templates(&self, templates: &Value, age: i64) {
        let listed = json!({"templates": templates.to_string(), "listed_at": now() - age, "ttl": now() + 1000});
        self.set("templates", &listed).await;
    }

    /// Stores API keys as admin does, each with its attributes, such as `name` and `scopes`. A key's id is its last five
    /// characters.
    pub async fn save_keys(&self, keys: &[(&str, Value)]) {
        let entries = keys.iter().map(|(key, attributes)| {
            let digest: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
            let mut entry = attributes.clone();
            entry["digest"] = digest.into();
            entry["created_at"] = now().into();
            (key[key.len() - 5..].to_owned(), entry)
        });
        let entries: Map<String, Value> = entries.collect();
        self.set("keys", &json!({ "keys": entries })).await;
    }

    /// Keeps the callback `id` for own code, due since a second, as the webhook does after a failed attempt, with `changes` to
    /// its attributes.
    pub async fn keep_forward(&self, id: &str, changes: &Value) {
        let body = json!({"id": id, "type": "text", "document": {"Content": "do not tell"}});
        let mut attributes = json!({
            "state": "waiting",
            "body": body.to_string(),
            "type": "text",
            "from": "o1",
            "at": now() - 60,
            "attempts": 1,
            "last_error": "own code answered 500 / 自有服务应答 500",
            "ipk": format!("due#{APP_ID}#forward"),
            "isk": now() - 1,
        });
        for (name, value) in changes.as_object().unwrap() {
            attributes[name] = value.clone();
        }
        self.set(&format!("forward#{id}"), &attributes).await;
    }

    /// Keeps the callback `id` that own code did not take at the last attempt, `age` seconds ago.
    pub async fn keep_dead_forward(&self, id: &str, age: i64) {
        let dead = json!({
            "state": "dead", "attempts": 17, "ipk": format!("due#{APP_ID}#dead"), "isk": now() - age, "ttl": now() + 1000,
        });
        self.keep_forward(id, &dead).await;
    }

    /// Waits until a delivery has claimed its callback, and returns the name of the claim.
    pub async fn claimed(&self) -> String {
        loop {
            let items = self.items().await;
            if let Some(claim) = items.iter().find(|item| item["state"] == "in_progress") {
                return name(claim).to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends all claims and leases, as they end by themselves in less than a minute.
    pub async fn end_claims(&self) {
        for item in self.items().await {
            for attribute in ["claim_expires_at", "lease_expires_at"] {
                if item.get(attribute).is_some() {
                    self.set(name(&item), &json!({ attribute: now() })).await;
                }
            }
        }
    }

    /// Moves the send with the `Idempotency-Key` `key` into the past by `seconds`, and ends its claim.
    pub async fn age_send(&self, key: &str, seconds: i64) {
        let items = self.items().await;
        let is_sent = |item: &&Value| name(item).starts_with("send#") && name(item).ends_with(&format!("#{key}"));
        let item = items.iter().find(is_sent).unwrap();
        let mut aged = json!({"claim_expires_at": now()});
        if let Some(started) = item["started_at"].as_i64() {
            aged["started_at"] = (started - seconds).into();
        }
        if let Some(recipients) = item["recipients"].as_str() {
            let mut recipients: Value = serde_json::from_str(recipients).unwrap();
            for recipient in recipients.as_object_mut().unwrap().values_mut() {
                if let Some(since) = recipient["since"].as_i64() {
                    recipient["since"] = (since - seconds).into();
                }
            }
            aged["recipients"] = recipients.to_string().into();
        }
        self.set(name(item), &aged).await;
    }
}

/// The partition key of the item `name`; one that names the AppID already stays as it is.
fn pk(name: &str) -> AttributeValue {
    AttributeValue::S(match name.split_once('#') {
        Some((_, rest)) if rest.starts_with(APP_ID) => name.to_owned(),
        Some((kind, rest)) => format!("{kind}#{APP_ID}#{rest}"),
        None => format!("{name}#{APP_ID}"),
    })
}

fn name(item: &Value) -> &str {
    item["pk"].as_str().unwrap()
}

fn attribute_of(value: &Value) -> AttributeValue {
    match value {
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::Array(values) => AttributeValue::L(values.iter().map(attribute_of).collect()),
        Value::Object(members) => AttributeValue::M(
            members
                .iter()
                .map(|(name, value)| (name.clone(), attribute_of(value)))
                .collect(),
        ),
        other => panic!("the bundle stores no {other}"),
    }
}

fn json_of(attribute: &AttributeValue) -> Value {
    match attribute {
        AttributeValue::Bool(value) => (*value).into(),
        AttributeValue::S(text) => text.as_str().into(),
        AttributeValue::Ss(texts) => texts.clone().into(),
        AttributeValue::N(number) => serde_json::from_str(number).unwrap(),
        AttributeValue::L(values) => values.iter().map(json_of).collect(),
        AttributeValue::M(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), json_of(value)))
            .collect(),
        other => panic!("the bundle stores no {other:?}"),
    }
}
