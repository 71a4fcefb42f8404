//! Articles (图文): drafts, and what was published of them.
//!
//! See [WeChat Docs/新增草稿](https://developers.weixin.qq.com/doc/service/api/draftbox/draftmanage/api_draft_add) and
//! [WeChat Docs/发布草稿](https://developers.weixin.qq.com/doc/service/api/public/api_freepublish_submit).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{errcode::ApiError, media::Media, random::Random};

/// Articles of one draft.
const MOST_ARTICLES: usize = 8;
/// Characters.
const LONGEST_TITLE: usize = 32;
/// Characters.
const LONGEST_DIGEST: usize = 128;
/// Characters of the text that stands in for a missing digest.
const MADE_DIGEST: usize = 54;
/// Characters. A text must be shorter.
const CONTENT_LIMIT: usize = 20_000;
/// Bytes.
const LONGEST_SOURCE_URL: usize = 1024;
const ID_LENGTH: usize = 64;
/// The id before the first publication's.
const FIRST_PUBLISH_ID: u64 = 2_247_483_646;
const PICTURES: &str = "newspic";

/// One article.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Article {
    #[serde(default = "news")]
    article_type: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    content_source_url: String,
    #[serde(default)]
    thumb_media_id: String,
    /// Further members, such as `image_info` of an article of pictures, as they came.
    #[serde(flatten)]
    others: Map<String, Value>,
}

fn news() -> String {
    "news".to_owned()
}

impl Article {
    /// Checks the limits of WeChat's page, and that all pictures are permanent files (40007).
    fn check(&self, media: &Media) -> Result<(), ApiError> {
        let errcode = if !(1..=LONGEST_TITLE).contains(&self.title.chars().count()) {
            45003
        } else if self.digest.chars().count() > LONGEST_DIGEST {
            45004
        } else if self.content.is_empty() {
            44004
        } else if self.content.chars().count() >= CONTENT_LIMIT {
            45002
        } else if self.content_source_url.len() > LONGEST_SOURCE_URL {
            45005
        } else {
            return self.check_pictures(media);
        };
        Err(ApiError::of(errcode))
    }

    /// An article of pictures has a list of them, any other has a cover.
    fn check_pictures(&self, media: &Media) -> Result<(), ApiError> {
        if self.article_type != PICTURES {
            return media.picture(&self.thumb_media_id).map(|_| ());
        }
        let info = self.others.get("image_info").unwrap_or(&Value::Null);
        let pictures = info["image_list"].as_array().filter(|list| !list.is_empty());
        let pictures = pictures.ok_or_else(|| ApiError::of(40007))?;
        let id = |picture: &Value| picture["image_media_id"].as_str().unwrap_or_default().to_owned();
        pictures
            .iter()
            .try_for_each(|picture| media.picture(&id(picture)).map(|_| ()))
    }

    /// Adds what WeChat adds: the members that were left out, and addresses.
    fn completed(mut self, media: &Media, random: &mut Random) -> Self {
        for name in ["show_cover_pic", "need_open_comment", "only_fans_can_comment"] {
            self.others.entry(name).or_insert_with(|| 0.into());
        }
        let cover = media.picture(&self.thumb_media_id).unwrap_or_default();
        self.others.insert("thumb_url".to_owned(), cover.into());
        let url = format!("http://mp.weixin.qq.com/s/{}", random.url_safe(22));
        self.others.insert("url".to_owned(), url.into());
        self
    }

    fn make_digest(&mut self) {
        if self.digest.is_empty() {
            self.digest = text_of(&self.content).chars().take(MADE_DIGEST).collect();
        }
    }

    /// The article as the lists show it.
    fn shown(&self, with_content: bool) -> Value {
        let mut shown = json!(self);
        if let Some(members) = shown.as_object_mut().filter(|_| !with_content) {
            members.remove("content");
        }
        shown
    }
}

/// The text between the tags.
fn text_of(html: &str) -> String {
    let mut is_tag = false;
    let outside = |character: &char| {
        let was_tag = is_tag;
        is_tag = *character == '<' || (is_tag && *character != '>');
        !is_tag && !was_tag
    };
    html.chars().filter(outside).collect()
}

/// Articles that are not published yet.
pub(crate) struct Draft {
    pub(crate) media_id: String,
    articles: Vec<Article>,
    created_at: i64,
    pub(crate) updated_at: i64,
}

impl Draft {
    /// The draft's `content`, as `draft/get` answers it.
    pub(crate) fn shown(&self, with_content: bool) -> Value {
        let articles: Vec<Value> = self
            .articles
            .iter()
            .map(|article| article.shown(with_content))
            .collect();
        json!({"news_item": articles, "create_time": self.created_at, "update_time": self.updated_at})
    }
}

/// The drafts, in the order of their last change.
#[derive(Default)]
pub(crate) struct Drafts(Vec<Draft>);

