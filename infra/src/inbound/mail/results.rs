//! Reads the results of the checks of a sender that mail relays write into mails (`Authentication-Results`, RFC 8601).
//! Anybody can write such a header. The caller therefore uses only the results of its own relay.

use serde::{Deserialize, Serialize};

use super::parse::one_line;

const HEADER: &str = "Authentication-Results";
/// Maximum number of results of one mail.
const RESULTS_MAX: usize = 30;
/// Maximum length of a word of a result, in characters.
const WORD_MAX: usize = 254;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The name of the relay that did the check, in lower case.
    pub server: String,
    /// The number of `Received` headers above this result. Each relay adds one such header above the headers that it
    /// got.
    pub hops: usize,
    /// The position of the header with this result among all headers of the mail.
    pub header: usize,
    /// The method in lower case: `dmarc`, `dkim` or `spf`.
    pub method: String,
    /// True if the check was passed.
    pub is_passed: bool,
    /// The domain that passed the check, in lower case.
    pub domain: String,
}

/// Reads the results in the headers of a mail. `headers` contains the names and the values of all headers in their
/// order.
pub(super) fn results<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Checked> {
    let (mut results, mut hops) = (Vec::new(), 0);
    for (at, (name, value)) in headers.enumerate() {
        if name.eq_ignore_ascii_case("Received") {
            hops += 1;
        }
        if name.eq_ignore_ascii_case(HEADER) {
            results.extend(of_header(&without_comments(&one_line(value)), hops, at));
        }
        if results.len() >= RESULTS_MAX {
            break;
        }
    }
    results.truncate(RESULTS_MAX);
    results
}

fn of_header(value: &str, hops: usize, header: usize) -> Vec<Checked> {
    let mut parts = value.split(';').map(str::trim);
    // A version number can follow the name of the server.
    let server = parts.next().unwrap_or_default().split_whitespace().next();
    let server = word(server.unwrap_or_default());
    let checked = parts.filter_map(|part| {
        let mut words = part.split_whitespace();
        let (method, result) = words.next()?.split_once('=')?;
        // A version number can follow the name of the method.
        let method = word(method.split('/').next()?);
        let names: &[&str] = match method.as_str() {
            "dmarc" => &["header.from"],
            "dkim" => &["header.d", "header.i"],
            "spf" => &["smtp.mailfrom"],
            _ => return None,
        };
        let properties: Vec<(&str, &str)> = words.filter_map(|one| one.split_once('=')).collect();
        let domain = names.iter().find_map(|name| {
            let found = properties.iter().find(|(given, _)| given == name)?;
            let value = found.1.trim_matches('"');
            let domain = value.rsplit_once('@').map_or(value, |(_, domain)| domain);
            Some(word(domain))
        });
        Some(Checked {
            server: server.clone(),
            hops,
            header,
            is_passed: word(result) == "pass",
            domain: domain.unwrap_or_default(),
            method,
        })
    });
    checked.collect()
}

fn word(text: &str) -> String {
    let word = text.trim_matches('"').chars().take(WORD_MAX);
    word.collect::<String>().to_ascii_lowercase()
}

/// Removes the comments in parentheses. Comments can be nested.
fn without_comments(value: &str) -> String {
    let (mut plain, mut depth, mut is_escaped) =
        (String::with_capacity(value.len()), 0_usize, false);
    for c in value.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if depth > 0 => is_escaped = true,
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// Returns true if a relay with the name `server` found that the mail really comes from the domain of `from`.
/// `method` is the required check: `dmarc`, `dkim` or `spf`.
///
/// A relay adds its results above the headers of the sender. Only its first header with this method counts, and only
/// above the next relay, so a result that the sender wrote changes nothing. The relay must remove results with its
/// own name from the mails that it gets (RFC 8601, section 5), because it does not add a result of each method to
/// each mail.
pub fn is_proven(checked: &[Checked], server: &str, method: &str, from: &str) -> bool {
    let Some((_, domain)) = from.rsplit_once('@') else {
        return false;
    };
    let (domain, server) = (domain.to_ascii_lowercase(), server.to_ascii_lowercase());
    let of_server: Vec<&Checked> = checked.iter().filter(|one| one.server == server).collect();
    let of_method = |one: &&&Checked| one.method == method;
    let (Some(nearest), Some(first)) = (of_server.first(), of_server.iter().find(of_method)) else {
        return false;
    };
    first.hops == nearest.hops
        && of_server.iter().any(|one| {
            one.header == first.header
                && one.method == method
                && one.is_passed
                && is_same(&one.domain, &domain)
        })
}

/// Returns true if `domain` is the domain `checked`, or a subdomain of it.
fn is_same(checked: &str, domain: &str) -> bool {
    let is_below = || {
        let rest = domain.strip_suffix(checked);
        rest.is_some_and(|rest| rest.ends_with('.'))
    };
    checked.contains('.') && (checked == domain || is_below())
}
