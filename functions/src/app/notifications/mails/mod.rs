//! Processes mails that arrived. A reply to a mail of the desk becomes a comment or a command, as in a chat. A report
//! about a mail of the desk is stored in its delivery. A mail that a program sent changes nothing, so that two
//! programs never answer each other without an end (RFC 3834).
//!
//! The desk acts as a person only if the sender is proven: the mail was sent to an address for replies that only this
//! person knows, or the mail relay of the desk has checked the sender of an address that the person has linked.

pub(super) mod files;
mod sender;
mod text;

use domain::notification::content::{Content, Link};
use domain::notification::delivery::{Command, Delivery, Rejection};
use domain::notification::grammar::{Said, Verb};
use domain::notification::person::Person;
use domain::notification::suppression::is_suppressed;
use events::channel_account::Defined;
use events::delivery::Requested;
use events::person::Language;
use events::{Meta, Origin, PersonId, Personal, TicketSn};
use infra::channel::email;
use infra::commit::hex;
use infra::inbound::mail::{Mail, NotForDesk};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use self::files::{Fate, Taken};
use self::sender::{Found, Sender, is_checked, sender};
use self::text::{said, with_list};
use super::answers::Answer;
use super::bounces::{self, CHANNEL};
use super::inbound::{execute, language_of};
use super::{addresses, identities};
use crate::App;
use crate::app::rate;

/// The kind of address of a mail.
const KIND: &str = "email";
/// Maximum number of mails of one person that the desk processes in one hour. More mails are only stored.
const MAILS_MAX: u32 = 30;
/// Maximum number of mails with which the desk answers one person in one hour.
const ANSWERS_MAX: u32 = 10;
const HOUR_MS: i64 = 3_600_000;
/// Time after which an answer is not sent any more, in milliseconds (one day).
const EXPIRES_MS: i64 = 24 * HOUR_MS;

/// A stored mail with its kept attachments.
#[derive(Clone, Copy)]
pub(super) struct Arrived<'a> {
    pub(super) mail: &'a Mail,
    pub(super) fates: &'a [Fate],
}

/// Processes a stored mail. `inbound` is the name of its stream, `account` the name of the channel account, and
/// `platform` the name of the source. The kept attachments are removed afterwards, because the ticket has its own ones.
pub(super) async fn handle(
    app: &App,
    inbound: &str,
    account: &str,
    platform: &str,
    arrived: Arrived<'_>,
    cause: &str,
) -> Result<(), Error> {
    process(app, inbound, account, platform, arrived, cause).await?;
    files::remove(app, arrived.fates).await
}

async fn process(
    app: &App,
    inbound: &str,
    account: &str,
    platform: &str,
    arrived: Arrived<'_>,
    cause: &str,
) -> Result<(), Error> {
    let mail = arrived.mail;
    for report in &mail.reports {
        bounces::record(app, inbound, report, cause).await?;
    }
    if let Some(reason) = &mail.automatic {
        let reason = reason.as_str();
        tracing::info!(inbound, reason, "a mail of a program changes nothing");
        return Ok(());
    }
    let defined = app.configuration.channel_account(account).await?;
    let defined = defined.filter(|defined| defined.channel == CHANNEL);
    let is_checked = is_checked(defined.as_ref(), platform, mail);
    let said = said(mail, arrived.fates);
    if let Some(said) = said.as_ref().filter(|said| said.verb == Verb::Link) {
        return link(app, inbound, mail, said, is_checked, cause).await;
    }
    let sender = match sender(app, defined.as_ref(), platform, mail).await? {
        Found::Sender(sender) => sender,
        Found::NotForDesk(person, reason) => {
            return refuse(app, inbound, defined.as_ref(), &person, reason, cause).await;
        }
        Found::Unproven => {
            tracing::warn!(
                inbound,
                is_checked,
                "a mail changes nothing, because its sender is not proven"
            );
            return Ok(());
        }
    };
    if !may(app, "mails", &sender.person, MAILS_MAX).await? {
        tracing::error!(
            inbound,
            "a mail changes nothing, because its sender has sent too many mails in one hour"
        );
        return Ok(());
    }
    let language = language_of(app, &sender.person).await?;
    let mut taken = Taken::default();
    let (answer, said) = match said {
        None => (Answer::TextMissing, None),
        Some(said) => {
            let acting = Acting {
                inbound,
                cause,
                sender: &sender,
                language,
                arrived,
            };
            let (answer, said) = act(app, &acting, said, &mut taken).await?;
            (answer, Some(said))
        }
    };
    tracing::info!(inbound, answer = answer.kind(), "mail processed");
    let is_done = matches!(answer, Answer::Done { .. });
    let is_incomplete = is_done && !taken.left_out.is_empty();
    if is_silent(&answer, said.as_ref()) && !is_incomplete {
        return Ok(());
    }
    let Some(defined) = defined else {
        return Ok(());
    };
    if !may(app, "answers", &sender.person, ANSWERS_MAX).await? {
        tracing::warn!(inbound, "no answer to a mail, because the limit is reached");
        return Ok(());
    }
    let ticket = said.and_then(|said| said.ticket).or(sender.ticket);
    let text = if is_incomplete {
        files::refusal(&taken, language)
    } else {
        answer.text(language)
    };
    send(
        app,
        inbound,
        &defined,
        &sender.person,
        ticket,
        language,
        text,
        cause,
    )
    .await
}

