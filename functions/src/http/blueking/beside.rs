//! What is done beside the work: rating, following, changing fields (reference/bk-itsm.md 3.11).

use domain::ticket::Command;
use events::TicketSn;
use serde_json::Value;

use super::answer::Refusal;
use super::reads;
use super::request::Asked;
use super::writes::act;
use crate::{App, desk};

/// Longest comment beside a rating.
const COMMENT_MAX: usize = 255;
/// Longest list of followers in one call.
const USERS_MAX: usize = 200;

pub(super) async fn comment(app: &App, asked: &Asked, request_id: &str) -> Result<Value, Refusal> {
    let sn = TicketSn(asked.required("sn")?);
    let stars = asked.required_int("stars")?;
    // The original accepts 6 and shows 5.
    let stars = u8::try_from(stars).ok().filter(|stars| (1..=6).contains(stars)).ok_or_else(|| Refusal::parameter("stars:请确保该值为 1 到 5。"))?.min(5);
    let comment = asked.words("comments")?;
    if comment.chars().count() > COMMENT_MAX {
        return Err(Refusal::parameter(format!("comments:请确保这个字段不能超过 {COMMENT_MAX} 个字符。")));
    }
    let operator = asked.actor("operator")?;
    let by = app.people.find(&operator).await?;
    act(app, asked, request_id, &sn, by.clone(), &Command::Rate { by, stars, comment }).await
}

pub(super) async fn add_follower(app: &App, asked: &Asked, request_id: &str) -> Result<Value, Refusal> {
    let sn = TicketSn(asked.required("sn")?);
    let names = asked.names("users", USERS_MAX)?;
    if names.is_empty() {
        return Err(Refusal::parameter("users:该字段是必填项。"));
    }
    // Nobody is registered for a ticket that does not exist.
    desk::card(app, &sn).await?.ok_or_else(Refusal::no_ticket)?;
    let follows = !matches!(asked.text("attention").as_deref(), Some("false" | "False" | "0"));
    let people = app.people.find_all(&names).await?;
    let by = match asked.text("operator").or_else(|| asked.caller.user.clone()) {
        Some(operator) => {
            asked.speaks_as("operator", &operator)?;
            app.people.find(&operator).await?
        }
        None => people[0].clone(),
    };
    act(app, asked, request_id, &sn, by.clone(), &Command::Follow { by, people, follows }).await
}

pub(super) async fn edit_field(app: &App, asked: &Asked, request_id: &str) -> Result<Value, Refusal> {
    let card = reads::ticket_card(app, asked).await?;
    let sn = TicketSn(asked.required("sn")?);
    let operator = asked.actor("operator")?;
    // One field may come by itself, under `field`.
    let mut form = match asked.fields()? {
        Some(form) => form,
        None => match asked.get("field") {
            Some(field) => vec![events::Entry::new(
                field["key"].as_str().ok_or_else(|| Refusal::missing_key("key"))?,
                field.get("value").cloned().ok_or_else(|| Refusal::missing_key("value"))?,
            )],
            None => return Err(Refusal::parameter("fields:该字段是必填项。")),
        },
    };
    let workflow = reads::workflow_of(app, &card).await?;
    app.people.form_in(&workflow.definition, &mut form, 0).await?;
    if let Some(submit) = workflow.definition.submit_node() {
        app.configuration.offers.ask_ahead(&workflow.definition, submit, &form, &card.ticket).await?;
    }
    let by = app.people.find(&operator).await?;
    act(app, asked, request_id, &sn, by.clone(), &Command::EditField { by, form }).await
}
