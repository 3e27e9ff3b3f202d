//! Handles notification templates (the texts of messages) in the API `/v1`. Only superusers may use these operations.

use axum::http::Method;
use domain::notification::template::{NotificationTemplate, Rejection};
use events::app::Scope;
use events::notification_template::Texts;
use events::person::Language;
use events::{Meta, TicketSn};
use infra::channel::sms::{Cost, Encoding, SizedText};
use serde::Serialize;
use serde_json::Value;

use super::admin::changes_configuration;
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{Open, ok};
use super::request::Asked;
use super::resource::{Answer, Asks, Call, Operation, Resource, get, list, post, put, segments};
use super::shape::{Flaw, Member, Shape, optional, quoted, required};
use crate::app::notifications::templates::formats::{FORMATS, LOCALES, Wrong};
use crate::app::notifications::templates::{
    self, Preview, Previewed, TemplateError, document, testing,
};

const TEXT: Shape = Shape::Object(&[
    optional("subject", Shape::Text),
    required("body", Shape::Text),
    optional("masked", Shape::List(&Shape::Text)),
]);
const TEXTS: Shape = Shape::Map(&Shape::Map(&TEXT));
const VERSION: Shape = Shape::Integer(1, 4_294_967_295);

const DOCUMENT: &[Member] = &[
    required("template_id", Shape::Text),
    optional("name", Shape::Text),
    optional("description", Shape::Text),
    optional("channels", Shape::List(&Shape::Text)),
    required(
        "templates",
        Shape::Object(&[
            optional(
                "email",
                Shape::Object(&[
                    optional("subject", Shape::Text),
                    required("body", Shape::Text),
                ]),
            ),
            optional(
                "wechat",
                Shape::Object(&[
                    optional("title", Shape::Text),
                    optional("description", Shape::Text),
                    optional("url", Shape::Text),
                    optional("template_data", Shape::Map(&Shape::Text)),
                ]),
            ),
            optional(
                "dingtalk",
                Shape::Object(&[
                    optional("msgtype", Shape::Words(&["link"])),
                    required(
                        "link",
                        Shape::Object(&[
                            required("title", Shape::Text),
                            required("text", Shape::Text),
                            optional("messageUrl", Shape::Text),
                            optional("picUrl", Shape::Text),
                        ]),
                    ),
                ]),
            ),
        ]),
    ),
];

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/notification-templates",
        "lists the notification templates with their published versions; for superusers",
    )
    .returning::<NotificationTemplates>(),
    get(
        "/v1/notification-templates/{key}",
        "shows a notification template with its versions",
    )
    .returning::<TemplateDetail>(),
    post(
        "/v1/notification-templates/{key}/drafts",
        "checks texts and stores them as a new version",
        &[required("texts", TEXTS)],
    )
    .returning::<TemplateDetail>(),
    post(
        "/v1/notification-templates/{key}/publish",
        "publishes a version; another person than its author must publish a new version",
        &[required("version", VERSION)],
    )
    .returning::<TemplateDetail>(),
    post(
        "/v1/notification-templates/{key}/withdraw",
        "withdraws the published version; messages have the built-in texts from then on",
        &[],
    )
    .returning::<TemplateDetail>(),
    post(
        "/v1/notification-templates/{key}/preview",
        "renders a text for a ticket, or with the longest values; sends and stores nothing",
        &[
            required("locale", Shape::Words(LOCALES)),
            required("format", Shape::Words(FORMATS)),
            optional("version", VERSION),
            optional("texts", TEXTS),
            optional("ticket", Shape::Text),
            optional("account", Shape::Text),
        ],
    )
    .returning::<ShownPreview>(),
    post(
        "/v1/notification-templates/{key}/test",
        "sends a message about a ticket to the caller, with a version that need not be published",
        &[
            required("account", Shape::Text),
            required("ticket", Shape::Text),
            optional("version", VERSION),
        ],
    )
    .returning::<SentTest>(),
    list(
        "/v1/notification-templates/{key}/document",
        "returns the JSON document of the template; an imported document is unchanged",
        &[("locale", Asks::Word(LOCALES))],
    )
    .returning::<Open>(),
    put(
        "/v1/notification-templates/{key}/document",
        "imports a JSON document as a new version for one locale (zh-CN if none is given)",
        DOCUMENT,
    )
    .asking(&[("locale", Asks::Word(LOCALES))])
    .returning::<TemplateDetail>(),
];

/// All notification templates.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct NotificationTemplates {
    notification_templates: Vec<ShownTemplate>,
}

/// The texts of the messages about one fact.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationTemplate")
)]
struct ShownTemplate {
    /// The name of the fact, or `digest`.
    key: String,
    /// The number of the newest version, or 0.
    newest: u32,
    /// The number of the published version. Null if messages have the built-in texts.
    published: Option<u32>,
}

