//! Reads the commands that people write in chats and mails (reference/notifications.md 2). A command has the form
//! `verb [ticket] [free text]`, in English or in Chinese. Letter case and full-width forms make no difference. A text
//! that is no command is never guessed: it becomes a request for help in a chat, and a comment in a mail or in a group that
//! takes remarks.

use events::TicketSn;

/// What a person wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Acknowledge,
    Resolve,
    Comment,
    Status,
    Escalate,
    Approve,
    Reject,
    /// Creates the chat group of the ticket.
    Group,
    /// Connects the chat account of the sender with a person. The free text is a code.
    Link,
    Help,
}

/// A command of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub verb: Verb,
    /// The ticket that the person named. `None` if the command names no ticket.
    pub ticket: Option<TicketSn>,
    /// The free text after the verb and the ticket.
    pub text: String,
}

/// The words for each verb.
const WORDS: &[(&str, Verb)] = &[
    ("ack", Verb::Acknowledge),
    ("acknowledge", Verb::Acknowledge),
    ("确认", Verb::Acknowledge),
    ("接单", Verb::Acknowledge),
    ("确认接收", Verb::Acknowledge),
    ("resolve", Verb::Resolve),
    ("解决", Verb::Resolve),
    ("标记解决", Verb::Resolve),
    ("comment", Verb::Comment),
    ("评论", Verb::Comment),
    ("添加评论", Verb::Comment),
    ("status", Verb::Status),
    ("状态", Verb::Status),
    ("escalate", Verb::Escalate),
    ("升级", Verb::Escalate),
    ("approve", Verb::Approve),
    ("同意", Verb::Approve),
    ("reject", Verb::Reject),
    ("拒绝", Verb::Reject),
    ("group", Verb::Group),
    ("建群", Verb::Group),
    ("拉群", Verb::Group),
    ("link", Verb::Link),
    ("绑定", Verb::Link),
    ("help", Verb::Help),
    ("帮助", Verb::Help),
];

/// Maximum length of a ticket number, in bytes. A longer word is free text.
const TICKET_BYTES_MAX: usize = 64;
/// Maximum length of the markup of one mention, in bytes. A longer text is not a mention.
const MENTION_BYTES_MAX: usize = 300;
/// Smallest number of digits in a ticket number of the desk. Such a number has a date and a counter.
const DIGITS_MIN: usize = 12;
/// Smallest number of digits after the hyphen in a ticket number such as `INC-001234`.
const CASE_DIGITS_MIN: usize = 3;

/// Reads a chat message. A message without a known verb is a request for help.
#[must_use]
pub fn chat(text: &str) -> Said {
    read(text).unwrap_or(Said {
        verb: Verb::Help,
        ticket: None,
        text: String::new(),
    })
}

/// Reads a message in the group of a ticket in which free text is a comment. Without a verb, the whole text is the comment.
/// Returns `None` if the message contains nothing but mentions.
#[must_use]
pub fn group(text: &str) -> Option<Said> {
    let plain = without_markup(text);
    let all = plain.trim();
    if after_mentions(all).is_empty() {
        return None;
    }
    Some(match read(text) {
        // These verbs have no free text, so the message is an ordinary sentence.
        Some(said) if has_no_text(said.verb) && !said.text.is_empty() => comment(all.to_owned()),
        Some(said) => said,
        None => comment(all.to_owned()),
    })
}

/// Reads the text of a mail. Only the first line that is not quoted can contain a verb. Without a verb, the unquoted text
/// is a comment. Returns `None` if the mail has no unquoted text.
#[must_use]
pub fn mail(body: &str) -> Option<Said> {
    let own = unquoted(body);
    let first = own.iter().position(|line| !line.is_empty())?;
    let all = own[first..].join("\n").trim().to_owned();
    let said = read(own[first]);
    Some(match said {
        Some(said) if said.verb == Verb::Comment => {
            let more = own[first + 1..].join("\n");
            Said {
                text: format!("{}\n{more}", said.text).trim().to_owned(),
                ..said
            }
        }
        // These verbs have no free text. The line is therefore an ordinary sentence, and its text must not be lost.
        Some(said) if has_no_text(said.verb) && !said.text.is_empty() => comment(all),
        Some(said) => said,
        None => comment(all),
    })
}

fn has_no_text(verb: Verb) -> bool {
    matches!(verb, Verb::Status | Verb::Group | Verb::Help)
}

fn comment(text: String) -> Said {
    Said {
        verb: Verb::Comment,
        ticket: None,
        text,
    }
}

