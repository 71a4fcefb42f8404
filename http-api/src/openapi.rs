//! The description of routes for `openapi.json`, which is generated from the tables of routes.

use serde_json::{Map, Value, json};

use crate::{Access, Route};

/// Failure statuses of every operation.
const COMMON_FAILURES: [u16; 5] = [401, 403, 502, 503, 504];

/// The description of a route: its parameters, body and answers.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The `operationId`.
    pub id: &'static str,
    /// A summary in one line, in English and Chinese.
    pub summary: &'static str,
    /// A longer description, or empty.
    pub description: &'static str,
    /// Parameters in path, query and headers.
    pub parameters: &'static [Parameter],
    /// The JSON body.
    pub body: Option<Body>,
    /// The answers of success: status, description, schema.
    pub answers: &'static [(u16, &'static str, Schema)],
    /// Failure statuses besides 401, 403, 502, 503 and 504.
    pub failures: &'static [u16],
}

impl Operation {
    /// An empty description.
    pub const NEW: Self = Self {
        id: "",
        summary: "",
        description: "",
        parameters: &[],
        body: None,
        answers: &[],
        failures: &[],
    };

    /// Returns the names of the query parameters.
    pub(crate) fn query(&self) -> impl Iterator<Item = &'static str> {
        let parameters = self.parameters.iter();
        parameters
            .filter(|parameter| parameter.location == Location::Query)
            .map(|parameter| parameter.name)
    }

    fn to_json(self, function: &str) -> Value {
        let mut operation = json!({"operationId": self.id, "summary": self.summary, "tags": [function]});
        if !self.description.is_empty() {
            operation["description"] = self.description.into();
        }
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.iter().map(|parameter| parameter.to_json()).collect();
        }
        if let Some(body) = self.body {
            let content = json!({"application/json": {"schema": reference(body.schema)}});
            operation["requestBody"] = json!({"required": body.is_required, "content": content});
        }
        for (status, description, schema) in self.answers {
            let mut answer = json!({"description": description});
            if let Some(content) = schema.to_content() {
                answer["content"] = content;
            }
            operation["responses"][status.to_string()] = answer;
        }
        for status in COMMON_FAILURES.iter().chain(self.failures) {
            let answer = &mut operation["responses"][status.to_string()];
            if answer.is_null() {
                *answer = json!({"$ref": format!("#/components/responses/{status}")});
            }
        }
        operation
    }
}

/// The query parameter that [`ApiRequest::cursor`](crate::ApiRequest::cursor) reads.
pub const CURSOR: Parameter = Parameter {
    name: "cursor",
    location: Location::Query,
    description: "The `cursor` of the page before",
    schema: r#"{"type": "string"}"#,
};

/// The location of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// A segment of the path.
    Path,
    /// The query.
    Query,
    /// A header.
    Header,
}

/// One parameter of a route.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The parameter's name.
    pub name: &'static str,
    /// The parameter's location.
    pub location: Location,
    /// The parameter's purpose, or empty.
    pub description: &'static str,
    /// The parameter's JSON Schema, as JSON.
    pub schema: &'static str,
}

impl Parameter {
    fn to_json(self) -> Value {
        let location = match self.location {
            Location::Path => "path",
            Location::Query => "query",
            Location::Header => "header",
        };
        let schema: Value = serde_json::from_str(self.schema).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut parameter = json!({"name": self.name, "in": location, "schema": schema});
        if !self.description.is_empty() {
            parameter["description"] = self.description.into();
        }
        if self.location == Location::Path {
            parameter["required"] = true.into();
        }
        parameter
    }
}

/// The JSON body of a request.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// The name of the body's schema.
    pub schema: &'static str,
    /// Whether the body is required.
    pub is_required: bool,
}

impl Body {
    /// Describes a required body.
    #[must_use]
    pub const fn required(schema: &'static str) -> Self {
        Self {
            schema,
            is_required: true,
        }
    }

    /// Describes an optional body.
    #[must_use]
    pub const fn optional(schema: &'static str) -> Self {
        Self {
            schema,
            is_required: false,
        }
    }
}

/// The schema of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Schema {
    /// No body.
    Empty,
    /// A page for people.
    Html,
    /// A text.
    Text,
    /// A file of any type.
    File,
    /// Any object, such as WeChat's answer.
    Object,
    /// A schema of the document.
    Named(&'static str),
    /// One of several schemas of the document.
    OneOf(&'static [&'static str]),
    /// JSON, or CSV for `Accept: text/csv`.
    OrCsv(&'static Self),
}

