//! Defines the actions that a person can do from a notification, and the command of each action.

use events::person::Language;
use events::{NodeId, PersonId};

use crate::ticket::Command;

/// An action of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Acknowledge,
    Resolve,
    Escalate,
    Comment,
    Approve,
    Reject,
}

impl Action {
    pub const ALL: [Self; 6] = [
        Self::Acknowledge,
        Self::Resolve,
        Self::Escalate,
        Self::Comment,
        Self::Approve,
        Self::Reject,
    ];
    /// The actions at a node at which people vote, from the most to the least usual.
    pub const OF_VOTE: &'static [Self] = &[Self::Approve, Self::Reject, Self::Comment];
    /// The actions at a node at which people work, from the most to the least usual.
    pub const OF_WORK: &'static [Self] = &[
        Self::Acknowledge,
        Self::Resolve,
        Self::Escalate,
        Self::Comment,
    ];

    /// Returns the name of the action. Links contain this name, so it must never change.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
            Self::Escalate => "escalate",
            Self::Comment => "comment",
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    /// Returns the action with the given name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Returns the text of the button.
    pub fn label(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::Acknowledge, Language::Chinese) => "确认接收",
            (Self::Resolve, Language::Chinese) => "标记解决",
            (Self::Escalate, Language::Chinese) => "升级",
            (Self::Comment, Language::Chinese) => "添加评论",
            (Self::Approve, Language::Chinese) => "同意",
            (Self::Reject, Language::Chinese) => "拒绝",
            (Self::Acknowledge, Language::English) => "Acknowledge",
            (Self::Resolve, Language::English) => "Resolve",
            (Self::Escalate, Language::English) => "Escalate",
            (Self::Comment, Language::English) => "Comment",
            (Self::Approve, Language::English) => "Approve",
            (Self::Reject, Language::English) => "Reject",
        }
    }

    /// Returns true if the action is possible only at the node of the notification.
    pub fn needs_node(self) -> bool {
        !matches!(self, Self::Comment)
    }

    /// Returns the command of the action. Returns `None` for a vote without a node.
    pub fn command(self, by: &PersonId, node: Option<NodeId>, text: &str) -> Option<Command> {
        let (by, text) = (by.clone(), text.to_owned());
        Some(match self {
            Self::Acknowledge => Command::Acknowledge {
                node,
                by,
                reason: text,
            },
            Self::Resolve => Command::Resolve {
                by,
                form: Vec::new(),
                remark: text,
            },
            Self::Escalate => Command::Escalate {
                node,
                by,
                reason: text,
            },
            Self::Comment => Command::Remark {
                by,
                text,
                parent: None,
                mentions: Vec::new(),
                internal: false,
                files: Vec::new(),
            },
            Self::Approve | Self::Reject => Command::Decide {
                node: node?,
                by,
                pass: self == Self::Approve,
                remark: text,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_found_by_its_name() {
        for action in Action::ALL {
            assert_eq!(Action::named(action.name()), Some(action));
            let labels = [Language::Chinese, Language::English].map(|one| action.label(one));
            assert_ne!(labels[0], labels[1]);
        }
        assert_eq!(Action::named("delete"), None);
    }

    #[test]
    fn a_vote_needs_a_node() {
        let by = PersonId::from("p-1");
        assert_eq!(Action::Approve.command(&by, None, ""), None);
        let expected = Command::Decide {
            node: NodeId(3),
            by: by.clone(),
            pass: false,
            remark: "no".into(),
        };
        let command = Action::Reject.command(&by, Some(NodeId(3)), "no");
        assert_eq!(command, Some(expected));
    }
}
