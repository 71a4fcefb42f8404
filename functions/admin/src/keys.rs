//! The API keys that are made at run time: made, listed and revoked. A key is shown once, and only its digest is stored.

use http::{HeaderValue, Response, StatusCode, header};
use http_api::{
    ApiRequest, Operation, Problem, ROOT, Route, Scope,
    openapi::{Body, Location, Parameter, Schema},
    response, route,
};
use serde::Serialize;
use serde_json::Value;
use wechat::{
    api_key::{ApiKey, Grants, KEY_PREFIX},
    digest::sha256_hex,
    random,
    relay::path::leads_to_any,
    store::{CreatedKey, KEYS_LIMIT},
    validate::{Fault, Object, Place, Reader},
};

use crate::App;

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Keys, POST "/api/keys" => create, Operation {
        id: "createKey",
        summary: "Make an API key / 创建密钥",
        description: "The key is shown once. Nobody gives a scope, or more templates or paths, than their own. A retry after a lost answer makes another key: delete the one that GET /api/keys shows besides.",
        body: Some(Body::required("NewKey")),
        answers: &[(201, "The key, which works at once", Schema::Named("CreatedKey"))],
        failures: &[400, 409, 413],
        ..Operation::NEW
    }),
    route!(Keys, GET "/api/keys" => list, Operation {
        id: "listKeys",
        summary: "The API keys, without the keys themselves / 密钥列表",
        answers: &[(200, "The keys, the oldest first", Schema::Named("KeyList"))],
        ..Operation::NEW
    }),
    route!(Keys, DELETE "/api/keys/{id}" => delete, Operation {
        id: "deleteKey",
        summary: "Revoke an API key / 吊销密钥",
        description: "It ends within 30 seconds everywhere.",
        parameters: &[Parameter {
            name: "id",
            location: Location::Path,
            description: "",
            schema: r#"{"type": "string"}"#,
        }],
        answers: &[(204, "The key is revoked", Schema::Empty)],
        failures: &[400, 404],
        ..Operation::NEW
    }),
];

/// Random bytes of a key.
const KEY_BYTES: usize = 24;
/// Random bytes of an id.
const ID_BYTES: usize = 8;
/// Characters. The longest name.
const NAME_LIMIT: usize = 64;
/// The most entries of `templates` and of `paths`.
const LIST_LENGTH: usize = 100;
/// Bytes. The most that a key's `templates` and `paths` hold together: all keys are in one item.
const LISTS_LIMIT: usize = 2048;

/// An API key as the answers show it.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    scopes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    templates: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<&'a [String]>,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<&'a str>,
    /// The key itself, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn new(stored: &'a ApiKey, key: Option<&'a str>) -> Self {
        Self {
            id: &stored.id,
            name: &stored.name,
            scopes: stored.grants.scopes.iter().map(|scope| scope.as_str()).collect(),
            templates: stored.grants.templates.as_deref(),
            paths: stored.grants.paths.as_deref(),
            created_at: stored.created_at,
            last_used: stored.last_used.as_deref(),
            key,
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    keys: Vec<Shown<'a>>,
}

