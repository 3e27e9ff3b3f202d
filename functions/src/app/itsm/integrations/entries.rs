//! Checks the members of an integration (a connection to another system).

use std::path::PathBuf;

use domain::itsm::mapping;
use domain::itsm::schedule::SHIFT_ENDS_MAX;
use domain::notification::quiet::time_of_day;
use events::AppCode;
use events::integration::{
    self, Authority, Carrier, CaseMapping, NextPage, PathForm, RecordList, UpdateSource, Webhook,
};
use events::person::Language;
use infra::http::Url;
use infra::http::egress::Egress;
use infra::itsm;
use infra::source::{self, Source};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::app::definition_files::check_name;
use crate::app::times;

/// Maximum number of requests in one minute. The times of the requests in the last minute are stored.
const PER_MINUTE_MAX: u32 = 6_000;
/// Maximum number of earlier base URLs of a system. A system moves rarely.
const FORMER_URLS_MAX: usize = 10;
/// Maximum number of minutes between two reads of a source of cases.
const PULL_MINUTES_MAX: u32 = 1_440;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntegrationEntry {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) url: Option<String>,
    #[serde(default)]
    former_urls: Vec<String>,
    form: Option<PathForm>,
    carrier: Option<Carrier>,
    app: Option<String>,
    user: Option<String>,
    #[serde(default)]
    senders: Vec<String>,
    #[serde(default)]
    callback_networks: Vec<String>,
    webhook: Option<Webhook>,
    pull_minutes: Option<u32>,
    per_minute: Option<u32>,
    filter: Option<String>,
    list: Option<RecordList>,
    reconcile_minutes: Option<u32>,
    #[serde(default)]
    shift_ends: Vec<String>,
    zone: Option<String>,
    status_authority: Option<Authority>,
    assignee_authority: Option<Authority>,
    language: Option<Language>,
    /// The file path of a mapping file, which contains the rules for reading a case (a record of
    /// another system) from JSON. The path is relative to the TOML file that contains this entry.
    pub(super) mapping: Option<PathBuf>,
}

/// Returns the definition of an integration from its members. An error is an English text with the name of the wrong
/// member.
pub(in crate::app::itsm) fn integration_from(
    members: Map<String, Value>,
    mapping: Option<CaseMapping>,
) -> Result<integration::Defined, String> {
    let entry: IntegrationEntry =
        serde_json::from_value(members.into()).map_err(|error| error.to_string())?;
    integration_of(entry, mapping)
}

pub(super) fn integration_of(
    entry: IntegrationEntry,
    mapping: Option<CaseMapping>,
) -> Result<integration::Defined, String> {
    let name = &entry.name;
    check_name("integration", name)?;
    match entry.kind.as_str() {
        kind if itsm::find(kind).is_some() => external_itsm(entry, mapping),
        kind if let Some(source) = source::find(kind) => case_source(entry, mapping, source),
        kind => {
            let known = itsm::ALL.iter().map(|itsm| itsm.name());
            let sources = source::ALL.iter().map(|source| source.name());
            let known: Vec<&str> = known.chain(sources).collect();
            Err(format!(
                "integration {name}: `kind` must be one of {}, not {kind:?}",
                known.join(", ")
            ))
        }
    }
}

/// Returns an error if a member is given that has no meaning for the kind of integration.
fn reject_unused(name: &str, kind: &str, unused: &[(&str, bool)]) -> Result<(), String> {
    match unused.iter().find(|(_, is_given)| *is_given) {
        Some((member, _)) => Err(format!(
            "integration {name}: `{member}` has no meaning for the kind {kind}"
        )),
        None => Ok(()),
    }
}