/// A notification template with its versions.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationTemplateDetail")
)]
struct TemplateDetail {
    #[serde(flatten)]
    template: ShownTemplate,
    versions: Vec<ShownVersion>,
}

/// One version of a notification template.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationTemplateVersion")
)]
struct ShownVersion {
    version: u32,
    /// The author.
    by: String,
    is_published: bool,
    was_published: bool,
    /// Whether the texts were imported from a document.
    is_imported: bool,
    /// The texts by locale and format. Each text has a subject and a body, and the names of the variables that it masks.
    #[cfg_attr(test, schemars(schema_with = "schema::object"))]
    texts: Value,
}

/// A rendered text.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPreview")
)]
struct ShownPreview {
    /// The subject. Null if the message has the built-in subject.
    subject: Option<String>,
    /// The lines of the body.
    body: Vec<String>,
    /// The complete short message. Null for all formats except `sms`.
    sms: Option<ShownSms>,
}

/// A short message with its size and its cost. The link to the ticket is a part of it.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPreviewSms")
)]
struct ShownSms {
    text: String,
    encoding: SmsEncoding,
    /// The number of units: characters of GSM-7, of which some count twice, or units of UTF-16.
    units: u64,
    /// The number of segments. Operators of mobile networks charge each segment.
    segments: u64,
    /// The largest number of segments. The desk adds the links of actions as long as the message is not larger.
    segments_max: u64,
    /// The cost of this text, such as `0.09`. Null without an account that has a price.
    cost: Option<String>,
    /// The cost of a message with the largest number of segments.
    cost_max: Option<String>,
    currency: Option<String>,
}

/// The encoding of a short message.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum SmsEncoding {
    Gsm7,
    Ucs2,
}

impl From<SizedText> for ShownSms {
    fn from(sized: SizedText) -> Self {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (cost, cost_max, currency) = match sized.cost {
            Some(Cost {
                text,
                most,
                currency,
            }) => (Some(text), Some(most), Some(currency)),
            None => (None, None, None),
        };
        Self {
            text: sized.text,
            encoding: match sized.size.encoding {
                Encoding::Gsm7 => SmsEncoding::Gsm7,
                Encoding::Ucs2 => SmsEncoding::Ucs2,
            },
            units: count(sized.size.units),
            segments: count(sized.size.segments),
            segments_max: count(sized.segments_max),
            cost,
            cost_max,
            currency,
        }
    }
}

/// A test message.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationTest")
)]
struct SentTest {
    /// The id of the notification of the caller. It shows the result of the delivery.
    notification: String,
}

/// The operations on notification templates, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Admin,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        let meta = changes_configuration(&request).await?;
        match (&call.method, segments(&call.path).as_slice()) {
            (_, [_]) => all(&request).await,
            (_, [_, key]) => {
                let template = templates::read(&request.app, key).await.map_err(problem)?;
                shown(&request, key, &template).await
            }
            (&Method::PUT, [_, key, "document"]) => import(&request, key, meta).await,
            (_, [_, key, "document"]) => {
                let exported = templates::export(&request.app, key, locale_of(&request)).await;
                Ok(ok(&Open(exported.map_err(problem)?)))
            }
            (_, [_, key, operation]) => change(&request, key, operation, meta).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn all(request: &Asked) -> ApiResult {
    let mut notification_templates = Vec::new();
    for key in templates::keys() {
        let template = templates::read(&request.app, &key).await.map_err(problem)?;
        notification_templates.push(summary(&key, &template));
    }
    Ok(ok(&NotificationTemplates {
        notification_templates,
    }))
}

async fn change(request: &Asked, key: &str, operation: &str, meta: Meta) -> ApiResult {
    let app = &request.app;
    let template = match operation {
        "drafts" => {
            let texts = texts(request)?.unwrap_or_default();
            templates::draft(app, key, texts, None, meta).await
        }
        "publish" => {
            let version = version(request)?.unwrap_or_default();
            templates::publish(app, key, version, meta).await
        }
        "withdraw" => templates::withdraw(app, key, meta).await,
        "preview" => return preview(request, key, &meta).await,
        _ => return test(request, key, meta).await,
    };
    shown(request, key, &template.map_err(problem)?).await
}

async fn import(request: &Asked, key: &str, meta: Meta) -> ApiResult {
    let locale = locale_of(request);
    let given = request.body.clone();
    let template = templates::import(&request.app, key, given, locale, meta).await;
    let template = template.map_err(|error| in_document(error, locale))?;
    shown(request, key, &template).await
}

async fn preview(request: &Asked, key: &str, meta: &Meta) -> ApiResult {
    let language = match request.text("locale")?.as_deref() {
        Some("en") => Language::English,
        _ => Language::Chinese,
    };
    let preview = Preview {
        texts: texts(request)?,
        version: version(request)?,
        language,
        format: request.text("format")?.unwrap_or_default(),
        ticket: request.text("ticket")?.map(TicketSn),
        account: request.text("account")?,
    };
    let previewed = templates::preview(&request.app, key, &preview, meta).await;
    let Previewed { rendered, sms } = previewed.map_err(problem)?;
    Ok(ok(&ShownPreview {
        subject: super::reply::not_empty(&rendered.subject),
        body: rendered.body,
        sms: sms.map(ShownSms::from),
    }))
}

async fn test(request: &Asked, key: &str, meta: Meta) -> ApiResult {
    let account = request.required("account")?;
    let ticket = TicketSn(request.required("ticket")?);
    let version = version(request)?;
    let sent = testing::send_test(&request.app, key, version, &account, &ticket, meta).await;
    Ok(ok(&SentTest {
        notification: sent.map_err(problem)?,
    }))
}

/// Returns the locale in the query. Without a locale, the documents are Chinese.
fn locale_of(request: &Asked) -> &'static str {
    match request.asked_for("locale") {
        Some("en") => "en",
        _ => "zh-CN",
    }
}

