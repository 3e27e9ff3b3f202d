//! Implements the BlueKing operations that list tickets (reference/bk-itsm.md 3.5, 3.11).

use domain::views::ticket_card::TicketCard;
use events::PersonId;
use serde_json::{Value, json};

use super::answer::WireError;
use super::render;
use super::request::Asked;
use crate::App;
use crate::app::cards::read_card;
use crate::app::permissions::Reader;
use crate::app::tickets::list::{self, Filter, Number, Page};

/// The largest number of tickets on one page. If a request contains a larger page size, this number
/// is used instead (reference/bk-itsm.md 3.5).
const PAGE_MAX: usize = 10_000;

/// Creates the filter of a ticket list from the request parameters.
async fn read(app: &App, request: &Asked) -> Result<Filter, WireError> {
    let person = async |key: &str| match request.words(key)? {
        name if name.is_empty() => Ok::<_, WireError>(None),
        name => Ok(Some(app.people.find(&name).await?)),
    };
    Ok(Filter {
        // This line reads only the request parameter `username`. Some SDKs also send a credential
        // with the same name, but the filter does not use the credential.
        list: person("username").await?.map(|pid| ("todo", pid)),
        creator: person("creator").await?,
        sns: request.list("sns")?.into_iter().collect(),
        statuses: request.list("current_status__in")?,
        services: request.list("service_id__in")?,
        businesses: request.list("bk_biz_id__in")?,
        kinds: request.list("service_type")?,
        tag: Some(request.words("tag")?).filter(|tag| !tag.is_empty()),
        created: (
            request.earliest_time(app, "create_at__gte")?,
            request.latest_time(app, "create_at__lte")?,
        ),
        ended: (
            request.earliest_time(app, "end_at__gte")?,
            request.latest_time(app, "end_at__lte")?,
        ),
        ..Filter::default()
    })
}

pub(super) async fn tickets(app: &App, request: &Asked) -> Result<Value, WireError> {
    let filter = read(app, request).await?;
    check_value_counts(&filter)?;
    page(app, request, &filter, None).await
}

/// Lists the tickets of one person (reference/bk-itsm.md 3.11). The list contains withdrawn tickets
/// only if the status filter of the request contains `REVOKED`.
pub(super) async fn tickets_by_user(app: &App, request: &Asked) -> Result<Value, WireError> {
    let user = match request.text("user").filter(|user| !user.is_empty()) {
        Some(user) => user,
        None => request
            .text("username")
            .filter(|user| !user.is_empty())
            .ok_or_else(|| WireError::parameter("参数验证失败: user 为必填项"))?,
    };
    let pid = app.people.find(&user).await?;
    let mut filter = read(app, request).await?;
    let view = request.text("view_type").unwrap_or_default();
    let index = match view.as_str() {
        "my_todo" | "" => "todo",
        "my_created" => "creator",
        "my_history" | "my_dealt" => "dealt",
        "my_attention" => "follows",
        "my_approval" => "approval",
        other => {
            return Err(WireError::parameter(format!(
                "view_type:“{other}” 不是合法选项。"
            )));
        }
    };
    filter.list = Some((index, pid.clone()));
    filter.is_withdrawn_left_out = !filter.statuses.iter().any(|status| status == "REVOKED");
    filter.catalogs = request.list("catalog_id")?;
    filter.services.extend(request.list("service_id")?);
    check_value_counts(&filter)?;
    filter.catalogs = list::with_catalogs_below(app, filter.catalogs).await?;
    // The filter for the creation time needs a start and an end. If the request contains only one
    // of them, the filter is ignored, as in BlueKing ITSM.
    if filter.created.0.is_some() != filter.created.1.is_some() {
        filter.created = (None, None);
    }
    page(app, request, &filter, Some(&pid)).await
}