/// Serves `POST /api/keys`.
async fn create(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (name, grants) = read(&request.json()?).map_err(Problem::faulty_request)?;
    refuse_more_than_own(request.caller().grants(), &grants)?;
    let key = format!("{KEY_PREFIX}{}", random::hex::<KEY_BYTES>());
    let stored = ApiKey {
        id: random::hex::<ID_BYTES>(),
        digest: sha256_hex(key.as_bytes()),
        name,
        grants,
        created_at: app.account.clock.now(),
        last_used: None,
    };
    let created = app.account.table.create_api_key(&stored).await;
    let created = created.map_err(|error| {
        Problem::from(error).and_hint(
            "The key may have been made all the same: delete it if GET /api/keys lists it. \
             / 密钥可能已创建：如 GET /api/keys 中出现该密钥，请删除。",
        )
    })?;
    if created == CreatedKey::TooMany {
        return Err(Problem::too_many(format!(
            "there are {KEYS_LIMIT} keys, which is the most / 密钥已达 {KEYS_LIMIT} 个上限"
        ))
        .with_hint("Delete keys that are no longer used. / 请删除不再使用的密钥。"));
    }
    let mut response = response::json(201, &Shown::new(&stored, Some(&key)));
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

/// Serves `GET /api/keys`.
async fn list(app: &App, _: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let stored = app.account.table.api_keys().await?;
    let keys = stored.iter().map(|key| Shown::new(key, None)).collect();
    Ok(response::json(200, &List { keys }))
}

/// Serves `DELETE /api/keys/{id}`.
async fn delete(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    if app.account.table.delete_api_key(request.parameter("id")).await? {
        Ok(response::empty(StatusCode::NO_CONTENT))
    } else {
        Err(Problem::not_found("there is no key with this id / 没有该 id 的密钥")
            .with_hint("GET /api/keys lists the ids. / 可通过 GET /api/keys 查询 id。"))
    }
}

/// Refuses to grant more than the caller has: a scope, or more templates or paths than the caller's own.
fn refuse_more_than_own(own: &Grants, wanted: &Grants) -> Result<(), Problem> {
    let scopes = wanted.scopes.iter().filter(|scope| !own.has(**scope));
    let lacking: Vec<_> = scopes.map(|scope| scope.as_str()).collect();
    if !lacking.is_empty() {
        let names = lacking.join(", ");
        return Err(Problem::forbidden(format!(
            "you lack the scope {names}, so you cannot give it / 您没有 {names} 权限，无法授予"
        ))
        .with_field("scopes"));
    }
    let sends = wanted.has(Scope::Send) || wanted.has(Scope::Campaigns);
    let has_own_templates = match &wanted.templates {
        Some(templates) => templates.iter().all(|id| own.allows_template(id)),
        None => own.templates.is_none() || !sends,
    };
    let has_own_paths = match &wanted.paths {
        Some(paths) => paths.iter().all(|path| own.allows_path(path)),
        None => own.paths.is_none() || !wanted.has(Scope::Relay),
    };
    for (field, scope, is_own) in [
        ("templates", "send", has_own_templates),
        ("paths", "relay", has_own_paths),
    ] {
        if !is_own {
            return Err(Problem::forbidden(format!(
                "your scope {scope} is limited to fewer {field}: name only {field} of your own \
                 / 您的 {scope} 权限限定了 {field}，只能授予其中的 {field}"
            ))
            .with_field(field));
        }
    }
    Ok(())
}

/// Reads the body: the name, and what the key allows.
fn read(body: &Value) -> Result<(String, Grants), Vec<Fault>> {
    let mut reader = Reader::of_request();
    let read = read_key(&mut reader, body);
    reader.finish(read)
}

fn read_key(reader: &mut Reader, body: &Value) -> Option<(String, Grants)> {
    let object = reader.object_of(Place::Root, body, &["name", "scopes", "templates", "paths"])?;
    let name = read_name(reader, &object);
    let scopes = read_scopes(reader, &object);
    let templates = read_limit(reader, &object, "templates", |reader, place, id| {
        reader.no_control_characters(place, id)
    });
    let paths = read_limit(reader, &object, "paths", is_path);
    if let (Some(scopes), Some(Some(_))) = (&scopes, &paths)
        && !scopes.contains(&Scope::Relay)
    {
        reader.fault(&Place::Root.member("paths"), "needs the scope relay / 需要 relay 权限");
    }
    let (name, scopes, templates, paths) = (name?, scopes?, templates?, paths?);
    let bytes: usize = templates.iter().chain(&paths).flatten().map(String::len).sum();
    if bytes > LISTS_LIMIT {
        reader.fault(
            &Place::Root,
            format!(
                "holds {bytes} bytes in templates and paths together, at most {LISTS_LIMIT} are allowed \
                 / 的 templates 与 paths 共 {bytes} 字节，最多 {LISTS_LIMIT} 字节"
            ),
        );
    }
    let grants = Grants {
        scopes,
        templates,
        paths,
    };
    Some((name, grants))
}

fn read_name(reader: &mut Reader, object: &Object<'_, '_>) -> Option<String> {
    let name = reader.required_text(object, "name", str::is_empty)?;
    let place = object.place.member("name");
    reader.no_control_characters(&place, name);
    if name.trim().eq_ignore_ascii_case(ROOT) {
        reader.fault(
            &place,
            "must not be root, the name of API_KEYS in logs / 不能为 root，该名称在日志中代表 API_KEYS",
        );
    }
    reader.at_most_characters(&place, name, NAME_LIMIT);
    Some(name.to_owned())
}

/// Reads the scopes, each once, in the order of [`Scope::ALL`].
fn read_scopes(reader: &mut Reader, object: &Object<'_, '_>) -> Option<Vec<Scope>> {
    let place = object.place.member("scopes");
    let Some(value) = object.get("scopes") else {
        reader.missing(&place);
        return None;
    };
    let known = Scope::ALL.map(Scope::as_str);
    let list = reader.list_of(&place, value, 1..=known.len())?;
    let mut given = Vec::new();
    for (index, value) in list.iter().enumerate() {
        given.extend(reader.known_text(&place.element(index), Some(value), &known));
    }
    Some(
        Scope::ALL
            .into_iter()
            .filter(|scope| given.contains(&scope.as_str()))
            .collect(),
    )
}

/// Reads a limit, each entry of which must pass `check`. Absent or null, it limits nothing.
fn read_limit(
    reader: &mut Reader,
    object: &Object<'_, '_>,
    name: &str,
    check: fn(&mut Reader, &Place<'_>, &str) -> bool,
) -> Option<Option<Vec<String>>> {
    let Some(value) = object.get(name) else {
        return Some(None);
    };
    let place = object.place.member(name);
    let list = reader.list_of(&place, value, 1..=LIST_LENGTH)?;
    let mut entries = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let place = place.element(index);
        if let Some(entry) = reader.text(&place, value) {
            if entry.is_empty() {
                reader.fault(&place, wechat::validate::EMPTY);
            } else {
                check(reader, &place, entry);
            }
            entries.push(entry.to_owned());
        }
    }
    Some(Some(entries))
}

/// Checks that the relay can serve `path` or something below it: any other path would allow nothing.
fn is_path(reader: &mut Reader, place: &Place<'_>, path: &str) -> bool {
    let is_path = leads_to_any(path);
    if !is_path {
        reader.fault(
            place,
            "must be a path that the relay serves, such as /cgi-bin/menu, not encoded: slashes, letters, digits, _ . and - only \
             / 应为中继可转发的路径，如 /cgi-bin/menu，未经编码，仅含斜杠、字母、数字、_ . 与 -",
        );
    }
    is_path
}
