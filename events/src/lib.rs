//! The events that the ledger stores. Each program version must be able to read all stored events,
//! even after ten years.
//!
//! An aggregate is an object that changes only through its own events, such as a ticket. Each kind of
//! aggregate has one enum, and each event type has one struct. The folder `samples/` contains one
//! sample for each event type and version. A commit is stored as `{ "meta": {..}, "events": [ {
//! "type", "version", "occurred_at"?, "data" } ] }` (see [`body`]).
//!
//! **Rules for changes**: A new optional member with a default does not need a new version of the event type.
//! Any other change needs a higher version in the table of the aggregate, a conversion step in [`upcast`],
//! and a new sample. Old samples never change, and the program must be able to read all old samples.
//!
//! **Recipe, an event**: To add an event, add a struct and a row to the `event_enum!` table of its
//! aggregate in this crate. Add a sample to `samples/` and a line to `samples.rs`. Then handle the
//! event in `evolve` of the crate `domain`, and in the views and reactions that use the event.
//!
//! **Recipe, an aggregate**: To add an aggregate, add a module with an `event_enum!` table to this
//! crate, and add its samples. Add a `pub mod` line and a line in the table of aggregates to this
//! file. Then follow the recipe in the crate `domain`.

mod event;

pub mod account;
pub mod api_call;
pub mod app;
pub mod application;
pub mod application_kind;
pub mod attachment;
pub mod body;
pub mod calendar;
pub mod callback;
pub mod case;
pub mod case_source;
pub mod catalog;
pub mod channel_account;
pub mod chat_group;
pub mod chat_identity;
pub mod chat_thread;
pub mod delivery;
pub mod desk_key;
pub mod dictionary;
pub mod digest;
pub mod dispatch;
pub mod draft;
pub mod escalation;
pub mod escalation_chain;
pub mod execution;
pub mod experiment;
pub mod feedback;
pub mod field;
pub mod finding;
pub mod idempotency_key;
pub mod ids;
pub mod inbound;
pub mod integration;
pub mod ledger;
pub mod node_reminder;
pub mod notification;
pub mod notification_policy;
pub mod notification_template;
pub mod number_sequence;
pub mod onboarding;
pub mod own_subscription;
pub mod person;
pub mod personal;
pub mod platform;
pub mod preference;
pub mod reaction;
pub mod reconciliation;
pub mod robot;
pub mod role;
pub mod rota;
pub mod rule;
pub mod samples;
pub mod script;
pub mod service;
pub mod site;
pub mod standing_check;
pub mod task_type;
pub mod ticket;
pub mod upcast;
pub mod workflow;
pub mod writeback;

pub use body::{Body, Meta, Origin, Raw};
pub use event::{DeadlineChange, Event, Personals, Unreadable};
pub use ids::{
    AppCode, AttachmentId, CategoryId, DraftId, Moment, NodeId, PersonId, RoleId, ServiceId,
    TicketSn, TransitionId, WorkflowId,
};
pub use personal::{Entry, Personal, Remark};

/// Returns the name of the aggregate (kind of object, such as `ticket`) to which a stream belongs. The name
/// is the part of the stream name before the first hyphen. For example, the stream `ticket-REQ...` belongs to
/// the aggregate `ticket`.
pub fn aggregate_of(stream: &str) -> &str {
    stream.split('-').next().unwrap_or_default()
}

/// Generates the code that needs the list of all aggregates (kinds of objects that have events), such as the
/// enum `AnyEvent`. The `mod` lines of the aggregates are outside of this macro, because rustfmt does not
/// find modules inside a macro.
macro_rules! aggregates {
    ($($module:ident: $event:ident,)*) => {
        /// The names of all aggregates (kinds of objects that have events). Each stream name starts with one
        /// of these names.
        pub const AGGREGATES: &[&str] = &[$(<$module::$event as Event>::AGGREGATE),*];

        /// One event of any aggregate (kind of object that has events). Code that reads the events of all
        /// aggregates uses this type.
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(untagged)]
        #[expect(clippy::large_enum_variant, reason = "the value of one event lives only while it is read")]
        pub enum AnyEvent {
            $($event($module::$event)),*
        }

        impl AnyEvent {
            /// Reads one stored event of any version and converts the event to the current version.
            /// Returns an error if the event type, the version or the data is unknown.
            pub fn read(raw: &Raw<'_>) -> Result<Self, Unreadable> {
                let aggregate = raw.kind.split('.').next().unwrap_or_default();
                $(if aggregate == <$module::$event as Event>::AGGREGATE {
                    return $module::$event::read(raw).map(Self::$event);
                })*
                Err(Unreadable::unknown(raw))
            }
            /// Returns all personal values in the event. Personal values are encrypted in the ledger.
            pub fn personals(&mut self) -> Vec<&mut Personal> {
                match self {
                    $(Self::$event(event) => event.personals()),*
                }
            }
        }

        /// Returns all event types with their current versions, ordered by aggregate (the kind of object to
        /// which the events belong).
        pub fn catalog_of_types() -> Vec<(&'static str, u16)> {
            [$($module::$event::TYPES),*].concat()
        }
    };
}

aggregates! {
    account: AccountEvent,
    api_call: ApiCallEvent,
    app: AppEvent,
    application: ApplicationEvent,
    application_kind: ApplicationKindEvent,
    attachment: AttachmentEvent,
    calendar: CalendarEvent,
    callback: CallbackEvent,
    case: CaseEvent,
    case_source: CaseSourceEvent,
    catalog: CatalogEvent,
    channel_account: ChannelAccountEvent,
    chat_group: ChatGroupEvent,
    chat_identity: ChatIdentityEvent,
    chat_thread: ChatThreadEvent,
    delivery: DeliveryEvent,
    desk_key: DeskKeyEvent,
    dictionary: DictionaryEvent,
    digest: DigestEvent,
    dispatch: DispatchEvent,
    draft: DraftEvent,
    escalation: EscalationEvent,
    escalation_chain: EscalationChainEvent,
    execution: ExecutionEvent,
    experiment: ExperimentEvent,
    feedback: FeedbackEvent,
    field: FieldEvent,
    idempotency_key: IdempotencyKeyEvent,
    inbound: InboundEvent,
    integration: IntegrationEvent,
    ledger: LedgerEvent,
    node_reminder: NodeReminderEvent,
    notification: NotificationEvent,
    notification_policy: NotificationPolicyEvent,
    notification_template: NotificationTemplateEvent,
    number_sequence: NumberSequenceEvent,
    onboarding: OnboardingEvent,
    own_subscription: OwnSubscriptionEvent,
    person: PersonEvent,
    platform: PlatformEvent,
    reaction: ReactionEvent,
    reconciliation: ReconciliationEvent,
    robot: RobotEvent,
    role: RoleEvent,
    rota: RotaEvent,
    rule: RuleEvent,
    script: ScriptEvent,
    service: ServiceEvent,
    site: SiteEvent,
    standing_check: StandingCheckEvent,
    task_type: TaskTypeEvent,
    ticket: TicketEvent,
    workflow: WorkflowEvent,
    writeback: WritebackEvent,
}

/// Reads one stored event of any aggregate (kind of object) and returns its data in the current version as
/// JSON. Returns an error if the event type, the version or the data is unknown. Code that processes the
/// events of all aggregates uses this function.
pub fn read_any(raw: &Raw<'_>) -> Result<serde_json::Value, Unreadable> {
    let event = AnyEvent::read(raw)?;
    serde_json::to_value(event).map_err(|error| Unreadable::shape(raw, &error))
}