/// Returns the definition of an integration that is a source of cases (records of another system). Client apps send the
/// records, or the other system sends messages, or the desk reads the records.
fn case_source(
    entry: IntegrationEntry,
    mapping: Option<CaseMapping>,
    source: &dyn Source,
) -> Result<integration::Defined, String> {
    let name = entry.name;
    let wrong = |reason: String| Err(format!("integration {name}: {reason}"));
    let has_api = source.api().is_some();
    let unused = [
        ("url", !has_api && entry.url.is_some()),
        ("former_urls", !has_api && !entry.former_urls.is_empty()),
        ("form", !source.has_app() && entry.form.is_some()),
        ("carrier", !source.has_app() && entry.carrier.is_some()),
        ("app", !source.has_app() && entry.app.is_some()),
        ("callback_networks", !entry.callback_networks.is_empty()),
        ("user", !has_api && entry.user.is_some()),
        (
            "pull_minutes",
            source.changes().is_none() && entry.pull_minutes.is_some(),
        ),
        ("per_minute", !has_api && entry.per_minute.is_some()),
        (
            "filter",
            entry.filter.is_some()
                && (source.needs_user() && !source.has_app() || entry.pull_minutes.is_none()),
        ),
        (
            "list",
            entry.list.is_some() && (!source.has_described_list() || entry.pull_minutes.is_none()),
        ),
        (
            "reconcile_minutes",
            (!has_api || source.continues_after_write()) && entry.reconcile_minutes.is_some(),
        ),
        ("shift_ends", !has_api && !entry.shift_ends.is_empty()),
        ("zone", !has_api && entry.zone.is_some()),
        (
            "status_authority",
            !has_api && entry.status_authority.is_some(),
        ),
        (
            "assignee_authority",
            !has_api && entry.assignee_authority.is_some(),
        ),
        ("language", !has_api && entry.language.is_some()),
    ];
    reject_unused(&name, &entry.kind, &unused)?;
    let is_received =
        !entry.senders.is_empty() || entry.webhook.is_some() || entry.pull_minutes.is_some();
    let opens_tickets = mapping.as_ref().is_none_or(mapping::opens_tickets);
    if !is_received && opens_tickets {
        return wrong(
            "`senders` must name the apps that may send cases, or `webhook` or `pull_minutes` is required"
                .into(),
        );
    }
    if let Some(sender) = entry.senders.iter().find(|sender| sender.trim().is_empty()) {
        return wrong(format!("`senders` must contain app codes, not {sender:?}"));
    }
    if entry.webhook == Some(Webhook::Signed) && source.signature().is_none() {
        return wrong(format!(
            "`webhook` must be \"unsigned\", because {} does not sign its messages",
            entry.kind
        ));
    }
    if let Some(minutes) = entry.pull_minutes
        && !(1..=PULL_MINUTES_MAX).contains(&minutes)
    {
        return wrong(format!(
            "`pull_minutes` must be a number from 1 to {PULL_MINUTES_MAX}"
        ));
    }
    if let Some(minutes) = entry.reconcile_minutes
        && !(1..=PULL_MINUTES_MAX).contains(&minutes)
    {
        return wrong(format!(
            "`reconcile_minutes` must be a number from 1 to {PULL_MINUTES_MAX}"
        ));
    }
    let (ends, zone) = (&entry.shift_ends, entry.zone.as_deref());
    if let Err(reason) = check_shift_ends(ends, zone, entry.reconcile_minutes.is_some()) {
        return wrong(reason);
    }
    check_per_minute(&name, entry.per_minute)?;
    check_former_urls(&name, &entry.former_urls)?;
    let Some(mapping) = mapping else {
        return wrong("`mapping` must be the path of a mapping of cases".into());
    };
    if !opens_tickets && is_received {
        return wrong(
            "the mapping must have `service`, `requester` and `fields`, because the desk opens tickets for the records"
                .into(),
        );
    }
    let is_written = mapping::writes(&mapping);
    if !opens_tickets && !is_written && entry.reconcile_minutes.is_none() {
        return wrong(
            "the mapping must have `write_back`, `notes` or `assignee`, because it opens no tickets"
                .into(),
        );
    }
    let written = [
        ("write_back", !mapping.write_back.is_empty()),
        ("notes", mapping.notes),
        ("assignee", mapping.assignee.is_some()),
    ];
    if let Some((member, _)) = written.iter().find(|(_, is_given)| !has_api && *is_given) {
        return wrong(format!(
            "the mapping must have no `{member}`, because this version does not write to {}",
            entry.kind
        ));
    }
    let writes_notes = source.api().is_none_or(infra::source::Api::writes_notes);
    if mapping.notes && !writes_notes {
        return wrong(format!(
            "the mapping must have no `notes`, because the desk writes notes to {} only together with a status",
            entry.kind
        ));
    }
    if let Some(filter) = &entry.filter
        && let Err(reason) = source.check_filter(filter)
    {
        return wrong(format!("`filter`: {reason}"));
    }
    let app = entry.app.unwrap_or_default();
    let is_app = !app.trim().is_empty() && !app.chars().any(char::is_control);
    if source.has_app() && !is_app {
        return wrong("`app` must be the code of the app of the desk".into());
    }
    let writes_assignee = source
        .api()
        .is_some_and(infra::source::Api::writes_assignee);
    if mapping.assignee.is_some() && !writes_assignee {
        return wrong(format!(
            "the mapping must have no `assignee`, because the desk cannot write the assignee of {}",
            entry.kind
        ));
    }
    if mapping.assignee.is_none() && entry.assignee_authority.is_some() {
        return wrong("`assignee_authority` needs `assignee` in the mapping".into());
    }
    if mapping
        .crm
        .as_ref()
        .is_some_and(|crm| crm.integration == name)
    {
        return wrong("the mapping must name another integration in `crm.integration`".into());
    }
    if source.has_described_list()
        && entry.pull_minutes.is_some()
        && let Err(reason) = check_list(
            &entry.list.clone().unwrap_or_default(),
            entry.filter.as_deref().unwrap_or_default(),
            &mapping,
        )
    {
        return wrong(reason);
    }
    // A source of these kinds has regular reads only if its list is described.
    let is_read = source.changes().is_some()
        && (!source.has_described_list() || entry.pull_minutes.is_some());
    if entry.webhook.is_some() && !is_read && mapping.update.is_none() {
        return wrong(
            "the mapping must have `update`: the same message again changes nothing, so a record that returns to an earlier content needs a counter or a time"
                .into(),
        );
    }
    if entry.reconcile_minutes.is_some()
        && mapping.assignee.is_none()
        && !mapping.last_fact
        && (mapping.status.is_none() || mapping.write_back.is_empty() && mapping.ends.is_empty())
    {
        return wrong(
            "`reconcile_minutes` needs `status`, and `write_back` or `ends`, or needs `assignee` or `last_fact`, in the mapping"
                .into(),
        );
    }
    let needs_account =
        entry.pull_minutes.is_some() || entry.reconcile_minutes.is_some() || is_written;
    let (url, user) = if needs_account {
        let url = checked_url(&name, entry.url.unwrap_or_default())?;
        let user = entry.user.unwrap_or_default();
        // Without a user, the secret is a token.
        if source.needs_user() && user.trim().is_empty()
            || user.chars().any(char::is_control)
            || user.contains(':')
        {
            return wrong("`user` must be the account of the desk, without a colon".into());
        }
        (url, user)
    } else {
        (
            entry.url.unwrap_or_default(),
            entry.user.unwrap_or_default(),
        )
    };
    Ok(integration::Defined {
        name,
        kind: entry.kind,
        url,
        former_urls: entry.former_urls,
        form: entry.form.unwrap_or_default(),
        carrier: entry.carrier.unwrap_or_default(),
        app,
        user,
        senders: entry.senders.into_iter().map(AppCode).collect(),
        webhook: entry.webhook,
        pull_minutes: entry.pull_minutes,
        per_minute: entry.per_minute,
        filter: entry.filter.unwrap_or_default(),
        list: entry.list,
        reconcile_minutes: entry.reconcile_minutes,
        shift_ends: entry.shift_ends,
        zone: entry.zone,
        status_authority: entry.status_authority.unwrap_or_default(),
        assignee_authority: entry.assignee_authority,
        language: entry.language.unwrap_or_default(),
        mapping: Some(mapping),
        ..integration::Defined::default()
    })
}

