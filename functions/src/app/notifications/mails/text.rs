//! Reads the text of a mail: its command or its comment, and the list of its attachments.

use domain::notification::content;
use domain::notification::grammar::{self, Said, Verb};
use domain::ticket::REMARK_MAX;
use infra::inbound::mail::Mail;

/// Reads the command in a mail. The attachments are named in the text, because the desk does not store them. Returns
/// `None` if the mail has no text of its own and no attachments.
pub(super) fn said(mail: &Mail) -> Option<Said> {
    let listed = listed(mail);
    let mut said = match grammar::mail(&mail.text) {
        Some(said) => said,
        None if listed.is_empty() => return None,
        None => Said {
            verb: Verb::Comment,
            ticket: None,
            text: String::new(),
        },
    };
    if said.verb == Verb::Comment {
        said.text = with_list(&said.text, &listed);
    }
    Some(said)
}

/// Returns the lines that name the attachments, in both languages, because the language of the reader is unknown.
fn listed(mail: &Mail) -> String {
    if mail.attachments.is_empty() {
        return String::new();
    }
    let one = |(name, bytes): &(String, usize)| {
        let name = content::one_line(name);
        format!("- {name} ({} KiB)", bytes.div_ceil(1_024))
    };
    let lines: Vec<String> = mail.attachments.iter().map(one).collect();
    let head = "邮件附件（未保存）/ Attachments of the mail (not stored):";
    format!("{head}\n{}", lines.join("\n"))
}

/// Returns a comment with the list of the attachments. A text that is longer than a comment can be is cut.
fn with_list(text: &str, listed: &str) -> String {
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
    fn a_mail_becomes_a_command_or_a_comment_with_its_attachments() {
        let command = said(&mail("确认\n\n> quoted")).unwrap();
        assert_eq!(
            (command.verb, command.text.as_str()),
            (Verb::Acknowledge, "")
        );
        let mut with_file = mail("see the picture");
        with_file.attachments = vec![("screen.png".into(), 2_049)];
        let comment = said(&with_file).unwrap();
        assert_eq!(comment.verb, Verb::Comment);
        assert!(
            comment.text.starts_with("see the picture\n\n"),
            "{}",
            comment.text
        );
        assert!(
            comment.text.ends_with("- screen.png (3 KiB)"),
            "{}",
            comment.text
        );
        assert_eq!(said(&mail("> only quoted")), None);
        with_file.text = String::new();
        assert!(said(&with_file).unwrap().text.contains("screen.png"));
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