/// Returns the texts in the body. The server has already checked the names and the types of the members.
fn texts(request: &Asked) -> Result<Option<Texts>, Problem> {
    let texts = request.body.get("texts").cloned();
    let texts = texts.map(serde_json::from_value::<Texts>).transpose();
    texts.map_err(|_| Problem::malformed("/texts", "`texts` is not valid"))
}

fn version(request: &Asked) -> Result<Option<u32>, Problem> {
    let version = request.int("version")?;
    Ok(version.and_then(|version| u32::try_from(version).ok()))
}

fn summary(key: &str, template: &NotificationTemplate) -> ShownTemplate {
    ShownTemplate {
        key: key.to_owned(),
        newest: template.newest,
        published: template.published,
    }
}

/// Returns a response with a template and its versions, the newest version first.
async fn shown(request: &Asked, key: &str, template: &NotificationTemplate) -> ApiResult {
    let mut versions = Vec::new();
    for (number, version) in template.versions.iter().rev() {
        versions.push(ShownVersion {
            version: *number,
            by: request.app.people.name(&version.by).await?,
            is_published: template.published == Some(*number),
            was_published: version.was_published,
            is_imported: version.document.is_some(),
            texts: serde_json::to_value(&version.texts).unwrap_or_default(),
        });
    }
    Ok(ok(&TemplateDetail {
        template: summary(key, template),
        versions,
    }))
}

/// Returns an error response in which each error names a member of `texts`.
fn problem(error: TemplateError) -> Problem {
    flawed(error, |field| format!("/texts{field}"))
}

/// Returns an error response in which each error names a member of an imported document. The other texts of the version
/// keep their names, because they are not part of the document.
fn in_document(error: TemplateError, locale: &str) -> Problem {
    flawed(error, |field| {
        let parts: Vec<&str> = field.split('/').skip(1).collect();
        match parts.as_slice() {
            [of, format, member] if *of == locale => document::pointer(format, member),
            _ => format!("/texts{field}"),
        }
    })
}

fn flawed(error: TemplateError, place: impl Fn(&str) -> String) -> Problem {
    let detail = error.to_string();
    match error {
        TemplateError::Technical(error) => error.into(),
        TemplateError::Wrong(wrong) => {
            let flaw = |Wrong { field, reason }: Wrong| {
                let field = place(&field);
                let name = quoted(field.trim_start_matches('/'));
                Flaw {
                    detail: format!("`{}`: {reason}", name.replace('/', ".")),
                    field,
                }
            };
            Problem::flawed(wrong.into_iter().map(flaw).collect())
        }
        TemplateError::Document(_) => Problem::malformed("/templates", detail),
        TemplateError::KeyUnknown(_) | TemplateError::Rejected(Rejection::VersionUnknown(_)) => {
            Problem::not_found(detail)
        }
        TemplateError::NoText { .. } => Problem::unknown("/format", detail),
        TemplateError::TicketUnknown(_) => Problem::unknown("/ticket", detail),
        TemplateError::NoSize(_) => Problem::malformed("/account", detail),
        TemplateError::AccountUnknown(_) => Problem::unknown("/account", detail),
        TemplateError::Rejected(Rejection::OwnVersion(_))
        | TemplateError::AccountDisabled(_)
        | TemplateError::NoAddress(_)
        | TemplateError::NoTest => Problem::conflict(detail),
    }
}