impl Drafts {
    /// Keeps a draft and returns its id.
    pub(crate) fn add(
        &mut self,
        articles: Vec<Article>,
        media: &Media,
        now: i64,
        random: &mut Random,
    ) -> Result<String, ApiError> {
        match articles.len() {
            0 => return Err(ApiError::of(44003)),
            count if count > MOST_ARTICLES => return Err(ApiError::of(45008)),
            _ => articles.iter().try_for_each(|article| article.check(media))?,
        }
        let articles = articles.into_iter().map(|article| article.completed(media, random));
        let mut articles: Vec<Article> = articles.collect();
        // Only a single article has a digest of its own.
        if let [single] = &mut *articles {
            single.make_digest();
        }
        let media_id = random.url_safe(ID_LENGTH);
        self.0.push(Draft {
            media_id: media_id.clone(),
            articles,
            created_at: now,
            updated_at: now,
        });
        Ok(media_id)
    }

    /// Replaces one article, counted from 0.
    pub(crate) fn update(
        &mut self,
        media_id: &str,
        index: usize,
        article: Article,
        media: &Media,
        now: i64,
        random: &mut Random,
    ) -> Result<(), ApiError> {
        let place = self.place(media_id)?;
        if index >= self.0[place].articles.len() {
            return Err(ApiError::of(40097));
        }
        article.check(media)?;
        let mut draft = self.0.remove(place);
        draft.articles[index] = article.completed(media, random);
        draft.updated_at = now;
        self.0.push(draft);
        Ok(())
    }

    /// A draft: 40007 when it is unknown, deleted or published.
    pub(crate) fn get(&self, media_id: &str) -> Result<&Draft, ApiError> {
        self.place(media_id).map(|place| &self.0[place])
    }

    /// Takes a draft away.
    pub(crate) fn take(&mut self, media_id: &str) -> Result<Draft, ApiError> {
        self.place(media_id).map(|place| self.0.remove(place))
    }

    /// All drafts, the most recently changed first.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &Draft> {
        self.0.iter().rev()
    }

    fn place(&self, media_id: &str) -> Result<usize, ApiError> {
        let place = self.0.iter().position(|draft| draft.media_id == media_id);
        place.ok_or_else(|| ApiError::of(40007))
    }
}

/// Articles that were published together.
pub(crate) struct Publication {
    pub(crate) publish_id: u64,
    pub(crate) article_id: String,
    articles: Vec<Published>,
    created_at: i64,
    pub(crate) updated_at: i64,
}

struct Published {
    article: Article,
    is_deleted: bool,
}

impl Publication {
    /// Whether all of its articles were deleted.
    pub(crate) fn is_deleted(&self) -> bool {
        self.articles.iter().all(|published| published.is_deleted)
    }

    /// The addresses of the articles, in order.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &str> {
        let articles = self.articles.iter().map(|published| &published.article);
        articles.map(|article| article.others.get("url").and_then(Value::as_str).unwrap_or_default())
    }

    /// The publication's `content`.
    pub(crate) fn shown(&self, with_content: bool) -> Value {
        let shown = |published: &Published| {
            let mut shown = published.article.shown(with_content);
            shown["is_deleted"] = published.is_deleted.into();
            shown
        };
        let articles: Vec<Value> = self.articles.iter().map(shown).collect();
        json!({"news_item": articles, "create_time": self.created_at, "update_time": self.updated_at})
    }
}

/// All publications, oldest first.
#[derive(Default)]
pub(crate) struct Publications(Vec<Publication>);

impl Publications {
    /// Publishes a draft at once.
    pub(crate) fn add(&mut self, draft: Draft, now: i64, random: &mut Random) -> &Publication {
        let articles = draft.articles.into_iter();
        let published = |article| Published {
            article,
            is_deleted: false,
        };
        self.0.push(Publication {
            publish_id: FIRST_PUBLISH_ID + 1 + self.0.len() as u64,
            article_id: random.url_safe(ID_LENGTH),
            articles: articles.map(published).collect(),
            created_at: draft.created_at,
            updated_at: now,
        });
        &self.0[self.0.len() - 1]
    }

    /// The publication with this `publish_id`.
    pub(crate) fn by_publish_id(&self, publish_id: u64) -> Option<&Publication> {
        self.0.iter().find(|publication| publication.publish_id == publish_id)
    }

    /// The publication with this `article_id`: 53600 when there is none.
    pub(crate) fn get(&self, article_id: &str) -> Result<&Publication, ApiError> {
        let publication = self.0.iter().find(|publication| publication.article_id == article_id);
        publication.ok_or_else(|| ApiError::of(53600))
    }

    /// Deletes one article, counted from 1, or all of them for 0.
    pub(crate) fn delete(&mut self, article_id: &str, index: usize) -> Result<(), ApiError> {
        let publication = self
            .0
            .iter_mut()
            .find(|publication| publication.article_id == article_id);
        let articles = &mut publication.ok_or_else(|| ApiError::of(53600))?.articles;
        let deleted = match index.checked_sub(1) {
            None => articles.as_mut_slice(),
            Some(first) => articles.get_mut(first..index).ok_or_else(|| ApiError::of(40097))?,
        };
        for published in deleted {
            published.is_deleted = true;
        }
        Ok(())
    }

    /// The publications that still have an article, the newest first.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Publication> {
        self.0.iter().rev().filter(|publication| !publication.is_deleted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_made_of_the_text_without_tags() {
        assert_eq!(text_of("<p class=\"a\">你好</p><br/>世界"), "你好世界");
        assert_eq!(text_of("1 > 0"), "1 > 0");
    }
}
