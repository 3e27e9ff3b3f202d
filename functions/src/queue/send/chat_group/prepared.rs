//! Collects the data for one step of a chat group: the account with its credentials, the people with their addresses, and the
//! message.

use domain::attempt::Verdict;
use domain::notification::chat_group::{ChatGroup, Step};
use domain::notification::content::Content;
use domain::ticket::Ticket;
use events::chat_group::Requested;
use events::delivery::FailureClass;
use events::notification::Fact;
use events::{PersonId, channel_account};
use infra::Error;
use infra::channel::Channel;
use infra::channel::group::{self, Call, Change, Groups};
use infra::commit::hex;
use infra::http::{HttpError, HttpRequest, HttpResponse};
use infra::ledger::command_id;

use super::people::{self, Addressed, addressed, to_remove};
use super::{Made, STOPPED_MS, done, failed};
use crate::App;
use crate::app::notifications::templates::formats;
use crate::app::notifications::tokens::Granted;
use crate::app::notifications::{chat_group_message, chat_groups};
use crate::queue::send::{Credentials, credentials, instance, usable};

/// All data for the request of one step, and for its response.
pub(super) struct Prepared {
    /// The step, with only the people of this request.
    pub(super) step: Step,
    /// The people who become members with this step, and those who are left out.
    pub(super) people: Addressed,
    /// The addresses that the request contains.
    pub(super) addresses: Vec<String>,
    pub(super) account: channel_account::Defined,
    pub(super) codec: &'static dyn Channel,
    pub(super) groups: &'static dyn Groups,
    pub(super) secret: String,
    granted: Option<Granted>,
    /// The message, if the step sends one.
    content: Option<Content>,
    id: String,
}

impl Prepared {
    pub(super) fn token(&self) -> &str {
        let granted = self.granted.as_ref();
        granted.map_or("", |granted| granted.token.value.as_str())
    }

    /// Returns true if the access token is new, so that a refused token means wrong credentials.
    pub(super) fn has_new_token(&self) -> bool {
        self.granted.as_ref().is_none_or(|granted| granted.is_new)
    }

    /// Returns the request. If no request is possible, returns the reason.
    pub(super) fn request(
        &self,
        group: &ChatGroup,
        requested: &Requested,
    ) -> Result<HttpRequest, String> {
        self.with_call(group, requested, |call| self.groups.request(call))?
    }

    /// Converts the response, or the error if no response arrived, to the outcome on the platform.
    pub(super) fn outcome(
        &self,
        group: &ChatGroup,
        requested: &Requested,
        response: &Result<HttpResponse, HttpError>,
    ) -> group::Outcome {
        let evaluate = |call: &Call<'_>| group::outcome(self.groups, call, response);
        let outcome = self.with_call(group, requested, evaluate);
        outcome.unwrap_or_else(|reason| group::Outcome::Failed(Verdict::retry(reason)))
    }

    /// Calls `work` with the change that the step makes. If the message is missing, returns this reason.
    fn with_call<T>(
        &self,
        group: &ChatGroup,
        requested: &Requested,
        work: impl FnOnce(&Call<'_>) -> T,
    ) -> Result<T, String> {
        let addresses: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        let change = match &self.step {
            Step::Create => Change::Create {
                name: &requested.name,
                people: &addresses,
            },
            Step::Find(cursor) => Change::Find { cursor },
            Step::Add(_) => Change::Add(&addresses),
            Step::Remove(_) | Step::RemoveErased(_) => Change::Remove(&addresses),
            Step::Rename(name) => Change::Rename(name),
            Step::Send(_) => {
                let content = self.content.as_ref();
                Change::Send(content.ok_or("the step has no message")?)
            }
            Step::Close => Change::Close {
                name: group.closing.as_ref().map_or("", |close| &close.name),
                keeps: requested.keeps,
            },
        };
        Ok(work(&Call {
            account: &self.account,
            secret: &self.secret,
            token: self.token(),
            id: &self.id,
            ticket: requested.ticket.as_str(),
            chat: &group.chat,
            change,
        }))
    }
}

/// Collects the data for a step. If the step needs no request, or if no request can be sent, returns its outcome as the inner
/// `Err`.
pub(super) async fn prepare(
    app: &App,
    stream: &str,
    group: &ChatGroup,
    requested: &Requested,
    step: Step,
) -> Result<Result<Prepared, Made>, Error> {
    let (account, codec) = match usable(app, &requested.account).await? {
        Ok(usable) => usable,
        Err(verdict) => {
            let verdict = match &step {
                Step::RemoveErased(_) => later(verdict),
                _ => verdict,
            };
            return Ok(Err(failed(requested, step, verdict)));
        }
    };
    let groups = codec.groups();
    let Some(groups) = groups.filter(|_| account.channel == requested.channel) else {
        let reason = "the account has another channel than the group";
        let verdict = Verdict::refused(FailureClass::Permanent, "", reason);
        return Ok(Err(failed(requested, step, verdict)));
    };
    let kind = codec.address_kind();
    let planned = match &step {
        Step::RemoveErased(person) => {
            let owner = groups.owner(&account);
            match erased(app, group, person, owner).await? {
                Ok(planned) => planned,
                Err(verdict) => return Ok(Err(failed(requested, step, verdict))),
            }
        }
        _ => plan(app, group, requested, step, (groups, kind), &account).await?,
    };
    let Planned {
        step,
        people,
        addresses,
        needs_request,
    } = planned;
    let least = groups.people_min();
    if step == Step::Create && addresses.len() < least {
        let reason = format!("a group needs at least {least} members with an address");
        let verdict = Verdict::refused(FailureClass::RecipientInvalid, "", reason);
        return Ok(Err(failed(requested, step, verdict)));
    }
    if !needs_request {
        return Ok(Err(done(step, people, String::new(), &[])));
    }
    let Credentials { secret, granted } = match credentials(app, codec, &account, "").await? {
        Ok(credentials) => credentials,
        Err(verdict) => return Ok(Err(failed(requested, step, verdict))),
    };
    let content = match &step {
        Step::Send(pending) => Some(content(app, requested, pending.fact).await?),
        _ => None,
    };
    let id = id(app, stream, group, &step).await?;
    Ok(Ok(Prepared {
        step,
        people,
        addresses,
        account,
        codec,
        groups,
        secret,
        granted,
        content,
        id,
    }))
}

/// The people of a step, with the addresses of its request.
struct Planned {
    step: Step,
    people: Addressed,
    addresses: Vec<String>,
    /// False if the platform has nothing to do, because all people of the step are left out or stay.
    needs_request: bool,
}

/// Returns the verdict for the removal of an erased person while the account cannot be used. An operator can start the account
/// again, so the removal waits.
fn later(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Refused { reason, .. } => Verdict::Retry {
            reason,
            after_ms: Some(STOPPED_MS),
        },
        other => other,
    }
}

