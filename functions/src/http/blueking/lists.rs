//! Lists of tickets (reference/bk-itsm.md 3.5, 3.11): pages of the narrowest index, looked through where a filter is no index of its own.

use std::collections::BTreeSet;

use domain::views::ticket_card::TicketCard;
use events::{Moment, Pid};
use infra::Error;
use infra::views::Range;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::render;
use super::request::Asked;
use crate::App;
use crate::stream::follow::read_card;

/// Largest page of a list; larger wishes are cut to it (3.5).
const PAGE_MAX: usize = 10_000;
/// Cards looked at per step when a filter is not an index of its own.
const STEP: usize = 500;

/// What a list is narrowed to.
struct Filter {
    /// A list of one person: the index it is, and whose.
    list: Option<(&'static str, Pid)>,
    creator: Option<Pid>,
    catalogs: Vec<String>,
    sns: BTreeSet<String>,
    statuses: Vec<String>,
    services: Vec<String>,
    businesses: Vec<String>,
    kinds: Vec<String>,
    tag: Option<String>,
    created: (Option<Moment>, Option<Moment>),
    ended: (Option<Moment>, Option<Moment>),
}

impl Filter {
    async fn read(app: &App, asked: &Asked) -> Result<Self, Refusal> {
        let person = async |key: &str| match asked.text(key).filter(|text| !text.is_empty()) {
            Some(name) => Ok::<_, Error>(Some(app.people.find(&name).await?)),
            None => Ok(None),
        };
        Ok(Self {
            // `username` also carries the caller in some SDKs' credentials; only the list's own parameter counts.
            list: person("username").await?.map(|pid| ("todo", pid)),
            creator: person("creator").await?,
            catalogs: Vec::new(),
            sns: asked.list("sns").into_iter().collect(),
            statuses: asked.list("current_status__in"),
            services: asked.list("service_id__in"),
            businesses: asked.list("bk_biz_id__in"),
            kinds: asked.list("service_type"),
            tag: asked.text("tag").filter(|tag| !tag.is_empty()),
            created: (asked.time(app, "create_at__gte")?, asked.time(app, "create_at__lte")?),
            ended: (asked.time(app, "end_at__gte")?, asked.time(app, "end_at__lte")?),
        })
    }

    /// Says whether the stretch of [`Filter::narrowest`] is already the whole answer.
    fn is_index_alone(&self) -> bool {
        let narrowed_by_status = self.list.is_none() && self.creator.is_none() && self.statuses.len() == 1;
        let statuses = self.statuses.is_empty() || narrowed_by_status;
        let others =
            self.catalogs.is_empty() && statuses && self.services.is_empty() && self.businesses.is_empty() && self.kinds.is_empty() && self.tag.is_none();
        let ended = self.ended.0.is_some() || self.ended.1.is_some();
        self.sns.is_empty() && others && !ended && (self.creator.is_none() || self.list.is_none())
    }

    /// The index that leaves the fewest tickets, and its stretch: every index is by the time of creation.
    fn narrowest(&self) -> (&'static str, String, String) {
        let (index, whose) = match (&self.list, &self.creator, &self.statuses[..]) {
            (Some((index, pid)), _, _) => (*index, format!("{pid}|")),
            (None, Some(pid), _) => ("creator", format!("{pid}|")),
            (None, None, [status]) => ("status", format!("{status}|")),
            (None, None, _) => ("ticket", String::new()),
        };
        // Times on the wire have whole seconds: one that is named counts to its end.
        let second = |at: Moment| at.0.div_euclid(1000) * 1000;
        let from = self.created.0.map_or_else(|| whose.clone(), |from| format!("{whose}{:016}", second(from)));
        let to = self.created.1.map_or_else(|| format!("{whose}~"), |to| format!("{whose}{:016}", second(to) + 1000));
        (index, from, to)
    }

    fn fits(&self, card: &TicketCard) -> bool {
        let Some(opened) = &card.ticket.opened else { return false };
        // Times on the wire have whole seconds, so the stored one is compared cut to the second.
        let second = |at: Moment| at.0.div_euclid(1000);
        let between = |at: Moment, (from, to): (Option<Moment>, Option<Moment>)| {
            from.is_none_or(|from| second(at) >= second(from)) && to.is_none_or(|to| second(at) <= second(to))
        };
        self.creator.as_ref().is_none_or(|pid| opened.creator == *pid)
            && self.list.as_ref().is_none_or(|(index, pid)| card.index().iter().any(|(name, value)| name == index && value.starts_with(&format!("{pid}|"))))
            && (self.catalogs.is_empty() || self.catalogs.contains(&opened.catalog.to_string()))
            && (self.sns.is_empty() || self.sns.contains(opened.sn.as_str()))
            && (self.statuses.is_empty() || self.statuses.iter().any(|status| status == card.ticket.status_key()))
            && (self.services.is_empty() || self.services.contains(&opened.service.to_string()))
            && (self.businesses.is_empty() || self.businesses.contains(&card.ticket.bk_biz_id().to_string()))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == opened.kind.key()))
            && self.tag.as_ref().is_none_or(|tag| opened.tag == *tag)
            && between(card.created_at, self.created)
            && match (self.ended, card.ended_at) {
                ((None, None), _) => true,
                (_, None) => false,
                (ended, Some(at)) => between(at, ended),
            }
    }
}

pub(super) async fn tickets(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let filter = Filter::read(app, asked).await?;
    page(app, asked, &filter, None).await
}