/// Reads one command. Returns `None` if the text does not begin with a verb.
fn read(text: &str) -> Option<Said> {
    let text = without_markup(text);
    let text = after_mentions(&text);
    let end = text.find(is_gap).unwrap_or(text.len());
    let (verb, length) = verb_of(&text[..end])?;
    let rest = text[length..].trim_start_matches(is_gap);
    let (ticket, rest) = split_ticket(rest);
    Some(Said {
        verb,
        ticket,
        text: rest.trim_end().to_owned(),
    })
}

/// Returns the verb at the beginning of a word, and its length in bytes. A Chinese verb can be followed directly by a
/// ticket number. Any other addition makes another word: `解决方案` is not the verb `解决`.
fn verb_of(word: &str) -> Option<(Verb, usize)> {
    let plain: String = word.chars().map(folded).collect();
    let plain = plain.to_lowercase();
    let plain = plain.trim_end_matches(['.', '!', '。']);
    if let Some((_, verb)) = WORDS.iter().find(|(known, _)| *known == plain) {
        return Some((*verb, word.len()));
    }
    let chinese = WORDS.iter().filter(|(known, _)| !known.is_ascii());
    chinese
        .filter(|(known, _)| {
            let rest = word.strip_prefix(*known);
            rest.is_some_and(|rest| ticket_of(rest).is_some())
        })
        .map(|(known, verb)| (*verb, known.len()))
        .next()
}

/// Returns the ticket at the beginning of a text, and the text after it.
fn split_ticket(text: &str) -> (Option<TicketSn>, &str) {
    let unmentioned = after_mentions(text);
    let end = unmentioned.find(is_gap).unwrap_or(unmentioned.len());
    match ticket_of(&unmentioned[..end]) {
        Some(ticket) => (Some(ticket), unmentioned[end..].trim_start_matches(is_gap)),
        None => (None, text),
    }
}

/// Returns the ticket that a word names: a number of the desk, a number such as `INC-001234`, or any number after `#`.
fn ticket_of(word: &str) -> Option<TicketSn> {
    let plain: String = word.chars().map(folded).collect();
    let plain = plain.trim_matches(['[', ']', '(', ')', '【', '】', ',', '.', ';', '。']);
    let marked = plain.strip_prefix('#');
    let number = marked.unwrap_or(plain);
    if number.is_empty() || number.len() > TICKET_BYTES_MAX {
        return None;
    }
    let letters = number.chars().take_while(char::is_ascii_alphabetic).count();
    let has_prefix = (2..=10).contains(&letters);
    let rest = &number[letters..];
    if has_prefix && is_digits(rest, DIGITS_MIN) {
        return Some(TicketSn(number.to_ascii_uppercase()));
    }
    let case = rest.strip_prefix('-');
    let is_case = has_prefix && case.is_some_and(|case| is_digits(case, CASE_DIGITS_MIN));
    (is_case || marked.is_some()).then(|| TicketSn(number.to_owned()))
}