/// Answers a mail of a proven sender that is not for the desk. Another person can have sent the mail again, so the answer
/// also informs the sender.
async fn refuse(
    app: &App,
    inbound: &str,
    account: Option<&Defined>,
    person: &PersonId,
    reason: NotForDesk,
    cause: &str,
) -> Result<(), Error> {
    let name = reason.name();
    tracing::warn!(
        inbound,
        reason = name,
        "a mail changes nothing, because it is not for the desk"
    );
    #[cfg(feature = "local")]
    app.sending.refused_mail(name);
    let Some(account) = account else {
        return Ok(());
    };
    if !may(app, "answers", person, ANSWERS_MAX).await? {
        return Ok(());
    }
    let mut addresses = email::own_addresses(account).into_iter();
    let address = addresses.next().unwrap_or_default();
    let answer = match reason {
        NotForDesk::TooOld => Answer::MailTooOld(address),
        NotForDesk::OtherAddress | NotForDesk::NotCovered => Answer::NotForDesk(address),
    };
    let language = language_of(app, person).await?;
    let text = answer.text(language);
    send(app, inbound, account, person, None, language, text, cause).await
}

/// Links a mail address with the person of a code.
async fn link(
    app: &App,
    inbound: &str,
    mail: &Mail,
    said: &Said,
    is_checked: bool,
    cause: &str,
) -> Result<(), Error> {
    let id = command_id(&["link", inbound]);
    let linked = if is_checked {
        identities::link(app, KIND, &mail.from, &said.text, id, cause).await?
    } else {
        None
    };
    let is_linked = linked.is_some();
    tracing::info!(
        inbound,
        is_checked,
        is_linked,
        "a mail with a code was processed"
    );
    Ok(())
}

/// The data with which the command in a mail is executed.
struct Acting<'a> {
    /// The name of the stream of the mail.
    inbound: &'a str,
    cause: &'a str,
    sender: &'a Sender,
    language: Language,
    arrived: Arrived<'a>,
}

/// Executes the command in a mail. Returns its answer, and the command with its ticket. The attachments of a comment are
/// stored in `taken`.
async fn act(
    app: &App,
    acting: &Acting<'_>,
    said: Said,
    taken: &mut Taken,
) -> Result<(Answer, Said), Error> {
    let Acting {
        inbound,
        cause,
        sender,
        language,
        arrived,
    } = *acting;
    let is_other = said.ticket.is_some() && said.ticket != sender.ticket;
    if let Some(own) = sender
        .ticket
        .as_ref()
        .filter(|_| sender.is_reply && is_other)
    {
        let ticket = Some(own.clone());
        let answer = Answer::OtherTicket(own.to_string());
        return Ok((answer, Said { ticket, ..said }));
    }
    let ticket = said.ticket.clone().or_else(|| sender.ticket.clone());
    let said = Said { ticket, ..said };
    // Any text can be a comment, so the desk does not guess its ticket.
    if said.verb == Verb::Comment && said.ticket.is_none() {
        return Ok((Answer::TicketMissing, said));
    }
    let mut said = said;
    if said.verb == Verb::Comment {
        let meta = Meta {
            actor: sender.person.clone(),
            origin: Origin::Mail,
            ..Meta::system(inbound, cause)
        };
        *taken = files::take(app, arrived.mail, arrived.fates, &sender.person, &meta).await?;
        said.text = with_list(&said.text, &files::listed(taken));
    }
    let by = (Origin::Mail, inbound, cause);
    let command = (&said, taken.ids.as_slice());
    match Box::pin(execute(app, command, &sender.person, language, by)).await {
        Ok(answer) => Ok((answer, said)),
        Err(error) if error.is_transient() => Err(error),
        Err(error) => {
            tracing::error!(%error, inbound, "cannot execute the command of a mail");
            Ok((Answer::Error, said))
        }
    }
}