/// Checks the list from which the desk reads the changed records, and the query that selects them. The error names the wrong
/// member.
fn check_list(list: &RecordList, filter: &str, mapping: &CaseMapping) -> Result<(), String> {
    let is_part = |text: &str, not: &[char]| {
        text.chars()
            .all(|letter| letter.is_ascii_graphic() && !not.contains(&letter))
    };
    if !is_part(&list.path, &['?', '#']) {
        return Err("`list.path` must be a path without a query, such as \"search\"".into());
    }
    if !is_part(filter, &['?', '#']) {
        return Err(
            "`filter` must be a query such as \"state=open&sort=changed\", with percent-encoded values".into(),
        );
    }
    if !(list.records.is_empty() || list.records.starts_with('/')) {
        return Err("`list.records` must be a JSON pointer such as \"/items\"".into());
    }
    if list.since.is_some() && !matches!(mapping.update, Some(UpdateSource::Time(_))) {
        return Err(
            "`list.since` needs `update` with a time in the mapping, because the desk reads on at this time"
                .into(),
        );
    }
    let (parameter, pointer) = match &list.next {
        None => (None, None),
        Some(NextPage::Number(name) | NextPage::Index(name) | NextPage::Offset(name)) => {
            (Some(name), None)
        }
        Some(NextPage::Token { parameter, path }) => (Some(parameter), Some(path)),
        Some(NextPage::Url(path)) => (None, Some(path)),
    };
    if pointer.is_some_and(|path| !path.starts_with('/')) {
        return Err("`list.next` must have a JSON pointer such as \"/next\"".into());
    }
    for (member, name) in [
        ("list.since", list.since.as_ref()),
        ("list.size", list.size.as_ref()),
        ("list.next", parameter),
    ] {
        let is_wrong =
            |name: &String| name.is_empty() || !is_part(name, &['?', '#', '&', '=', '%', '+']);
        if name.is_some_and(is_wrong) {
            return Err(format!("`{member}` must be the name of a parameter"));
        }
    }
    Ok(())
}

