//! Bodies of `multipart/form-data`, as files are uploaded.
//!
//! See [WeChat Docs/新增临时素材](https://developers.weixin.qq.com/doc/service/api/material/temporary/api_uploadtempmedia).

use std::convert::Infallible;

use axum::body::Bytes;
use futures_util::stream;
use multer::{Field, Multipart, parse_boundary};

use super::errcode::ApiError;

/// The fields of one body.
pub(crate) struct Form(Vec<Part>);

/// One field.
struct Part {
    name: String,
    /// `None` for a field that is not a file.
    file_name: Option<String>,
    bytes: Bytes,
}

/// An uploaded file.
pub(crate) struct Upload<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a Bytes,
}

impl Form {
    /// Reads a body. `None` when its content type is another. What is malformed counts as missing, as on the platform.
    pub(crate) async fn read(content_type: &str, body: &Bytes) -> Option<Self> {
        let boundary = parse_boundary(content_type).ok()?;
        let body = body.clone();
        let mut fields = Multipart::new(stream::once(async { Ok::<_, Infallible>(body) }), boundary);
        let mut parts = Vec::new();
        while let Ok(Some(field)) = fields.next_field().await {
            parts.extend(Part::read(field).await);
        }
        Some(Self(parts))
    }

    /// The text of a field; empty when it is missing or not UTF-8.
    pub(crate) fn text(&self, name: &str) -> &str {
        let part = self.0.iter().find(|part| part.name == name);
        part.and_then(|part| str::from_utf8(&part.bytes).ok())
            .unwrap_or_default()
    }

    /// The file `media`: 41005 when it is missing, 44001 when it is empty.
    pub(crate) fn media(&self) -> Result<Upload<'_>, ApiError> {
        let mut parts = self.0.iter().filter(|part| part.name == "media");
        let upload = parts.find_map(|part| {
            let name = part.file_name.as_deref()?;
            Some(Upload {
                name,
                bytes: &part.bytes,
            })
        });
        let upload = upload.ok_or_else(|| ApiError::of(41005))?;
        if upload.bytes.is_empty() {
            return Err(ApiError::of(44001));
        }
        Ok(upload)
    }
}

impl Part {
    /// `None` for a field without a name. WeChat does not read `filename*=utf-8''…`, and neither does `multer`.
    async fn read(field: Field<'_>) -> Option<Self> {
        let name = field.name()?.to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let bytes = field.bytes().await.ok()?;
        Some(Self { name, file_name, bytes })
    }
}
