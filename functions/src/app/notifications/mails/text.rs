//! Reads the text of a mail: its command or its comment. A comment ends with the list of its attachments.

use domain::notification::grammar::{self, Said, Verb};
use domain::ticket::REMARK_MAX;
use infra::inbound::mail::Mail;

use super::files::{self, Fate};

/// Reads the command in a mail. A mail with attachments and without a text of its own is a comment. Returns `None` if the
/// mail has no text, and no attachments except small images in its quoted text.
pub(super) fn said(mail: &Mail, fates: &[Fate]) -> Option<Said> {
    match grammar::mail(&mail.text) {
        Some(said) => Some(said),
        None if mail.attachments.is_empty() || files::are_ignored(mail, fates) => None,
        None => Some(Said {
            verb: Verb::Comment,
            ticket: None,
            text: String::new(),
        }),
    }
}

/// Returns a comment with the list of the attachments. A text that is longer than a comment can be is cut.
pub(super) fn with_list(text: &str, listed: &str) -> String {
    const CUT: &str = "\n…（邮件过长，已截断 / the mail was longer）";
    let separator = if text.is_empty() || listed.is_empty() {
        ""
    } else {
        "\n\n"
    };
    let tail: String = format!("{separator}{listed}")
        .chars()
        .take(REMARK_MAX / 2)
        .collect();
    let left = REMARK_MAX - tail.chars().count();
    if text.chars().count() <= left {
        return format!("{text}{tail}");
    }
    let kept: String = text.chars().take(left - CUT.chars().count()).collect();
    format!("{kept}{CUT}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(text: &str) -> Mail {
        Mail {
            text: text.to_owned(),
            ..Mail::default()
        }
    }

    #[test]
    fn a_mail_becomes_a_command_or_a_comment() {
        let command = said(&mail("确认\n\n> quoted"), &[]).unwrap();
        assert_eq!(
            (command.verb, command.text.as_str()),
            (Verb::Acknowledge, "")
        );
        let mut with_file = mail("see the picture");
        with_file.attachments = vec![("screen.png".into(), 2_049)];
        let comment = said(&with_file, &[]).unwrap();
        assert_eq!(
            (comment.verb, comment.text.as_str()),
            (Verb::Comment, "see the picture")
        );
        assert_eq!(said(&mail("> only quoted"), &[]), None);
        with_file.text = String::new();
        let comment = said(&with_file, &[Fate::LeftOut]).unwrap();
        assert_eq!((comment.verb, comment.text.as_str()), (Verb::Comment, ""));
        assert_eq!(said(&with_file, &[Fate::Ignored]), None, "only a logo");
    }

    #[test]
    fn a_long_mail_is_cut_to_the_length_of_a_comment() {
        let long = "字".repeat(REMARK_MAX + 1);
        for listed in ["", "- a.png (1 KiB)"] {
            let comment = with_list(&long, listed);
            assert_eq!(comment.chars().count(), REMARK_MAX);
            assert!(comment.ends_with(listed));
            assert!(comment.contains("已截断"));
        }
        assert_eq!(with_list("短", ""), "短");
    }
}
