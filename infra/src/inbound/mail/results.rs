//! Reads the results of the checks of a sender that mail relays write into mails (`Authentication-Results`, RFC 8601).
//! Anybody can write such a header. The caller therefore uses only the results of its own relay.

use serde::{Deserialize, Serialize};

use super::parse::one_line;

const HEADER: &str = "Authentication-Results";
/// Maximum number of results of one mail.
const RESULTS_MAX: usize = 30;
/// Maximum length of a word of a result, in characters.
const WORD_MAX: usize = 254;
/// Maximum number of characters of one header that are read. A usual header has less than 1,000.
const HEADER_MAX: usize = 8_000;

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
    /// True if the relay states that the sender is wrong. A check without a result, such as `none`, is not a failure.
    #[serde(default)]
    pub is_failed: bool,
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
            let value: String = one_line(value).chars().take(HEADER_MAX).collect();
            results.extend(of_header(&without_comments(&value), hops, at));
        }
        if results.len() >= RESULTS_MAX {
            break;
        }
    }
    results.truncate(RESULTS_MAX);
    results
}

fn of_header(value: &str, hops: usize, header: usize) -> Vec<Checked> {
    let mut parts = split(value, |c| c == ';').into_iter().map(str::trim);
    // A version number can follow the name of the server.
    let server = parts.next().unwrap_or_default().split_whitespace().next();
    let server = word(server.unwrap_or_default());
    let checked = parts.filter_map(|part| {
        let words = split(part, char::is_whitespace).into_iter();
        let mut words = words.filter(|word| !word.is_empty());
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
            is_failed: word(result) == "fail",
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

/// Splits a text at the separators that are not between quotation marks. The sender chooses the text between quotation
/// marks, for example the part of an address before `@`. Such a text must not look like another result.
fn split(value: &str, is_separator: impl Fn(char) -> bool) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in value.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if !is_quoted && is_separator(c) => {
                parts.push(&value[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&value[from..]);
    parts
}

/// Removes the comments in parentheses. Comments can be nested. Parentheses between quotation marks are no comments.
fn without_comments(value: &str) -> String {
    let (mut plain, mut depth) = (String::with_capacity(value.len()), 0_usize);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in value.chars() {
        let is_comment = depth > 0;
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_comment || is_quoted => is_escaped = true,
            '"' if !is_comment => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if is_comment => {
                depth -= 1;
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            plain.push(c);
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
/// each mail. DMARC has one result for a mail, so a header in which two results of DMARC differ proves nothing.
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
    let mut of_header = of_server
        .iter()
        .filter(|one| one.header == first.header && one.method == method);
    let proves = |one: &&Checked| one.is_passed && is_same(&one.domain, &domain);
    let is_found = if method == "dmarc" {
        of_header.all(proves)
    } else {
        of_header.any(proves)
    };
    is_found && first.hops == nearest.hops
}

/// Returns true if `domain` is the domain `checked`, or a subdomain of it.
pub(super) fn is_same(checked: &str, domain: &str) -> bool {
    let is_below = || {
        let rest = domain.strip_suffix(checked);
        rest.is_some_and(|rest| rest.ends_with('.'))
    };
    checked.contains('.') && (checked == domain || is_below())
}