/// Plans the removal of an erased person, whose address is in the key store. An address that another member has too stays. If
/// the removal is not possible, returns the verdict as the inner `Err`.
async fn erased(
    app: &App,
    group: &ChatGroup,
    person: &PersonId,
    owner: &str,
) -> Result<Result<Planned, Verdict>, Error> {
    let refused = |reason: &'static str| Verdict::refused(FailureClass::Permanent, "", reason);
    let secret = match group.erased.get(person) {
        Some(erased) => app.ledger.keys.secret(&erased.secret).await?,
        None => None,
    };
    let address = secret.and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(address) = address else {
        let reason = "the desk stopped before it stored the result of the removal";
        return Ok(Err(refused(reason)));
    };
    if address == owner {
        let reason = "the person owns all groups of the account";
        return Ok(Err(refused(reason)));
    }
    let mut others = group.members.iter().filter(|(one, _)| *one != person);
    let is_shared = others.any(|(_, other)| other.value.as_str() == Some(address.as_str()));
    Ok(Ok(Planned {
        step: Step::RemoveErased(person.clone()),
        people: Addressed::default(),
        addresses: vec![address],
        needs_request: !is_shared,
    }))
}

/// Chooses the people for the next request of a step.
async fn plan(
    app: &App,
    group: &ChatGroup,
    requested: &Requested,
    step: Step,
    (groups, kind): (&dyn Groups, &str),
    account: &channel_account::Defined,
) -> Result<Planned, Error> {
    let owner = groups.owner(account);
    Ok(match step {
        Step::Create if groups.creates_with_people() => {
            // All attempts name the same people, because the platform keeps the people of the first one. Later steps add
            // and remove the others.
            let members = requested.members.iter();
            let members = members.filter(|person| !group.gone.contains(*person));
            let members: Vec<PersonId> = members.cloned().collect();
            let people = addressed(app, &members, kind).await?;
            let mut addresses = owned(people.addresses(owner));
            if !owner.is_empty() {
                addresses.push(owner.to_owned());
            }
            Planned {
                step: Step::Create,
                people,
                addresses,
                needs_request: true,
            }
        }
        Step::Add(wanted) => {
            let mut people = addressed(app, &wanted, kind).await?;
            let all = people.members.iter().filter_map(people::address);
            let all: Vec<&str> = all.collect();
            let most = groups.batch(&Change::Add(&all));
            people.members.truncate(most);
            let addresses = owned(people.addresses(owner));
            let members = people.members.iter().map(|member| &member.person);
            let left_out = people.left_out.iter().map(|one| &one.person);
            Planned {
                step: Step::Add(members.chain(left_out).cloned().collect()),
                needs_request: !addresses.is_empty(),
                people,
                addresses,
            }
        }
        Step::Remove(mut gone) => {
            gone.truncate(groups.batch(&Change::Remove(&[])));
            let addresses = owned(to_remove(group, &gone, owner));
            Planned {
                step: Step::Remove(gone),
                needs_request: !addresses.is_empty(),
                people: Addressed::default(),
                addresses,
            }
        }
        other => Planned {
            step: other,
            people: Addressed::default(),
            addresses: Vec::new(),
            needs_request: true,
        },
    })
}

fn owned(addresses: Vec<&str>) -> Vec<String> {
    addresses.into_iter().map(str::to_owned).collect()
}

/// Returns the message of a step. It shows the newest state of the ticket.
async fn content(app: &App, requested: &Requested, fact: Option<Fact>) -> Result<Content, Error> {
    let sn = &requested.ticket;
    let ticket = app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0;
    let language = chat_groups::language(app).await?;
    let content = chat_group_message::content(app, sn, &ticket, fact, language).await?;
    Ok(if formats::has_own_body(&requested.channel) {
        content
    } else {
        content.flattened()
    })
}

/// Returns the id of the group, or of the message of a step. All attempts use the same id, and other desks use other ids.
async fn id(app: &App, stream: &str, group: &ChatGroup, step: &Step) -> Result<String, Error> {
    let instance = instance(app).await?;
    let number = match step {
        Step::Send(pending) => format!("message/{}", pending.number),
        _ => format!("group/{}", group.generation),
    };
    let parts = [instance.as_str(), stream, number.as_str()];
    Ok(hex(&command_id(&parts)))
}
