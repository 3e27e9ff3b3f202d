//! Tries a notification policy: decides the notifications of a past period with the active policy and with a new policy,
//! and compares the results. A trial stores nothing and sends nothing.

mod lines;
mod read;
mod report;

use std::collections::BTreeMap;

use domain::notification::imported::Columns;
use domain::notification::trial::{Digests, Judged, Trial, judge};
use domain::workflow::notice;
use events::notification::Requested;
use events::{Moment, PersonId, WorkflowId, channel_account, notification_policy};
use infra::Error;

use super::definitions::{DEFAULT_POLICY, Definitions, NotAccepted};
use super::notify::{Reach, policy_of, urgent_by};
use super::{recent, work_notices};
use crate::App;

pub use lines::lines;
pub use report::{Changed, Counts, Pair, People, Report, Row, Shown, report};

/// Maximum number of days of a trial.
pub const DAYS_MAX: u32 = 366;
/// Maximum number of notifications of a trial on the command line.
pub const NOTIFICATIONS_MAX: usize = 1_000_000;
/// Maximum number of people whose preferences are in memory for one policy. Further people are read again.
const PEOPLE_MAX: usize = 20_000;
/// Number of notifications that a task decides before the task lets other tasks run.
const DECISIONS_AT_ONCE: usize = 64;

/// A function that is called after each read, with the position in the feed and the last position.
pub type Progress = fn(i64, i64);

/// The options of a trial.
#[derive(Clone, Debug)]
pub struct Options {
    /// The length of the period in days.
    pub days: u32,
    /// The end of the period. `None` for the time of the newest commit or imported row.
    pub to: Option<Moment>,
    /// Counts the rows of imported logs as if they had happened in this desk. `None` ignores them.
    pub imported: Option<Columns>,
    /// Assumes that each person has an address for each channel.
    pub assumes_addresses: bool,
    /// Maximum number of notifications. A trial with more notifications fails.
    pub notifications_max: usize,
}

impl Options {
    fn start(&self, to: Moment) -> Moment {
        to.plus_ms(-i64::from(self.days) * read::DAY_MS)
    }
}

/// The result of a trial.
#[derive(Clone, Debug)]
pub struct Tried {
    pub from: Moment,
    pub to: Moment,
    /// False if the desk has no policy now.
    pub has_active_policy: bool,
    pub trial: Trial,
    /// True if imported rows count.
    pub counts_rows: bool,
    /// Number of imported rows that were read. 0 if imported rows are ignored.
    pub rows: u64,
    /// Number of these rows without a person in the named columns.
    pub rows_without_people: u64,
}

/// The reason why a trial failed.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// The file has no policy, or names an unknown account or chain.
    #[error("{0}")]
    Refused(String),
    #[error("the period has more than {max} notifications or cases; use fewer days")]
    TooMany { max: usize },
    #[error(transparent)]
    Technical(#[from] Error),
}

/// Decides all notifications of a period with the active policy and with the policy in `definitions`.
///
/// The accounts in `definitions` replace the stored accounts for the new policy. Both policies are tried with the current
/// preferences of people. Appointments are not known for past times, so they hold no message.
pub async fn try_policy(
    app: &App,
    definitions: &Definitions,
    options: &Options,
    progress: Progress,
) -> Result<Tried, TryError> {
    let Some(new) = &definitions.policy else {
        return Err(TryError::Refused("[policy] is missing".to_owned()));
    };
    let checked = definitions.check_policy(app).await;
    checked.map_err(|error| match error {
        NotAccepted::Refused(reason) => TryError::Refused(reason),
        NotAccepted::Technical(error) => TryError::Technical(error),
    })?;
    let active = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    let accounts = definitions.accounts.iter();
    let accounts = accounts.map(|account| (account.name.clone(), account.clone()));
    let mut before = Side::new(app, active.0.clone(), BTreeMap::new(), options).await?;
    let mut after = Side::new(app, Some(new.clone()), accounts.collect(), options).await?;
    let period = read::read(app, options, progress).await?;
    let mut trial = Trial::default();
    for (at, found) in period.found.iter().enumerate() {
        if at % DECISIONS_AT_ONCE == DECISIONS_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        if !found.is_for_operators {
            let old = before.judge(&found.requested, found.workflow).await?;
            let new = after.judge(&found.requested, found.workflow).await?;
            trial.count(&found.requested, &old, &new, |account| {
                channel(&before, &after, account)
            });
            continue;
        }
        let mut operators = before.operators.clone();
        let more = after.operators.iter();
        operators.extend(more.filter(|one| !before.operators.contains(one)).cloned());
        for person in operators {
            let requested = Requested {
                person: person.clone(),
                ..found.requested.clone()
            };
            let (old, new) = (
                before.judge_operator(&requested).await?,
                after.judge_operator(&requested).await?,
            );
            trial.count(&requested, &old, &new, |account| {
                channel(&before, &after, account)
            });
        }
    }
    Ok(Tried {
        from: period.from,
        to: period.to,
        has_active_policy: active.0.is_some(),
        trial,
        counts_rows: options.imported.is_some(),
        rows: period.rows,
        rows_without_people: period.rows_without_people,
    })
}