/// Checks the times of the day at which the cases are also compared, and their time zone. The error names the wrong member.
fn check_shift_ends(ends: &[String], zone: Option<&str>, is_compared: bool) -> Result<(), String> {
    if let Some(wrong) = ends.iter().find(|end| time_of_day(end).is_none()) {
        return Err(format!(
            "`shift_ends` must contain times of the day such as \"14:00\", not {wrong:?}"
        ));
    }
    if ends.len() > SHIFT_ENDS_MAX {
        return Err(format!(
            "`shift_ends` must contain at most {SHIFT_ENDS_MAX} times"
        ));
    }
    if !ends.is_empty() && !is_compared {
        return Err("`shift_ends` needs `reconcile_minutes`".into());
    }
    match zone {
        Some(_) if ends.is_empty() => Err("`zone` needs `shift_ends`".into()),
        Some(zone) => times::zone(zone)
            .map(drop)
            .map_err(|reason| format!("`zone`: {reason}")),
        None => Ok(()),
    }
}

/// Checks the limit of the number of requests in one minute.
fn check_per_minute(name: &str, limit: Option<u32>) -> Result<(), String> {
    match limit {
        Some(limit) if !(1..=PER_MINUTE_MAX).contains(&limit) => Err(format!(
            "integration {name}: `per_minute` must be a number from 1 to {PER_MINUTE_MAX}"
        )),
        _ => Ok(()),
    }
}

