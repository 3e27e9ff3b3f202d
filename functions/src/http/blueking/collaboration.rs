//! Implements the BlueKing operations for ratings, followers and changes of fields
//! (reference/bk-itsm.md 3.11). A follower is a person who watches a ticket. The ticket is then in
//! a personal list of this person.

use domain::ticket::Command;
use events::TicketSn;
use serde_json::Value;

use super::answer::WireError;
use super::reads;
use super::request::Asked;
use super::writes::act;
use crate::App;
use crate::app::permissions::Reader;
use crate::app::tickets;

/// The largest number of characters in the comment text of a rating.
const COMMENT_MAX: usize = 255;
/// The largest number of followers (people who watch a ticket) in one request.
const USERS_MAX: usize = 200;

pub(super) async fn comment(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Value, WireError> {
    let sn = TicketSn(request.required("sn")?);
    let stars = request.required_int("stars")?;
    // BlueKing ITSM accepts 6 stars and shows them as 5 stars. This API also accepts 6 stars and
    // stores 5 stars.
    let stars = u8::try_from(stars)
        .ok()
        .filter(|stars| (1..=6).contains(stars))
        .ok_or_else(|| WireError::parameter("stars:请确保该值为 1 到 5。"))?
        .min(5);
    let comment = request.words("comments")?;
    if comment.chars().count() > COMMENT_MAX {
        return Err(WireError::parameter(format!(
            "comments:请确保这个字段不能超过 {COMMENT_MAX} 个字符。"
        )));
    }
    let operator = request.actor("operator")?;
    let by = app.people.find(&operator).await?;
    act(
        app,
        request,
        request_id,
        &sn,
        by.clone(),
        &Command::Rate { by, stars, comment },
    )
    .await
}

pub(super) async fn add_follower(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Value, WireError> {
    let sn = TicketSn(request.required("sn")?);
    let names = request.names("users", USERS_MAX)?;
    if names.is_empty() {
        return Err(WireError::parameter("users:该字段是必填项。"));
    }
    // The ticket is read before the people are registered. A request for an unknown ticket
    // therefore registers no people.
    let card = tickets::card(app, &sn)
        .await?
        .ok_or_else(WireError::no_ticket)?;
    let reader = Reader::app_of(&request.caller);
    let app_may_read = reader.may_read(app, &card).await?;
    let follows = !matches!(
        request.text("attention").as_deref(),
        Some("false" | "False" | "0")
    );
    let people = app.people.find_all(&names).await?;
    let by = match request
        .text("operator")
        .or_else(|| request.caller.user.clone())
    {
        Some(operator) => {
            request.speaks_as("operator", &operator)?;
            app.people.find(&operator).await?
        }
        None => people[0].clone(),
    };
    act(
        app,
        request,
        request_id,
        &sn,
        by.clone(),
        &Command::Follow {
            by,
            people,
            follows,
            app_may_read,
        },
    )
    .await
}

pub(super) async fn edit_field(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Value, WireError> {
    let card = reads::ticket_card(app, request).await?;
    let sn = TicketSn(request.required("sn")?);
    let operator = request.actor("operator")?;
    // A client may send a list of fields in the parameter `fields`, or a single field in the
    // parameter `field`.
    let mut form = match request.fields()? {
        Some(form) => form,
        None => match request.get("field") {
            Some(field) => vec![events::Entry::new(
                field["key"]
                    .as_str()
                    .ok_or_else(|| WireError::missing_key("key"))?,
                field
                    .get("value")
                    .cloned()
                    .ok_or_else(|| WireError::missing_key("value"))?,
            )],
            None => return Err(WireError::parameter("fields:该字段是必填项。")),
        },
    };
    let workflow = reads::workflow_of(app, &card).await?;
    app.people
        .form_in(&workflow.definition, &mut form, 0)
        .await?;
    if let Some(submit) = workflow.definition.submit_node() {
        app.configuration
            .offers
            .ask_ahead(&workflow.definition, submit, &form, &card.ticket)
            .await?;
    }
    let by = app.people.find(&operator).await?;
    act(
        app,
        request,
        request_id,
        &sn,
        by.clone(),
        &Command::EditField { by, form },
    )
    .await
}
