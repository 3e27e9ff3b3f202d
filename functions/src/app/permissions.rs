//! Checks whether a caller may execute an operation. The functions collect the relations between the caller and the
//! object of the operation, and the permission policies decide ([`infra::policy`]).

use std::collections::BTreeSet;

use domain::permission::{AccessRequest, Operation, Relation, Relations};
use domain::views::ticket_card::TicketCard;
use events::{AppCode, PersonId, RoleId, ServiceId, service};
use infra::{Error, policy};

use crate::App;
use crate::app::identity::Caller;
use crate::app::tickets;

/// Returns true if the person may execute the operation. `relations` contains the relations between the person and
/// the object of the operation. This function adds the relation of a superuser.
pub async fn may(
    app: &App,
    operation: Operation,
    person: &PersonId,
    relations: Relations,
) -> Result<bool, Error> {
    let is_superuser = app.configuration.is_superuser(person).await?;
    Ok(policy::permits(AccessRequest {
        operation,
        relations: relations.with_if(Relation::Superuser, is_superuser),
    }))
}

/// Returns true if the person may execute the operation on the data of the person `of`, such as the preferences.
pub async fn may_on_person(
    app: &App,
    operation: Operation,
    person: &PersonId,
    of: &PersonId,
) -> Result<bool, Error> {
    let relations = Relations::NONE.with_if(Relation::Own, person == of);
    may(app, operation, person, relations).await
}

/// Returns true if the person may read the members of a role.
pub async fn may_read_role(
    app: &App,
    person: &PersonId,
    members: &[PersonId],
) -> Result<bool, Error> {
    let relations = Relations::NONE.with_if(Relation::Member, members.contains(person));
    may(app, Operation::ReadRole, person, relations).await
}

/// The caller that reads tickets: a person, a client app, or both. A ticket that one of them may read is readable.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    pub person: Option<PersonId>,
    /// A client app that acts for itself. The desk trusts this app to act for every user.
    pub app: Option<AppCode>,
}

/// The tickets that a reader may read.
#[derive(Clone, Debug)]
pub enum Readable {
    All,
    /// The tickets of these services and of this app, and the tickets in which this person takes part.
    Some {
        services: BTreeSet<ServiceId>,
        app: Option<AppCode>,
        person: Option<PersonId>,
    },
}

impl Reader {
    pub const fn person(person: PersonId) -> Self {
        Self {
            person: Some(person),
            app: None,
        }
    }

    /// Returns the app of a request as a reader. Only an app that the desk trusts to act for every user reads for
    /// itself.
    pub fn app_of(caller: &Caller) -> Self {
        Self {
            person: None,
            app: caller.may_impersonate.then(|| caller.app.clone()),
        }
    }

    /// Returns the reader of a request in which the app acts for its user. If the request names no user, the app
    /// reads for itself.
    pub async fn user_or_app(app: &App, caller: &Caller) -> Result<Self, Error> {
        Ok(match &caller.user {
            Some(user) => Self::person(app.people.find(user).await?),
            None => Self::app_of(caller),
        })
    }

    /// Returns the reader of a request in which the app reads for itself, also if the request names a user.
    pub async fn user_and_app(app: &App, caller: &Caller) -> Result<Self, Error> {
        Ok(Self {
            person: match &caller.user {
                Some(user) => Some(app.people.find(user).await?),
                None => None,
            },
            ..Self::app_of(caller)
        })
    }

    /// Returns true if the reader may read the ticket.
    pub async fn may_read(&self, app: &App, card: &TicketCard) -> Result<bool, Error> {
        if self.app.is_some() && self.app == card.app && app_may_read() {
            return Ok(true);
        }
        match &self.person {
            Some(person) => tickets::may(app, Operation::ReadTicket, &card.ticket, person).await,
            None => Ok(false),
        }
    }

    /// Returns the tickets that the reader may read. A list of tickets uses the result as a condition, because the
    /// check of each single ticket would be slow.
    pub async fn readable(&self, app: &App) -> Result<Readable, Error> {
        let mut services = BTreeSet::new();
        if let Some(person) = &self.person {
            if may(app, Operation::ReadTicket, person, Relations::NONE).await? {
                return Ok(Readable::All);
            }
            for service in app.configuration.services().await? {
                let Some(service) = service.0.as_ref() else {
                    continue;
                };
                let mut reads = service.owners.contains(person)
                    && permits(Operation::ReadTicket, Relation::ServiceOwner);
                for role in &service.readers {
                    let members = app.configuration.role(*role).await?;
                    reads |= members
                        .0
                        .as_ref()
                        .is_some_and(|role| role.members.contains(person))
                        && permits(Operation::ReadTicket, Relation::ServiceReader);
                }
                if reads {
                    services.insert(service.service);
                }
            }
        }
        Ok(Readable::Some {
            services,
            app: self.app.clone().filter(|_| app_may_read()),
            person: self.person.clone(),
        })
    }
}

/// The largest number of businesses in which the roles of a person are looked up.
const BUSINESSES_MAX: usize = 500;

/// Returns true if the reader may read the form of a new ticket of the service, with the options of its fields.
pub async fn may_read_service(
    app: &App,
    reader: &Reader,
    service: &service::Defined,
) -> Result<bool, Error> {
    if reader.app.is_some() && permits(Operation::ReadService, Relation::TrustedApp) {
        return Ok(true);
    }
    let Some(person) = &reader.person else {
        return Ok(false);
    };
    let relations =
        Relations::NONE.with_if(Relation::ServiceOwner, service.owners.contains(person));
    if may(app, Operation::ReadService, person, relations).await? {
        return Ok(true);
    }
    let is_addressee = is_addressee(app, person, service).await?;
    let relations = relations.with_if(Relation::Addressee, is_addressee);
    may(app, Operation::ReadService, person, relations).await
}

/// Returns true if the service is displayed to the person (reference/bk-itsm.md 13). A service with the display type
/// API is only for other systems, and an invisible service is displayed to no person.
async fn is_addressee(
    app: &App,
    person: &PersonId,
    service: &service::Defined,
) -> Result<bool, Error> {
    let name = app.people.name(person).await?;
    match service.display_type.as_str() {
        "OPEN" => Ok(true),
        "PERSON" => Ok(service.display_roles.contains(&name)),
        "GENERAL" => {
            for id in service
                .display_roles
                .iter()
                .filter_map(|id| id.parse().ok())
            {
                let role = app.configuration.role(RoleId(id)).await?;
                if role
                    .0
                    .as_ref()
                    .is_some_and(|role| role.members.contains(person))
                {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        "ORGANIZATION" => {
            for department in &service.display_roles {
                if app.directory.members(department).await?.contains(&name) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        "CMDB" => {
            let businesses = app.directory.businesses().await?;
            for business in businesses.iter().take(BUSINESSES_MAX) {
                for role in &service.display_roles {
                    if app
                        .directory
                        .holders(business.id, role)
                        .await?
                        .contains(&name)
                    {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

fn permits(operation: Operation, relation: Relation) -> bool {
    policy::permits(AccessRequest {
        operation,
        relations: Relations::NONE.with(relation),
    })
}

/// Returns true if the policies permit an app to read the tickets that it opened.
fn app_may_read() -> bool {
    permits(Operation::ReadTicket, Relation::OpeningApp)
}
