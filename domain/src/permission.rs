//! Defines the operations that need a permission, and the facts on which a permission depends. The facts are
//! the relations between the caller and the object, for example "the caller created the ticket". A set of
//! policies decides whether the relations of a caller are sufficient for an operation.

use std::fmt;

/// An operation that needs a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// To read a ticket with its form, events, logs, remarks, files, API calls and callbacks.
    ReadTicket,
    /// To take part in a ticket: to add remarks, to link it with other tickets, to escalate it, to change its followers, and
    /// to create its chat group.
    TakePart,
    /// To read the remarks that are only for the people who work on the ticket.
    ReadInternalRemarks,
    /// To act on a ticket as its manager, for example to assign a node to other people.
    ManageTicket,
    /// To read the form of a new ticket of a service, with the options of its fields. The desk can fetch options from
    /// other systems with its own secrets.
    ReadService,
    /// To read an execution of a script.
    ReadExecution,
    /// To read the personal lists, the notifications and the preferences of a person.
    ReadPerson,
    /// To change the preferences and to mark the notifications of a person.
    ChangePerson,
    /// To read the members of a role.
    ReadRole,
    /// To read what the whole desk does, for example all API calls and all robot missions.
    ReadOperations,
    /// To change the configuration of the desk, for example workflows, services and apps.
    ChangeConfiguration,
}

impl Operation {
    pub const ALL: [Self; 11] = [
        Self::ReadTicket,
        Self::TakePart,
        Self::ReadInternalRemarks,
        Self::ManageTicket,
        Self::ReadService,
        Self::ReadExecution,
        Self::ReadPerson,
        Self::ChangePerson,
        Self::ReadRole,
        Self::ReadOperations,
        Self::ChangeConfiguration,
    ];

    /// Returns the name of the operation in the policies.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ReadTicket => "read_ticket",
            Self::TakePart => "take_part",
            Self::ReadInternalRemarks => "read_internal_remarks",
            Self::ManageTicket => "manage_ticket",
            Self::ReadService => "read_service",
            Self::ReadExecution => "read_execution",
            Self::ReadPerson => "read_person",
            Self::ChangePerson => "change_person",
            Self::ReadRole => "read_role",
            Self::ReadOperations => "read_operations",
            Self::ChangeConfiguration => "change_configuration",
        }
    }
}

/// A relation between the caller and the object of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// The person created the ticket.
    Creator,
    /// The person submitted the ticket on behalf of its creator.
    Agent,
    /// The person may act, or could once act, at a node of the ticket.
    Processor,
    /// The person has acted on the ticket.
    FormerProcessor,
    /// The person follows the ticket.
    Follower,
    /// A person who takes part in the ticket asked this person to follow it.
    Invited,
    /// The person works on the ticket: a processor of a node other than the submit node.
    Worker,
    /// The person owns the service of the ticket.
    ServiceOwner,
    /// The person is a member of a role that may read the tickets of the service.
    ServiceReader,
    /// The service is displayed to the person. The display type of the service determines the people.
    Addressee,
    /// The person is asked to approve the execution.
    Approver,
    /// The object belongs to the person.
    Own,
    /// The person is a member of the role.
    Member,
    /// The person is a member of the superuser role.
    Superuser,
    /// The client app opened the ticket, and the desk trusts the app to act for every user.
    OpeningApp,
    /// The client app acts for itself, and the desk trusts the app to act for every user.
    TrustedApp,
}

impl Relation {
    pub const ALL: [Self; 16] = [
        Self::Creator,
        Self::Agent,
        Self::Processor,
        Self::FormerProcessor,
        Self::Follower,
        Self::Invited,
        Self::Worker,
        Self::ServiceOwner,
        Self::ServiceReader,
        Self::Addressee,
        Self::Approver,
        Self::Own,
        Self::Member,
        Self::Superuser,
        Self::OpeningApp,
        Self::TrustedApp,
    ];

    /// Returns the name of the relation in the policies.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Creator => "creator",
            Self::Agent => "agent",
            Self::Processor => "processor",
            Self::FormerProcessor => "former_processor",
            Self::Follower => "follower",
            Self::Invited => "invited",
            Self::Worker => "worker",
            Self::ServiceOwner => "service_owner",
            Self::ServiceReader => "service_reader",
            Self::Addressee => "addressee",
            Self::Approver => "approver",
            Self::Own => "own",
            Self::Member => "member",
            Self::Superuser => "superuser",
            Self::OpeningApp => "opening_app",
            Self::TrustedApp => "trusted_app",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of relations between one caller and one object.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Relations(u32);

impl Relations {
    /// No relation: the relations of a stranger.
    pub const NONE: Self = Self(0);

    #[must_use]
    pub const fn with(self, relation: Relation) -> Self {
        Self(self.0 | relation.bit())
    }

    /// Returns the relations, together with `relation` if `has` is true.
    #[must_use]
    pub const fn with_if(self, relation: Relation, has: bool) -> Self {
        if has { self.with(relation) } else { self }
    }

    pub const fn contains(self, relation: Relation) -> bool {
        self.0 & relation.bit() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Relation> {
        Relation::ALL
            .into_iter()
            .filter(move |relation| self.contains(*relation))
    }
}

impl FromIterator<Relation> for Relations {
    fn from_iter<I: IntoIterator<Item = Relation>>(relations: I) -> Self {
        relations.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The question whether a caller may execute an operation. The caller has the given relations to the object of
/// the operation, and no other relations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessRequest {
    pub operation: Operation,
    pub relations: Relations,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_exactly_the_added_relations() {
        for relation in Relation::ALL {
            let set = Relations::NONE.with(relation);
            assert_eq!(set.iter().collect::<Vec<_>>(), [relation]);
        }
        let all: Relations = Relation::ALL.into_iter().collect();
        assert_eq!(all.iter().count(), Relation::ALL.len());
        assert_eq!(Relations::NONE.iter().count(), 0);
        assert_eq!(
            Relations::NONE.with_if(Relation::Creator, false),
            Relations::NONE
        );
    }

    #[test]
    fn names_in_the_policies_are_unique() {
        let operations: std::collections::BTreeSet<_> = Operation::ALL.map(Operation::key).into();
        assert_eq!(operations.len(), Operation::ALL.len());
        let relations: std::collections::BTreeSet<_> = Relation::ALL.map(Relation::key).into();
        assert_eq!(relations.len(), Relation::ALL.len());
    }
}