/// Returns the channel of an account. The text is empty if the account is not defined.
fn channel(before: &Side<'_>, after: &Side<'_>, account: &str) -> String {
    let channel = after.channels.get(account);
    let channel = channel.or_else(|| before.channels.get(account));
    channel.cloned().unwrap_or_default()
}

/// One of the two policies, with everything that its decisions need.
struct Side<'a> {
    app: &'a App,
    policy: Option<notification_policy::Defined>,
    /// The accounts that replace the stored accounts with the same name.
    replaced: BTreeMap<String, channel_account::Defined>,
    /// The defined accounts that the policy names, in the same order.
    accounts: Vec<channel_account::Defined>,
    /// The operators whom the policy names. Unknown user names are left out.
    operators: Vec<PersonId>,
    assumes_addresses: bool,
    /// The loaded people. The key also contains the accounts that replace the accounts of the policy.
    reaches: BTreeMap<(PersonId, Vec<String>), Reach>,
    /// The last notifications of each person.
    recent: BTreeMap<PersonId, Vec<(String, Moment)>>,
    digests: Digests,
    /// The channel of each account that a decision used.
    channels: BTreeMap<String, String>,
}

impl<'a> Side<'a> {
    async fn new(
        app: &'a App,
        policy: Option<notification_policy::Defined>,
        replaced: BTreeMap<String, channel_account::Defined>,
        options: &Options,
    ) -> Result<Self, Error> {
        let mut operators: Vec<PersonId> = Vec::new();
        for name in policy.iter().flat_map(|policy| &policy.operators) {
            let person = app.people.find(name).await?;
            if !person.is_unknown() && !operators.contains(&person) {
                operators.push(person);
            }
        }
        let mut defined = Vec::new();
        for name in policy.iter().flat_map(|policy| &policy.accounts) {
            match replaced.get(name) {
                Some(account) => defined.push(account.clone()),
                None => defined.extend(app.configuration.channel_account(name).await?),
            }
        }
        Ok(Self {
            app,
            policy,
            replaced,
            accounts: defined,
            operators,
            assumes_addresses: options.assumes_addresses,
            reaches: BTreeMap::new(),
            recent: BTreeMap::new(),
            digests: Digests::default(),
            channels: BTreeMap::new(),
        })
    }

    /// Decides about a notification for a person whom only one of the policies may name as an operator.
    async fn judge_operator(&mut self, requested: &Requested) -> Result<Judged, Error> {
        if self.operators.contains(&requested.person) {
            self.judge(requested, None).await
        } else {
            Ok(Judged::default())
        }
    }

    /// Decides about a notification at the time of its cause. `workflow` is the workflow version of its ticket, if it
    /// is known. Its settings apply as in [`work_notices::apply`].
    async fn judge(
        &mut self,
        requested: &Requested,
        workflow: Option<(WorkflowId, i64)>,
    ) -> Result<Judged, Error> {
        let Some(policy) = &self.policy else {
            return Ok(Judged::default());
        };
        let mut requested = urgent_by(policy, requested.clone());
        if let Some((workflow, version)) = workflow
            && requested.accounts.is_empty()
            && work_notices::is_about_work(requested.fact)
            && let Some(deployed) = self.app.configuration.workflow(workflow, version).await?
        {
            if work_notices::is_silent(&deployed) {
                return Ok(Judged::default());
            }
            if !requested.is_urgent && !requested.is_critical {
                requested.accounts = notice::accounts(&deployed.definition, &self.accounts);
            }
        }
        let key = (requested.person.clone(), requested.accounts.clone());
        if !self.reaches.contains_key(&key) {
            if self.reaches.len() >= PEOPLE_MAX {
                self.reaches.clear();
                let window = requested.at;
                self.recent
                    .retain(|_, last| last.iter().any(|(_, at)| recent::is_recent(*at, window)));
            }
            let of_person = policy_of(&requested, Some(policy));
            let (person, replaced) = (&requested.person, &self.replaced);
            let mut reach =
                Reach::without_appointments(self.app, person, of_person, replaced).await?;
            if self.assumes_addresses {
                reach.assume_addresses(person);
            }
            self.reaches.insert(key.clone(), reach);
        }
        let reach = &self.reaches[&key];
        let recent = if reach.has_accounts() {
            let last = self.recent.entry(requested.person.clone()).or_default();
            recent::add(last, &requested.cause, requested.at)
        } else {
            0
        };
        let situation = reach.situation(&requested, None, recent, requested.at);
        let judged = judge(&situation, &mut self.digests);
        for account in judged.accounts.keys() {
            if !self.channels.contains_key(account) {
                let channel = reach.channel_of(account).to_owned();
                self.channels.insert(account.clone(), channel);
            }
        }
        Ok(judged)
    }
}
