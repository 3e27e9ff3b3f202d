//! Creates the responses of the BlueKing API. Each response is a JSON object with the members
//! `result`, `code`, `message` and `data`. This module also defines the error code and the message
//! for each rejection (reference/bk-itsm.md 2, 3.1, 3.9, 3.10).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::attachment::Unfit;
use domain::ticket::{Invalid, REMARK_MAX, Rejection, Ticket};
use infra::{Error, ExecuteError};
use serde_json::{Value, json};

use crate::App;
use crate::app::people::Unnamed;
use crate::app::tickets::NotOpened;

/// These four constants are error codes of the BlueKing API gateway. They have the following
/// meanings: the caller is unknown, the API is unknown, the method is not allowed, and the rate
/// limit is exceeded.
const UNKNOWN_CALLER: i64 = 1_640_101;
const UNKNOWN_API: i64 = 1_640_401;
const METHOD_NOT_ALLOWED: i64 = 1_640_501;
const LIMITED: i64 = 1_642_902;

/// An error with an error code and a message of BlueKing. The response with this error normally has
/// the HTTP status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WireError {
    pub(super) code: i64,
    pub(super) message: String,
}

/// The reason why the BlueKing API rejects a request.
#[derive(Debug)]
pub(super) enum Refused {
    /// The caller is unknown. The response has status 403 and the format of the BlueKing gateway.
    Forbidden(String),
    /// The caller is known, but the path of the request does not belong to any operation.
    NoPath,
    WireError(WireError),
}

impl WireError {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
    /// Creates the error for an invalid parameter. `message` must contain the name of the
    /// parameter.
    pub(super) fn parameter(message: impl Into<String>) -> Self {
        Self::new(3_900_005, message)
    }
    /// Creates the error for a missing parameter or member of the request. `key` is the name of the
    /// missing part. Clients compare the message text, so the text is the same as in BlueKing ITSM.
    pub(super) fn missing_key(key: &str) -> Self {
        Self::new(3_900_004, format!("接口异常，请检查请求参数: '{key}'"))
    }
    pub(super) fn no_ticket() -> Self {
        Self::new(3_900_022, "没有找到对应的单据")
    }
}

impl From<WireError> for Refused {
    fn from(refusal: WireError) -> Self {
        Self::WireError(refusal)
    }
}

impl From<Error> for WireError {
    fn from(error: Error) -> Self {
        if error.kind == infra::Kind::TooLarge {
            return Self::new(3_900_021, format!("参数错误: 内容过大: {error}"));
        }
        if let infra::Kind::Limited { retry_after_s } = error.kind {
            return Self::new(
                LIMITED,
                format!("请求过于频繁，请在 {retry_after_s} 秒后重试"),
            );
        }
        tracing::error!(%error, kind = ?error.kind, "request failed");
        // The cause of this error is written only to the log. The response advises the client to
        // repeat the request later, or to contact an administrator.
        let advice = if error.is_transient() {
            "请稍后重试"
        } else {
            "请联系管理员"
        };
        Self::new(3_900_500, format!("系统异常，{advice}"))
    }
}

impl From<Unnamed> for WireError {
    fn from(unnamed: Unnamed) -> Self {
        match unnamed {
            Unnamed::NotAName(name) => Self::parameter(format!("“{name}” 不是合法的用户名。")),
            Unnamed::TooMany(most) => Self::parameter(format!("人员不能超过 {most} 个。")),
            Unnamed::InField { key, why } => match Self::from(*why) {
                Self {
                    code: 3_900_005,
                    message,
                } => Self::parameter(format!("fields:【{key}】{message}")),
                other => other,
            },
            Unnamed::Technical(error) => error.into(),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::WireError(error.into())
    }
}

/// The data and the message of a successful response. Most clients ignore the message, but
/// interactive chat cards show the message to people.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub(super) data: Value,
    pub(super) message: String,
}

impl From<Value> for Said {
    fn from(data: Value) -> Self {
        Self {
            data,
            message: "success".into(),
        }
    }
}

pub(super) fn success(said: &Said, request_id: &str) -> Response {
    Json(json!({ "result": true, "code": 0, "message": said.message, "data": said.data, "request_id": request_id })).into_response()
}