fn is_digits(text: &str, least: usize) -> bool {
    text.len() >= least && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the ordinary form of a full-width character. Any other character is returned without change.
fn folded(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Returns true for a character between the words of a command: a space or a colon.
fn is_gap(c: char) -> bool {
    let c = folded(c);
    c.is_whitespace() || c == ':'
}

/// Returns the text after the mentions at its beginning, such as `@desk`.
fn after_mentions(text: &str) -> &str {
    let mut rest = text.trim_start();
    while rest.starts_with(['@', '\u{ff20}']) {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        rest = rest[end..].trim_start();
    }
    rest
}

/// Removes the markup of mentions: `<@U1>` of Slack, and `<at>name</at>` of Teams and Feishu.
fn without_markup(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        plain.push_str(&rest[..start]);
        let tail = &rest[start..];
        if let Some(length) = mention_bytes(tail) {
            plain.push(' ');
            rest = &tail[length..];
        } else {
            plain.push('<');
            rest = &tail[1..];
        }
    }
    plain.push_str(rest);
    plain
}

/// Returns the length of the mention at the beginning of a text, in bytes. Returns `None` if there is no mention.
fn mention_bytes(text: &str) -> Option<usize> {
    let near = &text[..text.floor_char_boundary(MENTION_BYTES_MAX)];
    if near.starts_with("<@") {
        return near.find('>').map(|end| end + 1);
    }
    let name = near.strip_prefix("<at")?;
    if !name.starts_with(['>', ' ']) {
        return None;
    }
    let close = "</at>";
    near.find(close).map(|end| end + close.len())
}

/// Returns the lines of a mail that its sender wrote, without quoted lines and without the signature.
fn unquoted(body: &str) -> Vec<&str> {
    let lines: Vec<&str> = body.lines().map(str::trim).collect();
    let (mut own, mut at) = (Vec::new(), 0);
    while at < lines.len() {
        let line = lines[at];
        if is_quoted(line) {
            at += 1;
        } else if let Some(length) = attribution(&lines[at..]) {
            // Some programs mark each quoted line, and the answer can be below. Others mark nothing, and everything below
            // is quoted.
            let next = lines[at + length..].iter().find(|line| !line.is_empty());
            if next.is_none_or(|line| !is_quoted(line)) {
                break;
            }
            at += length;
        } else if line == "--" {
            break;
        } else {
            own.push(line);
            at += 1;
        }
    }
    own
}

fn is_quoted(line: &str) -> bool {
    line.starts_with(['>', '\u{ff1e}'])
}

/// Returns the number of lines of the text that mail programs write before a quoted mail. Returns `None` if `lines` does
/// not begin with such a text.
fn attribution(lines: &[&str]) -> Option<usize> {
    let plain = |line: &&str| -> String { line.chars().map(folded).collect() };
    let first = plain(lines.first()?);
    let dashed = first.trim_matches(['-', '_', ' ']);
    let has_dashes = first.starts_with("---") || first.starts_with("___");
    if first.starts_with("发件人:") || first.ends_with("写道:") {
        return Some(1);
    }
    if has_dashes && matches!(dashed, "原始邮件" | "Original Message" | "") {
        return Some(1);
    }
    let next = lines.get(1).map(plain).unwrap_or_default();
    if first.starts_with("From:")
        && ["Sent:", "Date:", "To:"]
            .iter()
            .any(|name| next.starts_with(*name))
    {
        return Some(1);
    }
    let begins = |line: &str| line.starts_with("On ") || line.starts_with("在");
    if !begins(&first) {
        return None;
    }
    // A long line is broken into at most three. Its first part contains a date.
    let has_digit = first.bytes().any(|byte| byte.is_ascii_digit());
    let most = if has_digit { 3 } else { 1 };
    let lines = lines.iter().take(most).enumerate();
    let mut parts = lines.take_while(|(at, line)| *at == 0 || !(line.is_empty() || begins(line)));
    let found = parts.find(|(_, line)| {
        let line = plain(line);
        line.ends_with("wrote:") || line.ends_with("写道:")
    });
    found.map(|(last, _)| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SN: &str = "REQ20261122000042";

    fn said(verb: Verb, ticket: Option<&str>, text: &str) -> Said {
        Said {
            verb,
            ticket: ticket.map(Into::into),
            text: text.into(),
        }
    }

    #[test]
    fn commands_of_both_languages_are_read() {
        for (text, verb, ticket, rest) in [
            ("ack REQ20261122000042", Verb::Acknowledge, Some(SN), ""),
            ("ACK req20261122000042", Verb::Acknowledge, Some(SN), ""),
            (
                "  Ack:  REQ20261122000042  ",
                Verb::Acknowledge,
                Some(SN),
                "",
            ),
            ("ack", Verb::Acknowledge, None, ""),
            ("确认 REQ20261122000042", Verb::Acknowledge, Some(SN), ""),
            ("确认REQ20261122000042", Verb::Acknowledge, Some(SN), ""),
            (
                "接单：ＲＥＱ２０２６１１２２００００４２",
                Verb::Acknowledge,
                Some(SN),
                "",
            ),
            (
                "确认接收　REQ20261122000042",
                Verb::Acknowledge,
                Some(SN),
                "",
            ),
            ("ａｃｋ　REQ20261122000042", Verb::Acknowledge, Some(SN), ""),
            (
                "resolve REQ20261122000042 restarted",
                Verb::Resolve,
                Some(SN),
                "restarted",
            ),
            (
                "解决 [REQ20261122000042] 已重启",
                Verb::Resolve,
                Some(SN),
                "已重启",
            ),
            (
                "标记解决REQ20261122000042：已重启，正常",
                Verb::Resolve,
                Some(SN),
                "已重启，正常",
            ),
            (
                "comment see http://a/b:c",
                Verb::Comment,
                None,
                "see http://a/b:c",
            ),
            (
                "评论：请 @lisi 看一下",
                Verb::Comment,
                None,
                "请 @lisi 看一下",
            ),
            (
                "添加评论 #crm-17 在处理",
                Verb::Comment,
                Some("crm-17"),
                "在处理",
            ),
            ("status INC-001234", Verb::Status, Some("INC-001234"), ""),
            ("状态", Verb::Status, None, ""),
            (
                "升级 REQ20261122000042 无人处理",
                Verb::Escalate,
                Some(SN),
                "无人处理",
            ),
            ("同意。", Verb::Approve, None, ""),
            (
                "approve REQ20261122000042, looks good",
                Verb::Approve,
                Some(SN),
                "looks good",
            ),
            ("Reject! ", Verb::Reject, None, ""),
            ("拒绝 预算不足", Verb::Reject, None, "预算不足"),
            ("group REQ20261122000042", Verb::Group, Some(SN), ""),
            ("建群REQ20261122000042", Verb::Group, Some(SN), ""),
            ("拉群", Verb::Group, None, ""),
            ("link abc", Verb::Link, None, "abc"),
            ("help", Verb::Help, None, ""),
            ("帮助", Verb::Help, None, ""),
        ] {
            assert_eq!(chat(text), said(verb, ticket, rest), "{text}");
        }
    }

    #[test]
    fn mentions_are_removed_first() {
        for text in [
            "<@U1> ack REQ20261122000042",
            "<@U1|desk> ack <@U2> REQ20261122000042",
            "@服务台 ack REQ20261122000042",
            "@desk\u{2005}ack @desk REQ20261122000042",
            "<at>itsm</at> ack REQ20261122000042",
            "<at id=\"1\">itsm</at>&nbsp;"
                .replace("&nbsp;", "\u{a0}ack REQ20261122000042")
                .as_str(),
            "ack REQ20261122000042 <at>itsm</at>",
        ] {
            assert_eq!(chat(text), said(Verb::Acknowledge, Some(SN), ""), "{text}");
        }
        let open = format!("{}ack", "<@".repeat(2_000));
        assert_eq!(chat(&open).verb, Verb::Help, "an open mention is text");
    }

    #[test]
    fn an_unknown_verb_is_a_request_for_help() {
        for text in [
            "",
            "   ",
            "acknowledged",
            "please ack REQ20261122000042",
            "解决方案是什么",
            "升级win11怎么办",
            "确认一下",
            "REQ20261122000042",
            "@ack",
            "<@U1>",
            "drop table",
        ] {
            assert_eq!(chat(text), said(Verb::Help, None, ""), "{text}");
        }
    }

    #[test]
    fn free_text_in_a_group_is_a_comment() {
        for (text, expected) in [
            (
                "<@U1> 打印机又坏了",
                said(Verb::Comment, None, "打印机又坏了"),
            ),
            (
                " @lisi 请看一下\n第二行",
                said(Verb::Comment, None, "@lisi 请看一下\n第二行"),
            ),
            ("状态不对", said(Verb::Comment, None, "状态不对")),
            (
                "help me with it",
                said(Verb::Comment, None, "help me with it"),
            ),
            ("<@U1> ack on it", said(Verb::Acknowledge, None, "on it")),
            ("评论 已重启", said(Verb::Comment, None, "已重启")),
            ("状态", said(Verb::Status, None, "")),
            ("<@U1> help", said(Verb::Help, None, "")),
        ] {
            assert_eq!(group(text), Some(expected), "{text}");
        }
        for empty in ["", "  ", "<@U1>", "@desk", "<at>desk</at> "] {
            assert_eq!(group(empty), None, "{empty:?}");
        }
    }

    #[test]
    fn only_the_own_lines_of_a_mail_count() {
        for quote in [
            "> resolve",
            "发件人: 服务台\n主题: x",
            "发件人：服务台",
            "-----原始邮件-----\n发件人: x",
            "------------------ 原始邮件 ------------------\nresolve",
            "-----Original Message-----\nresolve",
            "On Mon, 30 Nov 2026 at 09:00, Desk <desk@example.com> wrote:\n> resolve",
            "On Mon, 30 Nov 2026 at 09:00, Desk\n<desk@example.com> wrote:\nresolve",
            "在 2026年11月30日，服务台 <desk@example.com> 写道：\n> resolve",
            "From: Desk <desk@example.com>\nSent: Monday\nresolve",
            "-- \nresolve",
        ] {
            let body = format!("\nack REQ20261122000042\n\n{quote}\n");
            let expected = said(Verb::Acknowledge, Some(SN), "");
            assert_eq!(mail(&body), Some(expected), "{quote}");
        }
        let below = "On Mon, Desk wrote:\n> resolve\n> it\n\nack\n";
        assert_eq!(mail(below), Some(said(Verb::Acknowledge, None, "")));
    }

    #[test]
    fn a_mail_without_a_verb_is_a_comment() {
        let body = "已经重启，\n请再试一次。\n\n在 2026-11-30，服务台写道：\n> ack\n";
        let expected = said(Verb::Comment, None, "已经重启，\n请再试一次。");
        assert_eq!(mail(body), Some(expected));
        for body in [
            "Status of the server is unclear.",
            "Group policy is broken.",
        ] {
            assert_eq!(mail(body), Some(said(Verb::Comment, None, body)));
        }
        let body = "评论 第一行\n第二行\n> 旧";
        let expected = said(Verb::Comment, None, "第一行\n第二行");
        assert_eq!(mail(body), Some(expected));
        for empty in ["", "\n \n", "> ack", "-----原始邮件-----\nack"] {
            assert_eq!(mail(empty), None, "{empty:?}");
        }
    }
}
