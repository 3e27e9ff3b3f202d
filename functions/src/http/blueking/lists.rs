//! Lists of tickets (reference/bk-itsm.md 3.5, 3.11).

use domain::views::ticket_card::TicketCard;
use events::Pid;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::render;
use super::request::Asked;
use crate::App;
use crate::http::lists::{self, Filter, Number, Page};
use crate::stream::follow::read_card;

/// Largest page of a list; larger wishes are cut to it (3.5).
const PAGE_MAX: usize = 10_000;

/// What a request narrows a list to.
async fn read(app: &App, asked: &Asked) -> Result<Filter, Refusal> {
    let person = async |key: &str| match asked.words(key)? {
        name if name.is_empty() => Ok::<_, Refusal>(None),
        name => Ok(Some(app.people.find(&name).await?)),
    };
    Ok(Filter {
        // `username` also carries the caller in some SDKs' credentials; only the list's own parameter counts.
        list: person("username").await?.map(|pid| ("todo", pid)),
        creator: person("creator").await?,
        sns: asked.list("sns")?.into_iter().collect(),
        statuses: asked.list("current_status__in")?,
        services: asked.list("service_id__in")?,
        businesses: asked.list("bk_biz_id__in")?,
        kinds: asked.list("service_type")?,
        tag: Some(asked.words("tag")?).filter(|tag| !tag.is_empty()),
        created: (asked.earliest_time(app, "create_at__gte")?, asked.latest_time(app, "create_at__lte")?),
        ended: (asked.earliest_time(app, "end_at__gte")?, asked.latest_time(app, "end_at__lte")?),
        ..Filter::default()
    })
}

pub(super) async fn tickets(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let filter = read(app, asked).await?;
    few_parts(&filter)?;
    page(app, asked, &filter, None).await
}

/// The lists of one person (3.11). What was withdrawn is not in them, unless its status is asked for.
pub(super) async fn tickets_by_user(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let user = match asked.text("user").filter(|user| !user.is_empty()) {
        Some(user) => user,
        None => asked.text("username").filter(|user| !user.is_empty()).ok_or_else(|| Refusal::parameter("参数验证失败: user 为必填项"))?,
    };
    let pid = app.people.find(&user).await?;
    let mut filter = read(app, asked).await?;
    let view = asked.text("view_type").unwrap_or_default();
    let index = match view.as_str() {
        "my_todo" | "" => "todo",
        "my_created" => "creator",
        "my_history" | "my_dealt" => "dealt",
        "my_attention" => "follows",
        "my_approval" => "approval",
        other => return Err(Refusal::parameter(format!("view_type:“{other}” 不是合法选项。"))),
    };
    filter.list = Some((index, pid.clone()));
    filter.is_withdrawn_left_out = !filter.statuses.iter().any(|status| status == "REVOKED");
    filter.catalogs = asked.list("catalog_id")?;
    filter.services.extend(asked.list("service_id")?);
    few_parts(&filter)?;
    filter.catalogs = lists::with_catalogs_below(app, filter.catalogs).await?;
    // The two times count together only, as in the original.
    if filter.created.0.is_some() != filter.created.1.is_some() {
        filter.created = (None, None);
    }
    page(app, asked, &filter, Some(&pid)).await
}

/// Rejects conditions that name too many values, by the name of the parameter.
fn few_parts(filter: &Filter) -> Result<(), Refusal> {
    let name = match filter.too_many() {
        None => return Ok(()),
        Some("sns") => "sns",
        Some("status") => "current_status__in",
        Some("service") => "service_id__in",
        Some("catalog") => "catalog_id",
        Some("bk_biz_id") => "bk_biz_id__in",
        Some(_) => "service_type",
    };
    Err(Refusal::parameter(format!("参数验证失败: {name} 最多包含 {} 个值", lists::PARTS_MAX)))
}

/// One page; where it is of one person's list, with what is shown to them of each ticket.
async fn page(app: &App, asked: &Asked, filter: &Filter, whose: Option<&Pid>) -> Result<Value, Refusal> {
    let size = page_size(asked)?;
    let Page { count, number: page, pages: total_page, keys } = lists::page(app, filter, page_number(asked)?, size).await?;
    if page > total_page {
        return Err(Refusal::new(3_900_021, format!("参数错误: 无效页面: 第 {page} 页不存在，共 {total_page} 页")));
    }
    let mut items = Vec::new();
    for key in keys {
        let Some(document) = app.views.get("ticket", &key).await? else { continue };
        let card: TicketCard = read_card(&app.ledger, &key, &document).await?;
        let Some(opened) = &card.ticket.opened else { continue };
        let mut item = render::ticket(app, &card, opened).await?;
        let workflow = app.configuration.workflow(opened.workflow, opened.workflow_version).await?;
        if let Some(workflow) = &workflow {
            item["current_steps"] = render::steps(app, &card, workflow).await?.into();
        }
        if let (Some(whose), Some(workflow)) = (whose, &workflow) {
            let theirs = render::theirs(app, &card, opened, &workflow.definition, whose).await?;
            item.as_object_mut().into_iter().for_each(|item| item.extend(theirs.clone()));
            // The same number under both names: one list of the original calls it so, the others so.
            item["current_steps"].as_array_mut().into_iter().flatten().for_each(|step| step["id"] = step["state_id"].clone());
        }
        items.push(item);
    }
    // Whoever follows a link asks for the same list; secrets do not stand in it.
    let kept = asked.query_besides(&["page", "page_size"]);
    let link = |page: usize| format!("{}{}?{kept}page={page}&page_size={size}", app.settings.site, asked.path);
    Ok(json!({
        "page": page,
        "total_page": total_page,
        "count": count,
        "next": (page < total_page).then(|| link(page + 1)),
        "previous": (page > 1).then(|| link(page - 1)),
        "items": items,
    }))
}

fn page_size(asked: &Asked) -> Result<usize, Refusal> {
    match asked.text("page_size").filter(|text| !text.is_empty()).map(|text| text.parse::<usize>()) {
        None => Ok(10),
        Some(Ok(size)) if size > 0 => Ok(size.min(PAGE_MAX)),
        Some(_) => Err(Refusal::new(3_900_021, "参数错误: page_size 必须是正整数")),
    }
}

fn page_number(asked: &Asked) -> Result<Number, Refusal> {
    match asked.text("page").filter(|text| !text.is_empty()).as_deref() {
        None => Ok(Number::This(1)),
        Some("last") => Ok(Number::Last),
        Some(text) => text.parse().ok().filter(|page| *page > 0).map(Number::This).ok_or_else(|| Refusal::new(3_900_021, "参数错误: page 必须是正整数")),
    }
}