pub(super) fn failure(error: &WireError, request_id: &str) -> Response {
    // The BlueKing gateway uses status 429 for an exceeded rate limit, so this API uses the same
    // status. The responses for all other errors have status 200.
    let status = if error.code == LIMITED {
        StatusCode::TOO_MANY_REQUESTS
    } else {
        StatusCode::OK
    };
    envelope(status, error.code, &error.message, request_id)
}

/// Returns the response to a caller whose credentials are missing or invalid.
pub(super) fn forbidden(reason: &str, request_id: &str) -> Response {
    envelope(StatusCode::FORBIDDEN, UNKNOWN_CALLER, reason, request_id)
}

/// Returns the response to a known caller whose request path belongs to no operation.
pub(super) fn no_path(request_id: &str) -> Response {
    envelope(
        StatusCode::NOT_FOUND,
        UNKNOWN_API,
        "API not found: no such path",
        request_id,
    )
}

/// Returns the response with status 405 to a known caller. The response means that the path of the
/// request accepts only GET and HEAD.
pub(super) fn only_read(request_id: &str) -> Response {
    let mut response = envelope(
        StatusCode::METHOD_NOT_ALLOWED,
        METHOD_NOT_ALLOWED,
        "method not allowed: this path takes GET and HEAD",
        request_id,
    );
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn envelope(status: StatusCode, code: i64, message: &str, request_id: &str) -> Response {
    let body = json!({ "result": false, "code": code, "message": message, "data": null, "request_id": request_id });
    let mut response = (status, Json(body)).into_response();
    if status != StatusCode::OK {
        // The BlueKing gateway also writes the error code into a header, so this API does the same.
        response.headers_mut().insert(
            header::HeaderName::from_static("x-bkapi-error-code"),
            HeaderValue::from(code),
        );
    }
    response
}

/// Converts the reason why a ticket was not created to an error of the BlueKing API.
pub(super) async fn not_opened(app: &App, not_opened: NotOpened) -> WireError {
    match not_opened {
        NotOpened::KeyReused => {
            WireError::parameter("参数验证失败: Idempotency-Key 已用于另一个请求")
        }
        NotOpened::Refused(ExecuteError::Technical(error)) => error.into(),
        NotOpened::Refused(ExecuteError::Rejected(rejection)) => match rejection {
            Rejection::ServiceUnknown(_) => WireError::parameter("服务:服务不存在，请联系管理员！"),
            Rejection::ServiceDisabled(_) => {
                WireError::parameter("服务:服务未启用，请联系管理员！")
            }
            Rejection::ServiceNotInCatalog(_) => {
                WireError::parameter("服务:服务对应的服务目录不存在")
            }
            Rejection::ChosenNodeUnknown { service, node } => WireError::parameter(format!(
                "state_processors:服务:{service}, 节点({node})不存在"
            )),
            Rejection::ChosenProcessorsEmpty { service, node } => WireError::parameter(format!(
                "state_processors:服务:{service}, 节点({node})对应的审批人不允许为空"
            )),
            Rejection::FieldsMissing(keys) if keys.iter().any(|key| key == "title") => {
                WireError::missing_key("title")
            }
            Rejection::FieldsMissing(keys) => WireError::new(
                3_900_003,
                format!("提单失败: 单据创建失败，缺少参数：{}", listed(&keys)),
            ),
            Rejection::MayNotSubmit { by, node } => {
                let who = app.people.name(&by).await.unwrap_or_default();
                WireError::new(
                    3_900_003,
                    format!("提单失败: 【{who}】没有任务【{node}】的【提交】操作权限."),
                )
            }
            other => match form(&other) {
                Some(text) => WireError::new(3_900_003, format!("提单失败: {text}")),
                None => rejected(app, other).await,
            },
        },
    }
}

/// Converts the reason why an operation on a ticket failed to an error of the BlueKing API.
pub(super) async fn not_done(app: &App, failure: ExecuteError<Ticket>) -> WireError {
    match failure {
        ExecuteError::Technical(error) => error.into(),
        ExecuteError::Rejected(rejection) => rejected(app, rejection).await,
    }
}

async fn rejected(app: &App, rejection: Rejection) -> WireError {
    let name = async |pid| app.people.name(pid).await.unwrap_or_else(|_| String::new());
    let first = |text: String| WireError::parameter(format!("0:{text}"));
    let failed = |text: String| WireError::parameter(format!("参数验证失败: {text}"));
    match &rejection {
        Rejection::Unknown => WireError::no_ticket(),
        Rejection::Ended => first("抱歉，单据已关闭，无法操作".into()),
        Rejection::Suspended => first("抱歉，单据已挂起，无法操作".into()),
        Rejection::NodeUnknown(node) => first(format!("抱歉，没有找到该节点：{node}")),
        Rejection::NodeFinished(node) => first(format!("抱歉，当前节点：{node} 已经结束")),
        Rejection::NotAllowed { by, .. } => first(format!(
            "抱歉，{}不能操作该节点（没有权限或操作类型不支持）",
            name(by).await
        )),
        Rejection::UnknownPerson(person) => failed(format!(
            "用户【{}】不存在，请检查用户名",
            name(person).await
        )),
        Rejection::NotClaimable(_) => failed("当前节点无法进行【认领】操作".into()),
        Rejection::NotDistributable(_) => failed("当前节点无法进行【分派】操作".into()),
        Rejection::NoProcessorGiven => failed("处理人不能为空，或指定的用户组没有成员".into()),
        Rejection::TargetKindNotAllowed => failed("当前分配的用户组类型不正确".into()),
        Rejection::TargetsOutOfRange(people) => {
            let names = app.people.names(people).await.unwrap_or_default();
            failed(format!(
                "当前分配的部分用户可能不符合条件，请确保用户在可选范围中：{names}"
            ))
        }
        Rejection::DeliverNotAllowed(node) => {
            failed(format!("指定流程节点【{node}】不支持转单操作."))
        }
        Rejection::NotDeliverable => failed("当前任务状态下无法转单.".into()),
        Rejection::DeliverMessageMissing => failed("转单描述信息不能为空，请重新确认.".into()),
        Rejection::AlreadyDecided(_) => {
            WireError::new(3_900_046, "转派单异常: 不允许向已经处理的人转单")
        }
        Rejection::TerminateNotAllowed(node) => {
            first(format!("指定流程节点【{node}】不支持终止操作."))
        }
        Rejection::TerminateReasonMissing => first("请输入终止原因！".into()),
        Rejection::SuspendReasonMissing => WireError::parameter("action_message:该字段不能为空。"),
        Rejection::MessageTooLong => {
            WireError::parameter("action_message:请确保这个字段不能超过 255 个字符。")
        }
        Rejection::ReasonTooLong => {
            WireError::parameter(format!("审批意见不能超过 {REMARK_MAX} 个字符。"))
        }
        Rejection::NotAllowedOnTicket(by) => {
            first(format!("抱歉，{}无权操作该单据", name(by).await))
        }
        Rejection::NotInProcess => first("抱歉，该单据不在流程中，无法操作".into()),
        Rejection::NotSuspended => first("抱歉，该单据不在挂起中，无法操作".into()),
        Rejection::NotTheCreator => first("抱歉，你无权撤销单据，只有提单人可以撤单".into()),
        Rejection::NotAllowedToSee(by) => {
            first(format!("抱歉，{}没有权限查看该单据", name(by).await))
        }
        Rejection::NotRevocable => first("抱歉，当前流程配置无法撤单，请联系服务负责人".into()),
        Rejection::AlreadyEnded => first("抱歉，单据已经结束，无法撤销".into()),
        Rejection::HandledAlready => first("抱歉，单据执行中，无法撤销".into()),
        Rejection::IsChild => first("抱歉，子单为只读状态，无法操作".into()),
        Rejection::NotAnApproval(node) => failed(format!("节点 {node} 不是处理中的审批节点")),
        Rejection::NotFinished => failed("单据未完成，无法评价".into()),
        Rejection::RatedAlready => failed("该单据已经被评价".into()),
        Rejection::NotTheRater => failed("只有提单人可以评价".into()),
        Rejection::StarsUnfit(_) => WireError::parameter("stars:请确保该值为 1 到 5。"),
        Rejection::NotEditable(key) => failed(format!("字段【{key}】不允许修改")),
        Rejection::TooMany(most) => failed(format!("最多允许 {most} 项")),
        Rejection::NotEscalatable(node) => failed(format!("节点【{node}】不支持升级")),
        Rejection::NoAgency => failed("该服务不支持代提单".into()),
        Rejection::FieldsMissing(keys) => {
            failed(format!("单据处理失败，缺少参数：{}", listed(keys)))
        }
        other => match form(other) {
            Some(text) => first(text),
            None => WireError::new(3_900_004, format!("单据操作失败: {other}")),
        },
    }
}

/// Returns the error message if the reason for the rejection is the content of a form. Returns
/// `None` for any other reason. New tickets and actions on nodes use the same error messages.
fn form(rejection: &Rejection) -> Option<String> {
    Some(match rejection {
        Rejection::FieldUnknown(key) => format!("【{key}】字段不存在，请联系管理员"),
        Rejection::FieldTwice(key) => format!("【{key}】字段重复"),
        Rejection::FieldEmpty(name) => format!("【{name}】为必填项"),
        Rejection::OptionUnknown(name) => format!("【{name}】选项不匹配，请重新选择"),
        Rejection::OptionsMissing(key) => format!("【{key}】选项不存在，请联系管理员"),
        Rejection::OptionsUnavailable { at, reason } => {
            format!("【{at}】选项获取失败，请稍后重试：{reason}")
        }
        Rejection::FileUnfit { at, why } => format!("【{at}】{}", file_in_chinese(why)),
        Rejection::ReadOnly(name) => format!("【{name}】为只读字段，不允许修改"),
        Rejection::TitleTooLong => "标题不能超过120个字符".into(),
        Rejection::FieldInvalid { at, reason } => format!("【{at}】{}", reason_in_chinese(reason)),
        _ => return None,
    })
}

fn file_in_chinese(why: &Unfit) -> String {
    match why {
        Unfit::NotUploaded => "只接受已上传的文件".into(),
        Unfit::TooMany(most) => format!("最多 {most} 个文件"),
        Unfit::NotHere(id) => format!("文件 {id} 不存在，或已属于其他单据"),
        Unfit::Type {
            accept,
            name,
            media_type,
        } => format!("只接受 {}；{name} 是 {media_type}", accept.join(", ")),
        Unfit::TooLarge { most, name, bytes } => {
            format!("单个文件不能超过 {most} 字节；{name} 有 {bytes}")
        }
    }
}

fn reason_in_chinese(reason: &Invalid) -> String {
    match reason {
        Invalid::NotRows => "不是表格数据".into(),
        Invalid::NotAText => "不是文本".into(),
        Invalid::NotANumber => "不是数字".into(),
        Invalid::NotADate => "不是日期（YYYY-MM-DD）".into(),
        Invalid::NotATime => "不是时间（YYYY-MM-DD hh:mm:ss）".into(),
        Invalid::NotAFlag => "只能填写“是”或“否”".into(),
        Invalid::NotALink => "不是可以打开的链接".into(),
        Invalid::SeveralPeople => "只能选择一个人员".into(),
        Invalid::Comma(item) => {
            format!("的选项 {item:?} 含有逗号，逗号用于分隔多个选项，不能作为选项的一部分")
        }
        Invalid::CellEmpty { row, column } => format!("第 {row} 行【{column}】为必填项"),
        Invalid::CellInvalid { row, column } => format!("第 {row} 行【{column}】的值不合法"),
        Invalid::Rule(rule) => format!("不符合规则 {rule}"),
        Invalid::CustomRule => "不符合自定义规则".into(),
        Invalid::CustomRuleInvalid => "自定义规则不是合法的正则表达式，请联系管理员".into(),
        Invalid::NotAfterNow => "必须晚于当前时间".into(),
        Invalid::NotBeforeNow => "必须早于当前时间".into(),
        Invalid::OtherFields => "不符合关联字段校验规则".into(),
        Invalid::TooLong(most) => format!("不能超过 {most} 个字符"),
    }
}

/// Formats field keys like a Python list of strings, for example `['title', 'reason']`. An error
/// message lists missing form fields in this format. BlueKing ITSM uses the same format, and
/// clients parse this format.
fn listed(keys: &[String]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("'{key}'")).collect();
    format!("[{}]", quoted.join(", "))
}