/// Checks the networks from which callbacks may come.
fn check_networks(name: &str, networks: &[String]) -> Result<(), String> {
    let is_network = |text: &&String| {
        let list = Egress::read(text);
        !text.trim().is_empty() && !text.contains(',') && list.is_ok_and(|list| !list.has_hosts())
    };
    match networks.iter().find(|text| !is_network(text)) {
        Some(wrong) => Err(format!(
            "integration {name}: `callback_networks` must contain addresses and networks such as \"10.0.0.0/8\", not {wrong:?}"
        )),
        None => Ok(()),
    }
}

/// Returns whether a text is a base URL.
fn is_base_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.has_host()
    })
}

/// Checks the earlier base URLs of the same system.
fn check_former_urls(name: &str, urls: &[String]) -> Result<(), String> {
    if urls.len() > FORMER_URLS_MAX {
        return Err(format!(
            "integration {name}: `former_urls` must have at most {FORMER_URLS_MAX} URLs"
        ));
    }
    match urls.iter().find(|url| !is_base_url(url)) {
        Some(wrong) => Err(format!(
            "integration {name}: `former_urls` must have http or https URLs without a query, not {wrong:?}"
        )),
        None => Ok(()),
    }
}

/// Returns a base URL if it is valid.
fn checked_url(name: &str, given: String) -> Result<String, String> {
    if is_base_url(&given) {
        Ok(given)
    } else {
        Err(format!(
            "integration {name}: `url` must be an http or https URL without a query"
        ))
    }
}

/// Returns the definition of an integration with an external ITSM. The desk creates applications
/// (tickets) in this ITSM.
fn external_itsm(
    entry: IntegrationEntry,
    mapping: Option<CaseMapping>,
) -> Result<integration::Defined, String> {
    let name = entry.name;
    let unused = [
        ("senders", !entry.senders.is_empty()),
        ("mapping", mapping.is_some()),
        ("webhook", entry.webhook.is_some()),
        ("pull_minutes", entry.pull_minutes.is_some()),
        ("filter", entry.filter.is_some()),
        ("list", entry.list.is_some()),
        ("reconcile_minutes", entry.reconcile_minutes.is_some()),
        ("shift_ends", !entry.shift_ends.is_empty()),
        ("zone", entry.zone.is_some()),
        ("status_authority", entry.status_authority.is_some()),
        ("assignee_authority", entry.assignee_authority.is_some()),
        ("language", entry.language.is_some()),
    ];
    reject_unused(&name, &entry.kind, &unused)?;
    check_per_minute(&name, entry.per_minute)?;
    check_networks(&name, &entry.callback_networks)?;
    check_former_urls(&name, &entry.former_urls)?;
    let given = entry.url.unwrap_or_default();
    // The log platform configures the base URL with the path of the operations. This path also shows the form.
    let (given, of_url) = [
        ("/api/c/compapi/v2/itsm", PathForm::Esb),
        ("/v2/itsm", PathForm::Apigw),
    ]
    .into_iter()
    .find_map(|(path, form)| {
        let base = given.trim_end_matches('/').strip_suffix(path)?;
        Some((base.to_owned(), Some(form)))
    })
    .unwrap_or((given, None));
    let given = checked_url(&name, given)?;
    let (app, user) = (
        entry.app.unwrap_or_default(),
        entry.user.unwrap_or_default(),
    );
    for (member, value) in [("app", &app), ("user", &user)] {
        if value.trim().is_empty() || value.chars().any(char::is_control) {
            return Err(format!("integration {name}: `{member}` must not be empty"));
        }
    }
    Ok(integration::Defined {
        name,
        kind: entry.kind,
        url: given,
        former_urls: entry.former_urls,
        form: entry.form.or(of_url).unwrap_or_default(),
        carrier: entry.carrier.unwrap_or_default(),
        per_minute: entry.per_minute,
        callback_networks: entry.callback_networks,
        app,
        user,
        ..integration::Defined::default()
    })
}