/// Returns true if the person needs no answer. A stored comment needs none, and a mail without a text asks for nothing.
fn is_silent(answer: &Answer, said: Option<&Said>) -> bool {
    let is_comment = said.is_some_and(|said| said.verb == Verb::Comment);
    said.is_none() || is_comment && matches!(answer, Answer::Done { .. })
}

/// Counts a mail of a person, and returns true if the person has not reached the limit of one hour. If the views were
/// deleted, the count begins again.
async fn may(app: &App, what: &str, person: &PersonId, most: u32) -> Result<bool, Error> {
    let name = format!("mail {what} {person}");
    rate::start(app, &name).await?;
    let wait = rate::take_in(app, &name, most, HOUR_MS).await?;
    Ok(wait.is_none())
}

/// Sends an answer as a mail. The mail is a delivery, so it is repeated after a failure. A second call sends nothing.
#[expect(clippy::too_many_arguments, reason = "all are parts of one mail")]
async fn send(
    app: &App,
    inbound: &str,
    account: &Defined,
    person: &PersonId,
    ticket: Option<TicketSn>,
    language: Language,
    text: String,
    cause: &str,
) -> Result<(), Error> {
    let Person(preferences, suppressed) = addresses::person(app, person).await?;
    let preferences = preferences.unwrap_or_default();
    let Some(address) = preferences.addresses.get(KIND) else {
        return Ok(());
    };
    if is_suppressed(&suppressed, address, Some(KIND)) {
        return Ok(());
    }
    let ticket = ticket.unwrap_or_default();
    let content = answer_content(&app.settings.site, &ticket, language, text);
    let content = serde_json::to_value(content).unwrap_or_default();
    let now = app.ledger.clock.now();
    let id = command_id(&["answer", inbound]);
    let requested = Requested {
        notification: inbound.to_owned(),
        digest: None,
        ticket,
        person: person.clone(),
        account: account.name.clone(),
        channel: account.channel.clone(),
        to: Personal::new(person.clone(), address.value.clone()),
        content: Personal::new(person.clone(), content),
        repetition: account.repetition,
        due: now,
        expires: now.plus_ms(EXPIRES_MS),
        is_tagged: true,
        thread: None,
    };
    let command_envelope = CommandEnvelope {
        stream: format!("delivery-{}", hex(&id)),
        command_id: id,
        meta: Meta::system(inbound, cause),
    };
    let command = Command::Request(Box::new(requested));
    let executed = app
        .ledger
        .execute::<Delivery>(&command_envelope, &command, &NoContext)
        .await;
    match executed {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::AlreadyRequested)) => Ok(()),
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Returns the content of an answer.
fn answer_content(site: &str, ticket: &TicketSn, language: Language, text: String) -> Content {
    let site = site.trim_end_matches('/');
    let pick = |chinese: &str, english: &str| match language {
        Language::Chinese => chinese.to_owned(),
        Language::English => english.to_owned(),
    };
    let link = if ticket.0.is_empty() {
        Link {
            text: pick("打开服务台", "Open the service desk"),
            url: format!("{site}/"),
        }
    } else {
        Link {
            text: pick("查看工单", "Open the ticket"),
            url: format!("{site}/tickets/{ticket}"),
        }
    };
    Content {
        subject: pick("对您邮件的答复", "Answer to your mail"),
        intro: text,
        values: Vec::new(),
        body: Vec::new(),
        link,
        closing: pick(
            "您收到此邮件，是因为您向服务台发送了邮件。",
            "You get this mail because you sent a mail to the service desk.",
        ),
        thread: if ticket.0.is_empty() {
            "desk".to_owned()
        } else {
            ticket.0.clone()
        },
        actions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use domain::notification::action::Action;

    use super::*;

    #[test]
    fn a_stored_comment_is_not_answered() {
        let comment = Said {
            verb: Verb::Comment,
            ticket: None,
            text: "x".into(),
        };
        let done = Answer::Done {
            action: Action::Comment.label(Language::English),
            sn: "REQ1".into(),
        };
        assert!(is_silent(&done, Some(&comment)));
        assert!(!is_silent(&Answer::Error, Some(&comment)));
        let command = Said {
            verb: Verb::Acknowledge,
            ..comment
        };
        assert!(!is_silent(&done, Some(&command)));
        assert!(is_silent(&Answer::TextMissing, None));
    }
}
