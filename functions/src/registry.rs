//! Lists all aggregate types and all projections (documents that summarize the events of many streams). An
//! aggregate type is a kind of object with its own event stream. The entry of an aggregate type contains its
//! card (the stored summary) and the handler of its deadlines. The entry also contains its reactions (functions
//! that request further work after an event). Only two other files contain a list of aggregates: the table in
//! the crate `events`, and the list of cards in `domain/src/views/mod.rs`.
//!
//! To add an aggregate, make these changes:
//!
//! - Create `events/src/<name>.rs` with samples, and add one line to `events/src/lib.rs`.
//! - Create `domain/src/<name>.rs` with the card of the aggregate.
//! - Add one row to `REGISTRY` in this file.
//! - Add the keys of the aggregate to the lists `dynamodb:LeadingKeys` in
//!   `infra/deploy/template.yaml`, so that the cloud functions may access its data.
//!
//! To add a reaction, a card or a projection, create one file in its folder in `domain`. Then add one entry to
//! this file.
//!
//! If a reaction that exists processes a further event type, add this type to the field `later_types` of its row. The
//! reaction then ignores the older events of this type.

use std::marker::PhantomData;

use domain::account::Account;
use domain::api_call::ApiCall;
use domain::attachment::Attachment;
use domain::automation::execution::Execution;
use domain::callback::Callback;
use domain::config::{
    App, ApplicationKind, Calendar, Catalog, ChannelAccount, DeskKey, Dictionary, Integration,
    NotificationPolicy, Platform, Role, Rule, Script, Service, SharedField, Site, TaskType,
};
use domain::draft::Draft;
use domain::fleet::dispatch::Dispatch;
use domain::fleet::robot::Robot;
use domain::idempotency_key::IdempotencyKey;
use domain::inbound::Inbound;
use domain::itsm::application::Application;
use domain::itsm::case::Case;
use domain::itsm::case_source::CaseSource;
use domain::itsm::reconciliation::Reconciliation;
use domain::itsm::writeback::Writeback;
use domain::ledger::Continuations;
use domain::notification::Notification;
use domain::notification::chain::EscalationChain;
use domain::notification::chat_group::ChatGroup;
use domain::notification::chat_group::card::GroupCard;
use domain::notification::chat_identity::ChatIdentity;
use domain::notification::chat_thread::ChatThread;
use domain::notification::delivery::Delivery;
use domain::notification::digest::Digest;
use domain::notification::escalation::Escalation;
use domain::notification::experiment::Experiment;
use domain::notification::feedback::Feedback;
use domain::notification::node_reminder::NodeReminder;
use domain::notification::onboarding::Onboarding;
use domain::notification::own_subscription::{OwnSubscriptions, Subscriber};
use domain::notification::person::Person;
use domain::notification::rota::Rota;
use domain::notification::standing_check::StandingCheck;
use domain::notification::template::NotificationTemplate;
use domain::number_sequence::NumberSequence;
use domain::projections::desk_board::DeskBoard;
use domain::reaction::Birth;
use domain::reactions::{
    check_escalations, evaluate_rules, handle_inbound, mark_outdated, notify_approvers,
    notify_assignee, notify_interested, notify_on_call, notify_operators, notify_subscribers,
    notify_waiting, propagate_ticket_state, relate_tickets, report_bounce, report_degraded,
    report_delivery, report_exhausted, report_gaps, report_no_address, report_unreached,
    send_callback, start_api_call, start_application, start_deliveries, start_digest_deliveries,
    start_dispatch, start_escalation, start_reminders, submit_application, suppress_address,
    sync_chat_group, update_messages, write_back, write_binding, write_repair,
};
use domain::ticket::Ticket;
use domain::views::callback_card::CallbackCard;
use domain::views::ticket_card::TicketCard;
use domain::views::workflow_card::WorkflowCard;
use domain::workflow::Workflow;
use domain::{Decider, StreamRole};
use events::Event;