impl Schema {
    /// Returns the answer's `content`. `None` without a body.
    fn to_content(self) -> Option<Value> {
        let (media_type, schema) = match self {
            Self::Empty => return None,
            Self::Html => ("text/html", json!({"type": "string"})),
            Self::Text => ("text/plain", json!({"type": "string"})),
            Self::File => ("*/*", json!({"type": "string"})),
            Self::Object => ("application/json", json!({"type": "object"})),
            Self::Named(name) => ("application/json", reference(name)),
            Self::OrCsv(json) => {
                let mut content = json.to_content()?;
                content["text/csv"] = json!({"schema": {"type": "string"}});
                return Some(content);
            }
            Self::OneOf(names) => {
                let names: Vec<_> = names.iter().map(|name| reference(name)).collect();
                ("application/json", json!({ "oneOf": names }))
            }
        };
        Some(json!({media_type: {"schema": schema}}))
    }
}

/// Refers to a schema of the document.
fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Adds a function's routes to the `paths` of a document, tagged with the function's name.
pub fn add_paths<A>(paths: &mut Map<String, Value>, function: &str, tables: &[&[Route<A>]]) {
    for route in tables.iter().copied().flatten() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        let mut operation = route.operation.to_json(function);
        operation["security"] = security(route.access);
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
}

/// Describes what a route needs of its caller: a key with one of the scopes.
fn security(access: Access) -> Value {
    match access {
        Access::Open => json!([]),
        Access::Scopes(scopes) => scopes.iter().map(|scope| json!({"key": [scope.as_str()]})).collect(),
    }
}

/// Creates the document from the `paths` of [`add_paths`] and the schemas that they name.
#[must_use]
pub fn document(paths: &Map<String, Value>, schemas: &Map<String, Value>) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "WeChat Official Account bundle / 微信公众号",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Template messages, menu, reply rules and set-up check. Failures are application/problem+json (RFC 9457), in English and Chinese.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {
                "type": "http", "scheme": "bearer",
                "description": "One of API_KEYS, a key of /api/keys with a scope that the operation names, or the token that the gateway's JWT authorizer accepts. Nothing in a query string counts.",
            }},
            "schemas": schemas,
            "responses": failures(),
        },
    })
}

fn failures() -> Map<String, Value> {
    let failures = [
        (
            400,
            "The request is at fault, or WeChat refused it: `field`, `pointer`, `faults` and `errcode` say why",
        ),
        (401, "No key, or a wrong one"),
        (
            403,
            "The key lacks the scope that `detail` names, or is limited to other templates or paths",
        ),
        (404, "There is no such thing"),
        (
            409,
            "A request with the same Idempotency-Key, or another rollback, is in progress; or there are too many keys",
        ),
        (412, "The rules or the menu have changed since they were read"),
        (413, "The body has more than 256 KiB"),
        (422, "The Idempotency-Key was used with another body"),
        (429, "WeChat's quota or frequency"),
        (502, "WeChat answered something else, or not JSON"),
        (
            503,
            "The set-up is at fault: `hint` says what to do. Or too much is asked for at once: ask again after `Retry-After`",
        ),
        (
            504,
            "WeChat or the store did not answer in time. With `may_have_been_sent`, WeChat may have taken the message: repeat it with the same Idempotency-Key or `client_msg_id` within 9 minutes",
        ),
    ];
    let response = |(status, description): (u16, &str)| {
        let mut response = json!({
            "description": description,
            "content": {"application/problem+json": {"schema": reference("Problem")}},
        });
        if matches!(status, 409 | 429 | 503) {
            response["headers"] = json!({"Retry-After": {
                "description": "Seconds; absent where no time is known", "schema": {"type": "integer"},
            }});
        }
        (status.to_string(), response)
    };
    failures.into_iter().map(response).collect()
}

/// Adds the schemas of a type and of the types that it refers to.
#[cfg(feature = "openapi")]
pub fn add_schema<T: utoipa::ToSchema>(schemas: &mut Map<String, Value>) {
    let mut all = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut all);
    schemas.extend(all.into_iter().map(|(name, schema)| (name, json!(schema))));
}
