//! Switches off the mails of some categories for one person (RFC 8058). Each mail about a notification has a link
//! with a signed token. The token names the person and the categories, and it expires. Mail programs send the request
//! of the link without a login, so the token is the only proof. The link does nothing except this switch.
//!
//! The link of a mail about a subscription that the person made switches off this subscription instead of a category.

use domain::notification::Notification;
use domain::notification::person::{Command, Person, stream};
use domain::notification::{own_subscription, routing};
use events::delivery::Requested;
use events::notification::Role;
use events::person::PreferencesChanged;
use events::preference::Category;
use events::{Meta, Moment, Origin, PersonId};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};

use super::definitions::DEFAULT_POLICY;
use super::own_subscriptions::{self, NotChanged};
use super::{addresses, signed_text, teams};
use crate::App;

/// Time for which a link is valid, in milliseconds (90 days).
pub const VALID_MS: i64 = 90 * 24 * 3_600_000;
/// The kind of address that the link concerns. Only mails have such a link.
const KIND: &str = "email";
/// The channel that the link concerns.
const CHANNEL: &str = "email";
/// What the tokens are used for, see [`signed_text`]. The text must never change.
const PURPOSE: &str = "unsubscribe from mails";
/// Maximum number of notifications of a digest whose categories the link switches off. The mail of a digest shows no
/// more.
const LISTED_MAX: usize = 20;
/// Maximum number of subscriptions in one link. A token has a limited length.
const SUBSCRIPTIONS_MAX: usize = 1;

/// What a valid token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub person: PersonId,
    /// The categories of the notifications in the mail, without repetitions.
    pub categories: Vec<Category>,
    /// The names of the subscriptions of the person that caused notifications in the mail, without repetitions.
    pub subscriptions: Vec<String>,
    pub until: Moment,
}

/// The first character of the name of a subscription in a token. Names of categories never begin with it.
const SUBSCRIPTION: char = '+';

/// Returns the token of a claim.
pub fn sign(key: &[u8; 32], claim: &Claim) -> String {
    let categories = claim.categories.iter().map(|one| one.name().to_owned());
    let subscriptions = claim.subscriptions.iter();
    let subscriptions = subscriptions.map(|name| format!("{SUBSCRIPTION}{name}"));
    let names: Vec<String> = categories.chain(subscriptions).collect();
    let text = format!("{}.{}.{}", names.join("-"), claim.until.0, claim.person);
    signed_text::sign(key, PURPOSE, &text)
}

/// Returns the claim in a token. Returns `None` if this desk did not create the token. The time is not checked.
pub fn read(key: &[u8; 32], token: &str) -> Option<Claim> {
    let text = signed_text::read(key, PURPOSE, token)?;
    let mut parts = text.splitn(3, '.');
    let names = parts.next()?.split('-');
    let (subscriptions, categories): (Vec<&str>, Vec<&str>) =
        names.partition(|name| name.starts_with(SUBSCRIPTION));
    let categories: Option<Vec<Category>> = categories.into_iter().map(Category::read).collect();
    let subscriptions = subscriptions.into_iter();
    Some(Claim {
        categories: categories?,
        subscriptions: subscriptions
            .map(|name| name.trim_start_matches(SUBSCRIPTION).to_owned())
            .collect(),
        until: Moment(parts.next()?.parse().ok()?),
        person: parts.next()?.into(),
    })
}