use crate::app::fleet::{messages, missions};
use crate::app::notifications::{
    chain_alarms, digests, escalations, experiments, notify, reminders,
};
use crate::app::{attachments, drafts};
use crate::queue::automate::{api_call, execution};
use crate::queue::{callback, send, sync, ticket};
use crate::stream::follow::Reaction;
use crate::stream::follow::aggregate::{Deadlines, NoCard, Registry, Row};
use crate::stream::project::{Of, Projections};

/// Defines the list of all aggregate types from their rows. Also defines the list of their roles, which a program can use
/// without the code of the rows.
macro_rules! registry {
    ($(&Row::<$decider:ty, $card:ty> $(:: $new:ident)? $({ $($fields:tt)* })?,)*) => {
        /// All aggregate types (kinds of objects with their own event stream) of the desk.
        pub static REGISTRY: Registry = &[
            $(&Row::<$decider, $card> $(:: $new)? $({ $($fields)* })?),*
        ];

        /// The name and the role of each aggregate type.
        const ROLES: &[(&str, StreamRole)] = &[
            $((<<$decider as Decider>::Event as Event>::AGGREGATE, <$decider as Decider>::ROLE)),*
        ];
    };
}

registry![
    &Row::<Ticket, TicketCard> {
        reactions: &[
            Reaction {
                name: send_callback::NAME,
                react: send_callback::react,
            },
            Reaction {
                name: start_api_call::NAME,
                react: start_api_call::react,
            },
            Reaction {
                name: submit_application::NAME,
                react: submit_application::react,
            },
            Reaction {
                name: propagate_ticket_state::NAME,
                react: propagate_ticket_state::react,
            },
            Reaction {
                name: write_back::NAME,
                react: write_back::react,
            },
            Reaction {
                name: start_dispatch::NAME,
                react: start_dispatch::react,
            },
            Reaction {
                name: relate_tickets::NAME,
                react: relate_tickets::react,
            },
            Reaction {
                name: evaluate_rules::NAME,
                react: evaluate_rules::react,
            },
            Reaction {
                name: notify_assignee::NAME,
                react: notify_assignee::react,
            },
            Reaction {
                name: notify_interested::NAME,
                react: notify_interested::react,
            },
            Reaction {
                name: notify_subscribers::NAME,
                react: notify_subscribers::react,
            },
            Reaction {
                name: start_escalation::NAME,
                react: start_escalation::react,
            },
            Reaction {
                name: start_reminders::NAME,
                react: start_reminders::react,
            },
            Reaction {
                name: check_escalations::NAME,
                react: check_escalations::react,
            },
            Reaction {
                name: mark_outdated::NAME,
                react: mark_outdated::react,
            },
            Reaction {
                name: sync_chat_group::NAME,
                react: sync_chat_group::react,
            },
        ],
        deadlines: Some(Deadlines {
            queue: "ticket",
            fire: |app, due| Box::pin(ticket::rate(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Callback, CallbackCard> {
        reactions: &[Reaction {
            name: notify_operators::NAME,
            react: notify_operators::react,
        }],
        deadlines: Some(Deadlines {
            queue: "callback",
            fire: |app, due| Box::pin(callback::attempt(app, &due.stream)),
        }),
        ..Row::NEW
    },
    &Row::<ApiCall, ApiCall> {
        deadlines: Some(Deadlines {
            queue: "automate",
            fire: |app, due| Box::pin(api_call::step(app, &due.stream)),
        }),
        ..Row::NEW
    },
    &Row::<Execution, Execution> {
        reactions: &[Reaction {
            name: notify_approvers::NAME,
            react: notify_approvers::react,
        }],
        deadlines: Some(Deadlines {
            queue: "automate",
            fire: |app, due| Box::pin(execution::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Application, Application> {
        reactions: &[Reaction {
            name: start_application::NAME,
            react: start_application::react,
        }],
        deadlines: Some(Deadlines {
            queue: "sync",
            fire: |app, due| Box::pin(sync::fire(app, due)),
        }),
        grouped: &[events::application::POLL],
        ..Row::NEW
    },
    &Row::<Case, Case> {
        reactions: &[
            Reaction {
                name: write_binding::NAME,
                react: write_binding::react,
            },
            Reaction {
                name: write_repair::NAME,
                react: write_repair::react,
            },
        ],
        deadlines: Some(Deadlines {
            queue: "sync",
            fire: |app, due| Box::pin(sync::fire_case(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<CaseSource, NoCard<_>> {
        deadlines: Some(Deadlines {
            queue: "sync",
            fire: |app, due| Box::pin(sync::pull::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Reconciliation, NoCard<_>> {
        deadlines: Some(Deadlines {
            queue: "sync",
            fire: |app, due| Box::pin(sync::reconcile::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Writeback, Writeback> {
        deadlines: Some(Deadlines {
            queue: "sync",
            fire: |app, due| Box::pin(sync::fire_write(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Dispatch, Dispatch> {
        deadlines: Some(Deadlines {
            queue: "dispatch",
            fire: |app, due| Box::pin(missions::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Robot, Robot> {
        deadlines: Some(Deadlines {
            queue: "dispatch",
            fire: |app, due| Box::pin(messages::check(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Notification, Notification> {
        reactions: &[
            Reaction {
                name: start_deliveries::NAME,
                react: start_deliveries::react,
            },
            Reaction {
                name: report_unreached::NAME,
                react: report_unreached::react,
            },
            Reaction {
                name: report_no_address::NAME,
                react: report_no_address::react,
            },
            Reaction {
                name: update_messages::NAME,
                react: update_messages::react,
            },
        ],
        deadlines: Some(Deadlines {
            queue: "notify",
            fire: |app, due| Box::pin(notify::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Digest, Digest> {
        reactions: &[Reaction {
            name: start_digest_deliveries::NAME,
            react: start_digest_deliveries::react,
        }],
        deadlines: Some(Deadlines {
            queue: "notify",
            fire: |app, due| Box::pin(digests::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Delivery, Delivery> {
        reactions: &[
            Reaction {
                name: report_delivery::NAME,
                react: report_delivery::react,
            },
            Reaction {
                name: report_bounce::NAME,
                react: report_bounce::react,
            },
            Reaction {
                name: suppress_address::NAME,
                react: suppress_address::react,
            },
        ],
        deadlines: Some(Deadlines {
            queue: "send",
            fire: |app, due| Box::pin(send::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Escalation, Escalation> {
        reactions: &[
            Reaction {
                name: notify_on_call::NAME,
                react: notify_on_call::react,
            },
            Reaction {
                name: report_exhausted::NAME,
                react: report_exhausted::react,
            },
        ],
        deadlines: Some(Deadlines {
            queue: "notify",
            fire: |app, due| Box::pin(escalations::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<NodeReminder, NodeReminder> {
        reactions: &[Reaction {
            name: notify_waiting::NAME,
            react: notify_waiting::react,
        }],
        deadlines: Some(Deadlines {
            queue: "notify",
            fire: |app, due| Box::pin(reminders::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<ChatGroup, GroupCard> {
        deadlines: Some(Deadlines {
            queue: "send",
            fire: |app, due| Box::pin(send::fire_chat_group(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Experiment, Experiment> {
        deadlines: Some(Deadlines {
            queue: "notify",
            fire: |app, due| Box::pin(experiments::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Feedback, Feedback>::NEW,
    &Row::<EscalationChain, EscalationChain>::NEW,
    &Row::<Rota, Rota>::NEW,
    // The queue `send` is the one whose worker may read the secrets of channel accounts.
    &Row::<StandingCheck, StandingCheck> {
        reactions: &[Reaction {
            name: report_gaps::NAME,
            react: report_gaps::react,
        }],
        deadlines: Some(Deadlines {
            queue: "send",
            fire: |app, due| Box::pin(chain_alarms::fire(app, due)),
        }),
        ..Row::NEW
    },
    &Row::<Onboarding, NoCard<_>>::NEW,
    &Row::<OwnSubscriptions, Subscriber>::NEW,
    &Row::<Person, NoCard<_>>::NEW,
    &Row::<Account, NoCard<_>>::NEW,
    &Row::<ChannelAccount, ChannelAccount> {
        reactions: &[Reaction {
            name: report_degraded::NAME,
            react: report_degraded::react,
        }],
        ..Row::NEW
    },
    &Row::<ChatIdentity, NoCard<_>>::NEW,
    &Row::<ChatThread, NoCard<_>>::NEW,
    &Row::<NotificationPolicy, NoCard<_>>::NEW,
    &Row::<Calendar, Calendar>::NEW,
    &Row::<NotificationTemplate, NoCard<_>>::NEW,
    &Row::<DeskKey, NoCard<_>>::NEW,
    &Row::<Site, NoCard<_>>::NEW,
    &Row::<TaskType, NoCard<_>>::NEW,
    &Row::<Platform, NoCard<_>>::NEW,
    &Row::<Script, NoCard<_>>::NEW,
    &Row::<Rule, Rule>::NEW,
    &Row::<Inbound, Inbound> {
        reactions: &[Reaction {
            name: handle_inbound::NAME,
            react: handle_inbound::react,
        }],
        ..Row::NEW
    },
    &Row::<Attachment, NoCard<_>> {
        deadlines: Some(Deadlines {
            queue: "cleanup",
            fire: |app, due| Box::pin(attachments::settle(app, &due.stream)),
        }),
        ..Row::NEW
    },
    &Row::<Draft, Draft> {
        deadlines: Some(Deadlines {
            queue: "cleanup",
            fire: |app, due| Box::pin(drafts::expire(app, &due.stream)),
        }),
        ..Row::NEW
    },
    &Row::<IdempotencyKey, NoCard<_>>::NEW,
    &Row::<NumberSequence, NoCard<_>>::NEW,
    &Row::<Workflow, WorkflowCard>::NEW,
    &Row::<Service, Service>::NEW,
    &Row::<Catalog, NoCard<_>>::NEW,
    &Row::<Dictionary, Dictionary>::NEW,
    &Row::<SharedField, SharedField>::NEW,
    &Row::<Role, Role>::NEW,
    &Row::<App, App>::NEW,
    &Row::<Integration, Integration>::NEW,
    &Row::<ApplicationKind, ApplicationKind>::NEW,
    &Row::<Continuations, NoCard<_>>::NEW,
    &Row::<Birth, NoCard<_>>::NEW,
];

/// All projections (documents that summarize the events of many streams) of the desk.
pub static PROJECTIONS: Projections = &[&Of::<DeskBoard>(PhantomData)];

/// Returns all lists of stored objects for which the desk also stores the number of entries. Each result contains the
/// name of a view (a stored table) and the name of a list in this view.
pub fn counted() -> Vec<(&'static str, &'static str)> {
    let lists = REGISTRY
        .iter()
        .filter_map(|aggregate| Some((aggregate.view()?, aggregate.counted())));
    lists
        .flat_map(|(view, names)| names.iter().map(move |name| (view, *name)))
        .collect()
}

/// Returns true if the event stream contains configuration or has an unknown type. The erasure (removal of personal
/// data) uses this function for its report. The report lists all streams with the result true. An additional stream in
/// the report is safer than a missing stream.
pub fn is_configuration(stream: &str) -> bool {
    let name = events::aggregate_of(stream);
    let row = ROLES.iter().find(|(aggregate, _)| *aggregate == name);
    row.is_none_or(|(_, role)| *role == StreamRole::Configuration)
}
