//! What every document store does alike.

use super::{Document, Range, Views};

fn document(sequence: i64, text: &str) -> Document {
    Document { sequence, body: text.as_bytes().to_vec() }
}

/// Runs the whole suite against an empty store.
pub async fn check(views: &dyn Views) {
    let put = |key: &'static str, sequence, expected, rows: Vec<(&'static str, String)>| async move {
        views.put("v", key, &document(sequence, key), &rows, expected).await.expect("put")
    };
    let all = Range { view: "v", index: "i", from: "", to: "~", descending: false, skip: 0, limit: 10 };
    let keys = |range| async move { views.range(range).await.expect("range").into_iter().map(|entry| entry.key).collect::<Vec<_>>() };

    assert!(put("a", 2, 0, vec![("i", "1".into()), ("i", "3".into()), ("j", "9".into())]).await);
    assert!(!put("a", 3, 0, vec![]).await, "somebody was there before");
    assert!(!put("a", 3, 1, vec![]).await);
    assert!(put("b", 1, 0, vec![("i", "2".into())]).await);
    assert_eq!(keys(all).await, ["a", "b", "a"], "an index may hold a key many times");
    assert_eq!(keys(Range { descending: true, limit: 1, ..all }).await, ["a"]);
    assert_eq!(keys(Range { skip: 1, limit: 1, ..all }).await, ["b"]);
    assert_eq!(keys(Range { from: "2", to: "3", ..all }).await, ["b"]);
    assert_eq!(views.count("v", "i", "", "~").await.expect("count"), 3);

    assert!(put("a", 5, 2, vec![("i", "4".into())]).await, "old rows go with the document they came from");
    assert_eq!(keys(all).await, ["b", "a"]);
    assert_eq!(views.count("v", "j", "", "~").await.expect("count"), 0);
    assert_eq!(views.get("v", "a").await.expect("get"), Some(document(5, "a")));
    assert_eq!(views.get("w", "a").await.expect("get"), None);
    let scanned = views.scan("v", "a", 10).await.expect("scan");
    assert_eq!(scanned, [("b".to_owned(), document(1, "b"))]);

    views.put("w", "c", &document(1, "c"), &[("i", "1".into())], 0).await.expect("put");
    views.clear("w").await.expect("clear");
    assert_eq!(views.get("w", "c").await.expect("get"), None);
    assert_eq!(views.count("w", "i", "", "~").await.expect("count"), 0);
    views.remove("v", "b").await.expect("remove");
    assert_eq!(keys(all).await, ["a"], "the other view stays");
    assert_eq!(views.get("v", "b").await.expect("get"), None);
}