/// Returns the address with which the recipient switches off mails such as this one. All attempts to send the mail
/// have the same address. Returns `None` if the public address of the desk does not use HTTPS, or if the mail is an
/// answer to a mail of the person.
pub async fn address(app: &App, requested: &Requested) -> Result<Option<String>, Error> {
    let site = app.settings.site.trim_end_matches('/');
    if !site.starts_with("https://") {
        return Ok(None);
    }
    let (mut categories, mut subscriptions) = (Vec::new(), Vec::new());
    for notification in requested.notifications().take(LISTED_MAX) {
        let state = app.ledger.load::<Notification>(notification).await?;
        let Some(of_notification) = state.aggregate.0.requested else {
            continue;
        };
        let category = of_notification.fact.category();
        if of_notification.role == Role::OwnSubscriber {
            let is_full = subscriptions.len() >= SUBSCRIPTIONS_MAX;
            let name = of_notification.label().to_owned();
            if !is_full && !name.is_empty() && !subscriptions.contains(&name) {
                subscriptions.push(name);
            }
        } else if !categories.contains(&category) {
            categories.push(category);
        }
    }
    if categories.is_empty() && subscriptions.is_empty() {
        return Ok(None);
    }
    categories.sort();
    let key = app.token_keys().await?.newest;
    let claim = Claim {
        person: requested.person.clone(),
        categories,
        subscriptions,
        until: requested.due.plus_ms(VALID_MS),
    };
    Ok(Some(format!("{site}/unsubscribe/{}", sign(&key, &claim))))
}

/// The reason why a link does nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// This desk did not create the link, or its person was erased.
    #[error("the link is not valid")]
    Unknown,
    #[error("the link has expired")]
    Expired,
    #[error(transparent)]
    Technical(#[from] Error),
}

/// The state of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The categories that the link concerns. The value is true if the person gets mails of the category.
    pub categories: Vec<(Category, bool)>,
    /// The subscriptions of the person that the link concerns. The value is true if the subscription is not paused.
    pub subscriptions: Vec<(String, bool)>,
    /// The categories of which the organization always sends some mails, because the policy has a floor for them.
    pub required: Vec<Category>,
}

impl State {
    /// Returns true if the person gets mails of at least one category of the link, or because of a subscription.
    pub fn is_on(&self) -> bool {
        self.categories.iter().any(|(_, is_on)| *is_on)
            || self.subscriptions.iter().any(|(_, is_on)| *is_on)
    }
}

/// Checks a token and returns the state of its link. Changes nothing.
pub async fn state(app: &App, token: &str) -> Result<State, Unusable> {
    let claim = claim(app, token).await?;
    let preferences = preferences(app, &claim.person).await?;
    shown(app, &claim, preferences).await
}

/// Switches the mails of the categories of a token off, or on again if `wanted` is true. Returns the new state. A
/// second call changes nothing.
pub async fn switch(
    app: &App,
    token: &str,
    wanted: bool,
    correlation: &str,
) -> Result<State, Unusable> {
    let claim = claim(app, token).await?;
    let person = &claim.person;
    let known = preferences(app, person).await?;
    let mut effective = with_team(app, person, known).await?;
    let command_envelope = CommandEnvelope {
        stream: stream(person),
        command_id: app.ledger.fresh_id(),
        meta: Meta {
            actor: person.clone(),
            origin: Origin::Web,
            ..Meta::system(correlation, stream(person))
        },
    };
    if !claim.subscriptions.is_empty() {
        let command = own_subscription::Command::Pause {
            names: claim.subscriptions.clone(),
            is_paused: !wanted,
            by: person.clone(),
        };
        let meta = command_envelope.meta.clone();
        let changed = own_subscriptions::change(app, person, &command, meta).await;
        match changed {
            Ok(_) | Err(NotChanged::Rejected(_)) => {}
            Err(NotChanged::Technical(error)) => return Err(error.into()),
        }
    }
    let command = Command::SwitchCategories {
        kind: KIND.to_owned(),
        default: effective.channels.remove(KIND).unwrap_or_default(),
        categories: claim.categories.clone(),
        is_on: wanted,
        by: person.clone(),
    };
    let outcome = app
        .ledger
        .execute::<Person>(&command_envelope, &command, &NoContext)
        .await
        .map_err(ExecuteError::unexpected)?;
    let preferences = outcome.state.0.unwrap_or_default();
    shown(app, &claim, preferences).await
}

async fn claim(app: &App, token: &str) -> Result<Claim, Unusable> {
    let keys = app.token_keys().await?;
    let claim = keys.first(|key| read(key, token));
    let claim = claim.ok_or(Unusable::Unknown)?;
    if claim.until < app.ledger.clock.now() {
        return Err(Unusable::Expired);
    }
    Ok(claim)
}

