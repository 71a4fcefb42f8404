//! The files that the account has uploaded (素材): temporary ones for three days, permanent ones until they are deleted.
//!
//! See [WeChat Docs/新增临时素材](https://developers.weixin.qq.com/doc/service/api/material/temporary/api_uploadtempmedia) and
//! [WeChat Docs/上传永久素材](https://developers.weixin.qq.com/doc/service/api/material/permanent/api_addmaterial).

use std::collections::HashMap;

use axum::body::Bytes;
use serde::Deserialize;

use super::{errcode::ApiError, form::Upload, random::Random};

/// Seconds. Three days.
const TEMPORARY_LIFETIME: i64 = 3 * 86_400;
/// Bytes. The largest file of any kind: a larger one is 45001.
const LARGEST: usize = 10 << 20;
/// Bytes.
const LARGEST_VOICE: usize = 2 << 20;
/// Bytes.
const LARGEST_THUMB: usize = 64 << 10;
/// Bytes. A picture in an article must be smaller.
const LARGEST_ARTICLE_PICTURE: usize = 1 << 20;
const MEDIA_ID_LENGTH: usize = 64;

/// The extensions of file names, each with its content type. WeChat goes by the extension.
const FORMATS: &[(&str, &str)] = &[
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("bmp", "image/bmp"),
    ("amr", "audio/amr"),
    ("mp3", "audio/mp3"),
    ("wma", "audio/x-ms-wma"),
    ("wav", "audio/wav"),
    ("mp4", "video/mp4"),
];

/// The kind of a file, `type` in the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Image,
    Voice,
    Video,
    /// The small picture of a video or of music.
    Thumb,
}

impl Kind {
    /// The kind with this name: 40004 for an unknown name.
    pub(crate) fn named(name: &str) -> Result<Self, ApiError> {
        match name {
            "image" => Ok(Self::Image),
            "voice" => Ok(Self::Voice),
            "video" => Ok(Self::Video),
            "thumb" => Ok(Self::Thumb),
            _ => Err(ApiError::of(40004)),
        }
    }

    fn temporary_formats(self) -> &'static [&'static str] {
        match self {
            Self::Image => &["jpg", "jpeg", "png", "gif"],
            Self::Voice => &["amr", "mp3"],
            Self::Video => &["mp4"],
            Self::Thumb => &["jpg", "jpeg"],
        }
    }

    fn permanent_formats(self) -> &'static [&'static str] {
        match self {
            Self::Image => &["jpg", "jpeg", "png", "gif", "bmp"],
            Self::Voice => &["amr", "mp3", "wma", "wav"],
            Self::Video | Self::Thumb => self.temporary_formats(),
        }
    }

    /// The most bytes of a file, and the errcode of a larger one.
    fn limit(self) -> (usize, i64) {
        match self {
            Self::Image | Self::Video => (LARGEST, 45001),
            Self::Voice => (LARGEST_VOICE, 40010),
            Self::Thumb => (LARGEST_THUMB, 40012),
        }
    }
}

/// An uploaded file.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Bytes,
}

impl File {
    /// Takes an upload whose name has one of the extensions (otherwise 40005), and which is not too large.
    fn new(upload: &Upload<'_>, formats: &[&str], (most, errcode): (usize, i64)) -> Result<Self, ApiError> {
        let extension = extension(upload.name).to_ascii_lowercase();
        let format = FORMATS.iter().find(|(listed, _)| *listed == extension);
        let (_, content_type) = format
            .filter(|(listed, _)| formats.contains(listed))
            .ok_or_else(|| ApiError::of(40005))?;
        match upload.bytes.len() {
            size if size > LARGEST => Err(ApiError::of(45001)),
            size if size > most => Err(ApiError::of(errcode)),
            _ => Ok(Self {
                name: upload.name.to_owned(),
                content_type,
                bytes: upload.bytes.clone(),
            }),
        }
    }

    /// The name under which the file is downloaded.
    pub(crate) fn named(&self, media_id: &str) -> Self {
        Self {
            name: format!("{media_id}.{}", extension(&self.name)),
            ..self.clone()
        }
    }
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// A file that ends after three days.
struct Temporary {
    kind: Kind,
    file: File,
    /// Seconds since the epoch, by the simulator's clock.
    ends_at: i64,
}

/// What the account says of a permanent video.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Description {
    pub(crate) title: String,
    pub(crate) introduction: String,
}

