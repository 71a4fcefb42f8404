//! `openapi.json` is made of the functions' tables of routes.

use http_api::{Api as _, openapi};
use serde_json::{Map, Value};
use wechat::callback::MessageMode;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");

fn document() -> Value {
    let mut paths = Map::new();
    openapi::add_paths(&mut paths, "send-template", send_template::App::ROUTES);
    openapi::add_paths(&mut paths, "users", users::App::ROUTES);
    openapi::add_paths(&mut paths, "admin", admin::App::ROUTES);
    let mut schemas = send_template::openapi::schemas();
    for function in [admin::SCHEMAS, users::SCHEMAS] {
        let of_function: Map<String, Value> = serde_json::from_str(function).unwrap();
        for (name, schema) in of_function {
            let other = schemas.insert(name.clone(), schema);
            assert!(other.is_none(), "two functions describe {name}");
        }
    }
    openapi::document(&paths, &schemas)
}

#[test]
fn openapi_json_is_current() {
    let document = document();
    if std::env::var_os("WRITE_OPENAPI").is_some() {
        std::fs::write(PATH, format!("{document:#}\n")).unwrap();
    }
    let checked_in: Value =
        serde_json::from_str(&std::fs::read_to_string(PATH).unwrap_or_default()).unwrap_or_default();
    assert!(
        checked_in == document,
        "openapi.json is not current: run WRITE_OPENAPI=1 cargo test -p local --test it openapi"
    );
}

#[test]
fn an_accounts_mode_is_one_that_the_webhook_has() {
    let schemas: Value = serde_json::from_str(admin::SCHEMAS).unwrap();
    let modes = [MessageMode::Plain, MessageMode::Compat, MessageMode::Safe].map(MessageMode::as_str);
    let described = &schemas["Account"]["properties"]["mode"]["enum"];
    assert_eq!(*described, serde_json::json!([modes[0], modes[1], modes[2], null]));
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, member)| match member {
                Value::String(target) if name == "$ref" => found.push(target.clone()),
                member => references(member, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for target in found {
        let pointer = target.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}
