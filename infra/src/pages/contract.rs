//! Contains the contract suite of the feed pages (parts of the ordered list of all commits): the
//! tests that every adapter must pass.

use events::Moment;

use super::{Page, Pages};
use crate::commit::following;

/// Runs all tests on a store without pages.
pub async fn check(pages: &dyn Pages) {
    assert_eq!(pages.newest().await.expect("newest"), None);
    let mut previous: Option<Page> = None;
    for number in 1..=12_i64 {
        let commits = [
            following(&format!("ticket-{number}"), None, 3, 1, b"{}"),
            following("catalog", None, 1, 2, b"{}"),
        ];
        let page = Page::following(
            previous.as_ref(),
            Moment(number),
            format!("archive{number}"),
            &commits,
        );
        assert_eq!((page.number, page.base), (number, number * 2 - 1));
        assert!(pages.put(&page).await.expect("put"));
        let mut late = page.clone();
        late.at = Moment(99);
        assert!(
            !pages.put(&late).await.expect("put"),
            "a page never changes"
        );
        assert_eq!(pages.get(number).await.expect("get"), Some(page.clone()));
        assert_eq!(
            pages.newest().await.expect("newest"),
            Some(page.clone()),
            "the newest is found at once"
        );
        previous = Some(page);
    }
    assert_eq!(pages.get(13).await.expect("get"), None);
    assert_eq!(pages.get(0).await.expect("get"), None);
}