/// A permanent file.
pub(crate) struct Material {
    pub(crate) media_id: String,
    pub(crate) kind: Kind,
    pub(crate) file: File,
    /// The address of a picture.
    pub(crate) url: Option<String>,
    /// Empty unless it is a video.
    pub(crate) description: Description,
    /// Seconds since the epoch, by the simulator's clock.
    pub(crate) updated_at: i64,
}

/// All files.
#[derive(Default)]
pub(crate) struct Media {
    temporary: HashMap<String, Temporary>,
    /// Oldest first.
    permanent: Vec<Material>,
}

impl Media {
    /// Keeps a file for three days and returns its id.
    pub(crate) fn add_temporary(
        &mut self,
        kind: Kind,
        upload: &Upload<'_>,
        now: i64,
        random: &mut Random,
    ) -> Result<String, ApiError> {
        let file = File::new(upload, kind.temporary_formats(), kind.limit())?;
        self.temporary.retain(|_, kept| now < kept.ends_at);
        let media_id = random.url_safe(MEDIA_ID_LENGTH);
        let ends_at = now + TEMPORARY_LIFETIME;
        self.temporary
            .insert(media_id.clone(), Temporary { kind, file, ends_at });
        Ok(media_id)
    }

    /// A temporary file: 40007 when it is unknown or has ended.
    pub(crate) fn temporary(&self, media_id: &str, now: i64) -> Result<(Kind, &File), ApiError> {
        let kept = self.temporary.get(media_id).filter(|kept| now < kept.ends_at);
        kept.map(|kept| (kept.kind, &kept.file))
            .ok_or_else(|| ApiError::of(40007))
    }

    /// Keeps a file until it is deleted. Returns its id, and the address of a picture.
    pub(crate) fn add_permanent(
        &mut self,
        kind: Kind,
        upload: &Upload<'_>,
        description: Description,
        now: i64,
        random: &mut Random,
    ) -> Result<(String, Option<String>), ApiError> {
        let file = File::new(upload, kind.permanent_formats(), kind.limit())?;
        let media_id = random.url_safe(MEDIA_ID_LENGTH);
        let url = matches!(kind, Kind::Image | Kind::Thumb).then(|| picture_url(&file, random));
        self.permanent.push(Material {
            media_id: media_id.clone(),
            kind,
            file,
            url: url.clone(),
            description,
            updated_at: now,
        });
        Ok((media_id, url))
    }

    /// A permanent file: 40007 when it is unknown.
    pub(crate) fn permanent(&self, media_id: &str) -> Result<&Material, ApiError> {
        let material = self.permanent.iter().find(|material| material.media_id == media_id);
        material.ok_or_else(|| ApiError::of(40007))
    }

    pub(crate) fn delete_permanent(&mut self, media_id: &str) -> Result<(), ApiError> {
        self.permanent(media_id)?;
        self.permanent.retain(|material| material.media_id != media_id);
        Ok(())
    }

    /// The permanent files of a kind, the newest first.
    pub(crate) fn all_permanent(&self, kind: Kind) -> impl Iterator<Item = &Material> {
        self.permanent
            .iter()
            .rev()
            .filter(move |material| material.kind == kind)
    }

    /// The address of a permanent picture: 40007 for an id of anything else.
    pub(crate) fn picture(&self, media_id: &str) -> Result<&str, ApiError> {
        let url = self.permanent(media_id)?.url.as_deref();
        url.ok_or_else(|| ApiError::of(40007))
    }

    /// The number of temporary files that have not ended, and of permanent ones.
    pub(crate) fn counts(&self, now: i64) -> (usize, usize) {
        let living = self.temporary.values().filter(|kept| now < kept.ends_at);
        (living.count(), self.permanent.len())
    }
}

/// The address of a picture for the text of articles, which does not count among the permanent files.
///
/// See [WeChat Docs/上传图文消息图片](https://developers.weixin.qq.com/doc/service/api/material/permanent/api_uploadimage).
pub(crate) fn article_picture(upload: &Upload<'_>, random: &mut Random) -> Result<String, ApiError> {
    let limit = (LARGEST_ARTICLE_PICTURE - 1, 40009);
    let file = File::new(upload, &["jpg", "jpeg", "png"], limit)?;
    Ok(picture_url(&file, random))
}

/// A made-up address, which nothing serves.
fn picture_url(file: &File, random: &mut Random) -> String {
    let format = file.content_type.rsplit('/').next().unwrap_or_default();
    format!(
        "http://mmbiz.qpic.cn/mmbiz_{format}/{}/0?wx_fmt={format}",
        random.url_safe(86)
    )
}
