//! The account's templates: `GET /api/templates`, and a cache to check messages before they are sent.
//!
//! A warm process checks a message without a call. Before the check refuses a message, it lists the templates again if the
//! cached list lacks the template or is stale. When WeChat does not list the templates, the check fails open: it must not
//! stop a message that WeChat would accept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Response;
use http_api::{ApiRequest, Operation, Problem, Route, openapi::Schema, response, route};
use tokio::time::timeout;
use wechat::{
    api::{FieldValue, Template, calls::template::ListTemplates},
    clock::Deadline,
    lock::lock,
    store::{ListedTemplates, within},
    token::CallFailure,
    validate::template::{Finding, Templates},
};

use crate::{App, answer::TemplateList};

pub(crate) const ROUTES: &[Route<App>] = &[route!(Send | Campaigns, GET "/api/templates" => get, Operation {
    id: "listTemplates",
    summary: "The account's templates / 模板列表",
    answers: &[(200, "The templates with their fields", Schema::Named("TemplateList"))],
    failures: &[400, 429],
    ..Operation::NEW
})];

/// Seconds after which the cached list is stale: somebody may have changed a template.
const FRESH_FOR: i64 = 60;
/// Seconds between a failed listing and its retry.
const RETRY_AFTER: i64 = 60;
/// How long a send may wait for the list.
const LIST_BUDGET: Duration = Duration::from_secs(1);
/// Time of the invocation that this wait must leave.
const LIST_MARGIN: Duration = Duration::from_secs(3);
/// How long start-up may wait for the list in the table.
const START_BUDGET: Duration = Duration::from_millis(1500);

/// The fields of a message, by name.
type Fields = BTreeMap<String, FieldValue>;

/// Caches the templates of one account.
#[derive(Debug, Default)]
pub(crate) struct TemplatesCache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    listed: Option<Arc<ListedTemplates>>,
    /// Epoch seconds before which WeChat is not asked again.
    next_list: i64,
}

impl TemplatesCache {
    fn lock<T>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        access(&mut lock(&self.0))
    }
}

/// Serves `GET /api/templates`: those that the caller may use.
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let deadline = request.deadline();
    let templates = app.account.call(&ListTemplates, deadline).await?;
    store(app, &templates, deadline).await;
    let grants = request.caller().grants();
    let templates = templates.into_iter();
    let templates = templates.filter(|template| grants.allows_template(&template.template_id));
    let templates = templates.map(Into::into).collect();
    Ok(response::json(200, &TemplateList { templates }))
}

/// Reads the list that another process has stored in the table.
pub(crate) async fn warm(app: &App) {
    match within(START_BUDGET, app.account.table.templates(app.account.clock.now())).await {
        Ok(listed) => app.templates.lock(|state| state.listed = listed.map(Arc::new)),
        Err(error) => {
            tracing::warn!(%error, "the list of templates could not be read at start-up / 启动时无法读取模板列表");
        }
    }
}

/// Finds what WeChat would refuse, may refuse or would drop in the fields `data` of a message. Finds nothing when the template is
/// unknown and WeChat does not list the templates.
pub(crate) async fn check(app: &App, template_id: &str, data: &Fields, deadline: Deadline) -> Vec<Finding> {
    let known = app.templates.lock(|state| state.listed.clone());
    let known = known.map(|listed| {
        let has_template = listed.templates.contains(template_id);
        let is_fresh = has_template && app.account.clock.now() - listed.listed_at < FRESH_FOR;
        (findings(&listed, template_id, data), has_template, is_fresh)
    });
    match known {
        Some((findings, _, is_fresh)) if is_fresh || !findings.iter().any(Finding::is_refusal) => findings,
        known => match list(app, deadline).await {
            Some(listed) => findings(&listed, template_id, data),
            None => known
                .filter(|(_, has_template, _)| *has_template)
                .map(|(findings, ..)| findings)
                .unwrap_or_default(),
        },
    }
}

fn findings(listed: &ListedTemplates, template_id: &str, data: &Fields) -> Vec<Finding> {
    let data = data.iter().map(|(name, field)| (name.as_str(), field.value.as_str()));
    listed.templates.check(template_id, data)
}

/// Refuses a message that WeChat would refuse according to `findings`, unless its caller asked only for warnings.
pub(crate) fn refuse_mismatch(findings: Vec<Finding>, only_warns: bool) -> Result<Vec<Finding>, Problem> {
    if findings.iter().any(Finding::is_refusal) && !only_warns {
        return Err(Problem::template_mismatch(findings));
    }
    Ok(findings)
}

/// Asks WeChat for the list, unless that failed less than [`RETRY_AFTER`] ago.
async fn list(app: &App, deadline: Deadline) -> Option<Arc<ListedTemplates>> {
    if app.account.clock.now() < app.templates.lock(|state| state.next_list) {
        return None;
    }
    let call = app.account.call_once(&ListTemplates, deadline);
    let budget = deadline.budget(app.account.clock.now_millis(), LIST_BUDGET, LIST_MARGIN);
    match timeout(budget, call).await {
        Ok(Ok(templates)) if !templates.is_empty() => return Some(store(app, &templates, deadline).await),
        Ok(Ok(_)) => tracing::warn!(
            "WeChat lists no template: messages are sent unchecked / 微信未列出任何模板，消息将不经检查直接发送"
        ),
        // The send that follows replaces the dead token.
        Ok(Err(CallFailure::Api(error))) if error.is_dead_token() => return None,
        Ok(Err(error)) => {
            tracing::warn!(%error, "WeChat does not list the templates: messages are sent unchecked / 微信未返回模板列表，消息将不经检查直接发送")
        }
        Err(_) => tracing::warn!(
            "WeChat did not list the templates in time: messages are sent unchecked / 微信未及时返回模板列表，消息将不经检查直接发送"
        ),
    }
    app.templates
        .lock(|state| state.next_list = app.account.clock.now() + RETRY_AFTER);
    None
}

/// Stores the list in the cache and in the table, for processes that start later.
async fn store(app: &App, templates: &[Template], deadline: Deadline) -> Arc<ListedTemplates> {
    let fields = |template: &Template| template.fields().into_iter().map(str::to_owned).collect();
    let listed = Arc::new(ListedTemplates {
        templates: templates
            .iter()
            .map(|template| (template.template_id.clone(), fields(template)))
            .collect::<Templates>(),
        listed_at: app.account.clock.now(),
    });
    app.templates.lock(|state| state.listed = Some(Arc::clone(&listed)));
    app.write(
        "the list of templates",
        None,
        deadline,
        app.account.table.save_templates(&listed),
    )
    .await;
    listed
}