/// The lists of one person (3.11). What was withdrawn is not in them, unless its status is asked for.
pub(super) async fn tickets_by_user(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let user = match asked.text("user").filter(|user| !user.is_empty()) {
        Some(user) => user,
        None => asked.text("username").filter(|user| !user.is_empty()).ok_or_else(|| Refusal::parameter("参数验证失败: user 为必填项"))?,
    };
    let pid = app.people.find(&user).await?;
    let mut filter = Filter::read(app, asked).await?;
    let view = asked.text("view_type").unwrap_or_default();
    let index = match view.as_str() {
        "my_todo" | "" => "todo",
        "my_created" => "mine",
        "my_history" | "my_dealt" => "dealt",
        "my_attention" => "follows",
        "my_approval" => "approval",
        other => return Err(Refusal::parameter(format!("view_type:“{other}” 不是合法选项。"))),
    };
    filter.list = Some((index, pid.clone()));
    if index == "mine" && filter.statuses.iter().any(|status| status == "REVOKED") {
        filter.list = None;
        filter.creator = Some(pid.clone());
    }
    filter.catalogs = with_catalogs_below(app, &asked.list("catalog_id")).await?;
    filter.services.extend(asked.list("service_id"));
    // The two times count together only, as in the original.
    if filter.created.0.is_some() != filter.created.1.is_some() {
        filter.created = (None, None);
    }
    page(app, asked, &filter, Some(&pid)).await
}

/// Catalogs and all below them.
async fn with_catalogs_below(app: &App, catalogs: &[String]) -> Result<Vec<String>, Refusal> {
    let catalog = app.configuration.catalog().await?;
    let mut all = catalogs.to_vec();
    let mut next = 0;
    while let Some(id) = all.get(next).cloned() {
        next += 1;
        let below = catalog.shelves.values().filter(|shelf| shelf.parent.is_some_and(|parent| parent.to_string() == id)).map(|shelf| shelf.id.to_string());
        let new: Vec<String> = below.filter(|shelf| !all.contains(shelf)).collect();
        all.extend(new);
    }
    Ok(all)
}

/// One page; where it is of one person's list, with what is shown to them of each ticket.
async fn page(app: &App, asked: &Asked, filter: &Filter, whose: Option<&Pid>) -> Result<Value, Refusal> {
    let size = page_size(asked)?;
    let (count, keys) = if filter.is_index_alone() { by_index(app, asked, filter, size).await? } else { by_filter(app, asked, filter, size).await? };
    let total_page = count.div_ceil(size).max(1);
    let page = page_number(asked, total_page)?;
    if page > total_page {
        return Err(Refusal::new(3_900_021, format!("参数错误: 无效页面: 第 {page} 页不存在，共 {total_page} 页")));
    }
    let mut items = Vec::new();
    for key in keys {
        let Some(document) = app.views.get("ticket", &key).await? else { continue };
        let card: TicketCard = read_card(&key, &document)?;
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

fn page_number(asked: &Asked, last: usize) -> Result<usize, Refusal> {
    match asked.text("page").filter(|text| !text.is_empty()).as_deref() {
        None => Ok(1),
        Some("last") => Ok(last),
        Some(text) => text.parse().ok().filter(|page| *page > 0).ok_or_else(|| Refusal::new(3_900_021, "参数错误: page 必须是正整数")),
    }
}

/// The count and one page's keys straight from an index, newest first.
async fn by_index(app: &App, asked: &Asked, filter: &Filter, size: usize) -> Result<(usize, Vec<String>), Refusal> {
    let (index, from, to) = filter.narrowest();
    let count = usize::try_from(app.views.count("ticket", index, &from, &to).await?).unwrap_or(usize::MAX);
    let page = page_number(asked, count.div_ceil(size).max(1))?;
    let skip = (page - 1).saturating_mul(size);
    let range = Range { view: "ticket", index, from: &from, to: &to, descending: true, skip, limit: size };
    Ok((count, app.views.range(range).await?.into_iter().map(|entry| entry.key).collect()))
}

/// The same where cards have to be looked at: the narrowest index is walked, newest first.
async fn by_filter(app: &App, asked: &Asked, filter: &Filter, size: usize) -> Result<(usize, Vec<String>), Refusal> {
    let mut fitting = Vec::new();
    if filter.sns.is_empty() {
        let (index, from, mut to) = filter.narrowest();
        let mut at_edge = (String::new(), 0);
        loop {
            let range = Range { view: "ticket", index, from: &from, to: &to, descending: true, skip: at_edge.1, limit: STEP };
            let entries = app.views.range(range).await?;
            let Some(last) = entries.last() else { break };
            // Tickets of the same instant may go on into the next step: those that were seen are left out there.
            let seen = if last.value == at_edge.0 { at_edge.1 } else { 0 };
            let next = (last.value.clone(), seen + entries.iter().filter(|entry| entry.value == last.value).count());
            to = format!("{}\u{1}", last.value);
            at_edge = next;
            for entry in entries {
                keep_fitting(app, filter, entry.key, &mut fitting).await?;
            }
        }
    } else {
        for sn in filter.sns.iter().rev() {
            keep_fitting(app, filter, format!("ticket-{sn}"), &mut fitting).await?;
        }
        fitting.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    }
    let count = fitting.len();
    let page = page_number(asked, count.div_ceil(size).max(1))?;
    let keys = fitting.into_iter().skip((page - 1).saturating_mul(size)).take(size).map(|(_, key)| key);
    Ok((count, keys.collect()))
}

async fn keep_fitting(app: &App, filter: &Filter, key: String, fitting: &mut Vec<(i64, String)>) -> Result<(), Refusal> {
    if let Some(document) = app.views.get("ticket", &key).await? {
        let card: TicketCard = read_card(&key, &document)?;
        if filter.fits(&card) {
            fitting.push((card.created_at.0, key));
        }
    }
    Ok(())
}
