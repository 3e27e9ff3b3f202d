//! Reads the price of one segment from the settings of an account, and computes the cost of a message. Prices are decimal
//! texts, because binary fractions cannot contain most of them exactly.

use events::channel_account::Defined;

use super::super::text as setting;

/// Number of decimals of the smallest part of a price.
const DECIMALS: usize = 6;
/// Maximum number of digits before the decimal point.
const DIGITS_MAX: usize = 6;

/// The price of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Price {
    /// The price in millionths of the currency.
    millionths: u64,
    /// The code of the currency (ISO 4217), such as `CNY`.
    pub(super) currency: String,
}

impl Price {
    /// Reads the settings `segment_price` and `currency`. Returns `None` if the account has neither. If one of them is
    /// missing or invalid, returns an English text that names it.
    pub(super) fn read(account: &Defined) -> Result<Option<Self>, String> {
        let has = |key: &str| account.settings.contains_key(key);
        if !has("segment_price") && !has("currency") {
            return Ok(None);
        }
        let millionths = millionths(setting(account, "segment_price")).ok_or(
            "`segment_price` must be a text with the price of one segment, such as \"0.045\", with at most 6 decimals",
        )?;
        let currency = setting(account, "currency");
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err("`currency` must be the code of a currency, such as CNY".into());
        }
        Ok(Some(Self {
            millionths,
            currency: currency.to_owned(),
        }))
    }

    /// Returns the price of a number of segments as a decimal text, such as `0.09`.
    pub(super) fn of(&self, segments: usize) -> String {
        let count = u64::try_from(segments).unwrap_or(u64::MAX);
        let all = self.millionths.saturating_mul(count);
        let (whole, rest) = (all / 1_000_000, all % 1_000_000);
        let text = format!("{whole}.{rest:06}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Reads a decimal text as millionths.
fn millionths(text: &str) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > DIGITS_MAX || fraction.len() > DECIMALS {
        return None;
    }
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    format!("{whole}{fraction:0<DECIMALS$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::contract::account;

    #[test]
    fn a_price_is_multiplied_exactly() {
        let mut account = account("sms");
        assert_eq!(Price::read(&account), Ok(None));
        for (price, segments, cost) in [
            ("0.045", 3, "0.135"),
            ("0.1", 3, "0.3"),
            ("2", 10, "20"),
            ("0.000001", 10, "0.00001"),
            ("0", 4, "0"),
        ] {
            account
                .settings
                .insert("segment_price".into(), price.into());
            account.settings.insert("currency".into(), "CNY".into());
            let price = Price::read(&account).unwrap().unwrap();
            assert_eq!(
                (price.of(segments), price.currency.as_str()),
                (cost.to_owned(), "CNY")
            );
        }
        for (key, value) in [
            ("segment_price", "0.0000001"),
            ("segment_price", "-1"),
            ("segment_price", "1."),
            ("segment_price", ".5"),
            ("segment_price", "1234567"),
            ("currency", "yuan"),
            ("currency", ""),
        ] {
            let mut wrong = account.clone();
            wrong.settings.insert(key.into(), value.into());
            let reason = Price::read(&wrong).unwrap_err();
            assert!(reason.contains(&format!("`{key}`")), "{value}: {reason}");
        }
        account.settings.remove("currency");
        assert!(Price::read(&account).unwrap_err().contains("`currency`"));
    }
}
