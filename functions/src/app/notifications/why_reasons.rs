//! Translates the reasons that the desk itself stores when it sends no message. The stored texts are English. The texts of
//! providers are shown without change.

use events::person::Language;

use super::accounts;
use crate::app::wording;

/// Returns the reason of a failed or postponed attempt of the channel account `account`, in a language. A reason that the
/// desk does not know is a text of the provider, and is returned without change.
pub(super) fn of(reason: &str, account: &str, language: Language) -> String {
    if is_missing_secret(reason, account) {
        let missing = accounts::missing_secret(account);
        return wording::finding(language, Some(&missing), reason);
    }
    let chinese = match language {
        Language::Chinese => chinese(reason),
        Language::English => None,
    };
    chinese.unwrap_or(reason).to_owned()
}

/// Returns true if the reason is that the key store has no secret for the account.
pub(super) fn is_missing_secret(reason: &str, account: &str) -> bool {
    accounts::missing_secret(account).to_string() == reason
}

/// Returns the Chinese text of a reason of the desk. Returns `None` for other texts.
fn chinese(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "the delivery is not requested" => "没有对应的发送申请",
        "the message is too old" => "消息已过期",
        "the address or the content was erased" => "地址或内容已被清除",
        "the channel account is not defined" => "渠道账号未定义",
        "the channel account is switched off" => "渠道账号已停用",
        "the channel account is stopped" => "渠道账号已被停止",
        "the channel account is paused, because its last messages failed" => {
            "渠道账号最近的消息发送失败，已暂停"
        }
        "the provider refuses the credentials of the channel account" => "服务方拒绝渠道账号的凭证",
        "the access token is not valid any more" => "访问令牌已失效",
        "the desk stopped during the attempt" => "发送期间服务台停止运行",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_secret_is_named_in_both_languages() {
        let reason = accounts::missing_secret("ops_robot").to_string();
        assert_eq!(
            reason,
            "the secret channel/ops_robot is not in the key store"
        );
        assert_eq!(of(&reason, "ops_robot", Language::English), reason);
        assert_eq!(
            of(&reason, "ops_robot", Language::Chinese),
            "密钥库中没有密钥 channel/ops_robot"
        );
        assert!(!is_missing_secret(&reason, "mail"));
    }

    #[test]
    fn only_reasons_of_the_desk_are_translated() {
        let own = "the channel account is stopped";
        assert_eq!(of(own, "mail", Language::Chinese), "渠道账号已被停止");
        assert_eq!(of(own, "mail", Language::English), own);
        let other = "5.7.8 bad password";
        assert_eq!(of(other, "mail", Language::Chinese), other);
    }
}