/// Returns the preferences of a person who was not erased.
async fn preferences(app: &App, person: &PersonId) -> Result<PreferencesChanged, Unusable> {
    let preferences = addresses::person(app, person).await?.0.unwrap_or_default();
    let address = preferences.addresses.get(KIND);
    if address.is_some_and(events::Personal::is_erased) {
        return Err(Unusable::Unknown);
    }
    Ok(preferences)
}

/// Returns the preferences of a person with the defaults of the teams of the person.
async fn with_team(
    app: &App,
    person: &PersonId,
    preferences: PreferencesChanged,
) -> Result<PreferencesChanged, Error> {
    let policy = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    let policy = policy.0.as_ref();
    let found = teams::preferences_of(app, person, preferences, policy).await?;
    Ok(found.preferences)
}

async fn shown(
    app: &App,
    claim: &Claim,
    preferences: PreferencesChanged,
) -> Result<State, Unusable> {
    let preferences = with_team(app, &claim.person, preferences).await?;
    let policy = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    let policy = policy.0.as_ref();
    let categories = claim.categories.iter().copied();
    let choice = preferences.channels.get(KIND);
    let is_on = |category: Category| choice.is_none_or(|choice| choice.wants(category));
    let is_required =
        |category: &Category| policy.is_some_and(|one| routing::requires(one, *category, CHANNEL));
    let own = own_subscriptions::list(app, &claim.person).await?;
    let is_active = |name: &String| own.iter().any(|one| one.name == *name && !one.is_paused);
    let subscriptions = claim.subscriptions.iter();
    Ok(State {
        subscriptions: subscriptions
            .map(|name| (name.clone(), is_active(name)))
            .collect(),
        categories: categories.clone().map(|one| (one, is_on(one))).collect(),
        required: categories.filter(is_required).collect(),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn claim() -> Claim {
        Claim {
            person: "p0123456789abcdef01234567".into(),
            categories: vec![Category::Approval, Category::Commented],
            subscriptions: Vec::new(),
            until: Moment(1_796_000_000_000),
        }
    }

    #[test]
    fn a_token_is_bound_to_its_desk_and_its_claim() {
        let token = sign(&[1; 32], &claim());
        assert!(token.len() <= 200, "{}", token.len());
        assert_eq!(read(&[1; 32], &token), Some(claim()));
        assert_eq!(read(&[2; 32], &token), None, "another desk");
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(&token).unwrap()).unwrap();
        for (from, to) in [
            ("approval-commented", "approval-resolved"),
            ("1796", "1896"),
            (".p0123", ".p1123"),
        ] {
            assert!(plain.contains(from), "{plain}");
            let forged = URL_SAFE_NO_PAD.encode(plain.replace(from, to));
            assert_eq!(read(&[1; 32], &forged), None, "{from}");
        }
        let long = "a".repeat(400);
        for wrong in ["", "x", &token[1..], "AAAA", "我", &long] {
            assert_eq!(read(&[1; 32], wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_of_all_categories_is_short_enough() {
        let all = Claim {
            categories: Category::NAMES
                .iter()
                .filter_map(|name| Category::read(name))
                .collect(),
            ..claim()
        };
        let token = sign(&[1; 32], &all);
        assert_eq!(read(&[1; 32], &token), Some(all));
    }

    #[test]
    fn a_token_names_a_subscription_without_a_category() {
        let own = Claim {
            categories: Vec::new(),
            subscriptions: vec!["key_tickets".into()],
            ..claim()
        };
        let token = sign(&[1; 32], &own);
        assert_eq!(read(&[1; 32], &token), Some(own));
        let both = Claim {
            subscriptions: vec!["a".repeat(64)],
            ..claim()
        };
        let token = sign(&[1; 32], &both);
        assert_eq!(read(&[1; 32], &token), Some(both));
    }
}