/// Returns an error if a parameter of the ticket filter has too many values. The error contains the
/// name of this parameter.
fn check_value_counts(filter: &Filter) -> Result<(), WireError> {
    let name = match filter.too_many() {
        None => return Ok(()),
        Some("sns") => "sns",
        Some("status") => "current_status__in",
        Some("service") => "service_id__in",
        Some("catalog") => "catalog_id",
        Some("bk_biz_id") => "bk_biz_id__in",
        Some(_) => "service_type",
    };
    Err(WireError::parameter(format!(
        "参数验证失败: {name} 最多包含 {} 个值",
        list::PARTS_MAX
    )))
}

/// Returns one page of the tickets that `filter` selects. If `person` is set, the JSON of each
/// ticket contains additional keys for this person, for example the operations that the person may
/// perform.
async fn page(
    app: &App,
    request: &Asked,
    filter: &Filter,
    person: Option<&PersonId>,
) -> Result<Value, WireError> {
    let size = page_size(request)?;
    // An app that the desk trusts may ask for the list of every user.
    let reader = match &filter.list {
        Some((_, owner)) if request.caller.may_impersonate => Reader::person(owner.clone()),
        _ => Reader::user_and_app(app, &request.caller).await?,
    };
    let Page {
        count,
        number: page,
        pages: total_page,
        keys,
    } = list::page(app, filter, &reader, page_number(request)?, size).await?;
    if page > total_page {
        return Err(WireError::new(
            3_900_021,
            format!("参数错误: 无效页面: 第 {page} 页不存在，共 {total_page} 页"),
        ));
    }
    let mut items = Vec::new();
    for key in keys {
        let Some(document) = app.views.get("ticket", &key).await? else {
            continue;
        };
        let card: TicketCard = read_card(&app.ledger, &key, &document).await?;
        let Some(opened) = &card.ticket.opened else {
            continue;
        };
        let mut item = render::ticket(app, &card, opened).await?;
        let workflow = app
            .configuration
            .workflow(opened.workflow, opened.workflow_version)
            .await?;
        if let Some(workflow) = &workflow {
            item["current_steps"] = render::steps(app, &card, workflow).await?.into();
        }
        if let (Some(person), Some(workflow)) = (person, &workflow) {
            let person_keys =
                render::theirs(app, &card, opened, &workflow.definition, person).await?;
            item.as_object_mut()
                .into_iter()
                .for_each(|item| item.extend(person_keys.clone()));
            // In a list of the tickets of one person, BlueKing ITSM uses the key `id` for the node
            // id of a current step (an active node of a ticket). In all other lists, the key is
            // `state_id`. This API therefore adds the key `id` with the same value.
            item["current_steps"]
                .as_array_mut()
                .into_iter()
                .flatten()
                .for_each(|step| step["id"] = step["state_id"].clone());
        }
        items.push(item);
    }
    // The response contains the URLs of the previous and the next page. These URLs contain the
    // filters of this request, but no credentials.
    let kept = request.query_besides(&["page", "page_size"]);
    let link = |page: usize| {
        format!(
            "{}{}?{kept}page={page}&page_size={size}",
            app.settings.site, request.path
        )
    };
    Ok(json!({
        "page": page,
        "total_page": total_page,
        "count": count,
        "next": (page < total_page).then(|| link(page + 1)),
        "previous": (page > 1).then(|| link(page - 1)),
        "items": items,
    }))
}

fn page_size(request: &Asked) -> Result<usize, WireError> {
    match request
        .text("page_size")
        .filter(|text| !text.is_empty())
        .map(|text| text.parse::<usize>())
    {
        None => Ok(10),
        Some(Ok(size)) if size > 0 => Ok(size.min(PAGE_MAX)),
        Some(_) => Err(WireError::new(
            3_900_021,
            "参数错误: page_size 必须是正整数",
        )),
    }
}

fn page_number(request: &Asked) -> Result<Number, WireError> {
    match request
        .text("page")
        .filter(|text| !text.is_empty())
        .as_deref()
    {
        None => Ok(Number::This(1)),
        Some("last") => Ok(Number::Last),
        Some(text) => text
            .parse()
            .ok()
            .filter(|page| *page > 0)
            .map(Number::This)
            .ok_or_else(|| WireError::new(3_900_021, "参数错误: page 必须是正整数")),
    }
}
