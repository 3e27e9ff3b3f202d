//! Contains the contract suite of the views: the tests that every adapter of the views must pass.

use std::sync::Arc;

use super::{Counted, Document, Range, RowFilter, Views};

fn document(sequence: i64, text: &str) -> Document {
    Document {
        sequence,
        body: text.as_bytes().to_vec(),
    }
}

/// Runs all tests on an empty store of views.
pub async fn check(views: &dyn Views) {
    let put = |key: &'static str, sequence, expected, rows: Vec<(&'static str, String)>| async move {
        views
            .put("v", key, &document(sequence, key), &rows, expected)
            .await
            .expect("put")
    };
    let all = Range {
        view: "v",
        index: "i",
        from: "",
        to: "~",
        descending: false,
        skip: 0,
        limit: 10,
    };
    let keys = |range| async move {
        views
            .range(range)
            .await
            .expect("range")
            .into_iter()
            .map(|entry| entry.key)
            .collect::<Vec<_>>()
    };

    assert!(
        put(
            "a",
            2,
            0,
            vec![("i", "1".into()), ("i", "3".into()), ("j", "9".into())]
        )
        .await
    );
    assert!(!put("a", 3, 0, vec![]).await, "the document already exists");
    assert!(!put("a", 3, 1, vec![]).await);
    assert!(put("b", 1, 0, vec![("i", "2".into())]).await);
    let read = views.get_all(&[("v", "b"), ("v", "missing"), ("other", "a"), ("v", "a")]);
    let sequences: Vec<Option<i64>> = read
        .await
        .expect("documents")
        .into_iter()
        .map(|document| document.map(|document| document.sequence))
        .collect();
    assert_eq!(
        sequences,
        [Some(1), None, None, Some(2)],
        "in the order of the keys"
    );
    assert_eq!(views.get_all(&[]).await.expect("no documents"), []);
    assert_eq!(
        keys(all).await,
        ["a", "b", "a"],
        "an index can contain a key many times"
    );
    assert_eq!(
        keys(Range {
            descending: true,
            limit: 1,
            ..all
        })
        .await,
        ["a"]
    );
    assert_eq!(
        keys(Range {
            skip: 1,
            limit: 1,
            ..all
        })
        .await,
        ["b"]
    );
    assert_eq!(
        keys(Range {
            from: "2",
            to: "3",
            ..all
        })
        .await,
        ["b"]
    );
    assert_eq!(
        keys(Range {
            from: "1\u{1}",
            to: "2\u{1}",
            ..all
        })
        .await,
        ["b"],
        "an end may be any text"
    );
    assert_eq!(views.count("v", "i", "", "~").await.expect("count"), 3);

    assert!(
        put("a", 5, 2, vec![("i", "4".into())]).await,
        "old rows are removed with the old document"
    );
    assert_eq!(keys(all).await, ["b", "a"]);
    assert_eq!(views.count("v", "j", "", "~").await.expect("count"), 0);
    assert_eq!(
        views.get("v", "a").await.expect("get"),
        Some(document(5, "a"))
    );
    assert_eq!(views.get("w", "a").await.expect("get"), None);
    let scanned = views.scan("v", "a", 10).await.expect("scan");
    assert_eq!(scanned, [("b".to_owned(), document(1, "b"))]);

    let facets = async || {
        views
            .range(all)
            .await
            .expect("range")
            .into_iter()
            .map(|entry| entry.facets)
            .collect::<Vec<_>>()
    };
    assert_eq!(facets().await, ["", ""]);
    let row = [("i", "4".to_owned())];
    assert!(
        views
            .put_with("v", "a", &document(6, "a"), &row, "red", 5)
            .await
            .expect("put"),
        "a later put sets the facets"
    );
    assert_eq!(facets().await, ["", "red"]);
    assert!(
        views
            .put_with("v", "a", &document(7, "a"), &row, "blue", 6)
            .await
            .expect("put"),
        "unchanged rows get the facets of the last put"
    );
    assert_eq!(facets().await, ["", "blue"]);
    assert!(
        views
            .put_with("v", "a", &document(8, "a"), &row, "blue\tits own", 7)
            .await
            .expect("put")
    );
    assert_eq!(
        facets().await,
        ["", "blue\tits own"],
        "the two parts of facets are read as they were put"
    );

    views
        .put("w", "c", &document(1, "c"), &[("i", "1".into())], 0)
        .await
        .expect("put");
    views.clear("w").await.expect("clear");
    assert_eq!(views.get("w", "c").await.expect("get"), None);
    assert_eq!(views.count("w", "i", "", "~").await.expect("count"), 0);
    views.remove("v", "b").await.expect("remove");
    assert_eq!(keys(all).await, ["a"], "the other view stays");
    assert_eq!(views.get("v", "b").await.expect("get"), None);
    pages(views).await;
}

/// The index that has row counters in these tests. An adapter with row counters must be opened with
/// this constant. Otherwise, the tests do not check the counters of the adapter.
pub const COUNTED: &Counted = &[("t", "creator")];

/// The facets (filter texts) of the test rows.
const COLOURS: [&str; 5] = ["red", "green", "blue", "", "violet"];

/// Checks pages and counts of a list that is sorted by time. The test uses many different ranges,
/// and skips different numbers of rows. Each result must be equal to the result that the test
/// computes from a plain vector of all rows.
async fn pages(views: &dyn Views) {
    let mut rng: u64 = 7;
    let mut below = |bound: u64| {
        rng = rng
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (rng >> 33) % bound
    };
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut colours: std::collections::HashMap<String, &str> = std::collections::HashMap::new();
    let begin = 1_795_000_000_000_u64;
    for number in 0..120_u64 {
        // One third of the rows has times within 900 ms, one third within 90 seconds, and one third
        // within about six days.
        let at = begin
            + [below(900), below(90_000), below(500_000_000)]
                [usize::try_from(number % 3).unwrap_or_default()];
        let (key, value) = (
            format!("k{number:03}"),
            format!(
                "{}|{at:016}",
                ["p", "q"][usize::try_from(below(2)).unwrap_or_default()]
            ),
        );
        let colour = COLOURS[usize::try_from(below(4)).unwrap_or_default()];
        let row = [("creator", value.clone())];
        assert!(
            views
                .put_with(
                    "t",
                    &key,
                    &document(1, &key),
                    &row,
                    &format!("{colour}\t{number}"),
                    0
                )
                .await
                .expect("put")
        );
        colours.insert(key.clone(), colour);
        rows.push((value, key));
    }
    // The rows 0, 20, 40 and so on get a new value. The rows 10, 30, 50 and so on are removed.
    for number in (0..120).step_by(10) {
        let key = format!("k{number:03}");
        rows.retain(|(_, known)| *known != key);
        if number % 20 == 0 {
            let value = format!("p|{:016}", begin + below(500_000_000));
            assert!(
                views
                    .put_with(
                        "t",
                        &key,
                        &document(2, &key),
                        &[("creator", value.clone())],
                        "red\t",
                        1
                    )
                    .await
                    .expect("put")
            );
            colours.insert(key.clone(), "red");
            rows.push((value, key));
        } else {
            views.remove("t", &key).await.expect("remove");
        }
    }
    // The rows 5, 15, 25 and so on keep their values, but get new facets (filter texts).
    for number in (5..120).step_by(10) {
        let key = format!("k{number:03}");
        let row = rows
            .iter()
            .find(|(_, known)| *known == key)
            .map(|(value, _)| [("creator", value.clone())])
            .expect("a row");
        assert!(
            views
                .put_with("t", &key, &document(2, &key), &row, "violet\t", 1)
                .await
                .expect("put")
        );
        colours.insert(key, "violet");
    }
    rows.sort();
    for round in 0..200_u64 {
        let cut = |at: u64| format!("p|{:016}", begin + at);
        let (from, to) = match round % 8 {
            // The following two ranges contain all rows of one owner. The owner is the text before
            // `|`.
            0 => ("q|".to_owned(), "q|~".to_owned()),
            1 => ("p|".to_owned(), "p|~".to_owned()),
            2 => (cut(below(1_000)), cut(1_000 + below(499_000_000))),
            3 => (cut(below(80_000)), "p|~".to_owned()),
            // In each of the following ranges, the start or the end is not exactly a time. For
            // example, it is an incomplete time, or a time with additional text.
            4 => (
                "p|".to_owned(),
                format!(
                    "{}\u{1}",
                    rows[usize::try_from(below(rows.len() as u64)).unwrap_or_default()].0
                ),
            ),
            5 => (
                format!("{}\u{1}", cut(below(90_000))),
                format!("{}~", cut(90_000 + below(400_000_000))),
            ),
            6 => (
                cut(below(90_000))[..14].to_owned(),
                format!("{}x", &cut(90_000 + below(400_000_000))[..12]),
            ),
            _ => (
                rows[usize::try_from(below(rows.len() as u64)).unwrap_or_default()]
                    .0
                    .clone(),
                "p|~".to_owned(),
            ),
        };
        // All values of a range must have the same owner (the text before `|`). The test skips
        // ranges with two owners. It also skips empty ranges.
        if from >= to || from.as_bytes()[0] != to.as_bytes()[0] {
            continue;
        }
        let mut expected: Vec<_> = rows
            .iter()
            .filter(|(value, _)| *value >= from && *value < to)
            .cloned()
            .collect();
        assert_eq!(
            views
                .count("t", "creator", &from, &to)
                .await
                .expect("count"),
            expected.len() as u64,
            "from {from} to {to}"
        );
        let descending = round % 2 == 0;
        if descending {
            expected.reverse();
        }
        let (skip, limit) = (
            usize::try_from(below(expected.len() as u64 + 2)).unwrap_or_default(),
            7,
        );
        let page = views
            .range(Range {
                view: "t",
                index: "creator",
                from: &from,
                to: &to,
                descending,
                skip,
                limit,
            })
            .await
            .expect("range");
        let page: Vec<_> = page
            .into_iter()
            .map(|entry| (entry.value, entry.key))
            .collect();
        assert_eq!(
            page,
            expected
                .iter()
                .skip(skip)
                .take(limit)
                .cloned()
                .collect::<Vec<_>>(),
            "from {from} to {to}, {skip} skipped"
        );
        // The test reads the range from `from` to `to` with a filter by facets (filter texts). The
        // result must contain only the rows that pass the filter.
        let chosen: Vec<&str> = COLOURS.iter().copied().filter(|_| below(2) == 0).collect();
        let fitting: Vec<_> = expected
            .iter()
            .filter(|(_, key)| chosen.contains(&colours[key]))
            .cloned()
            .collect();
        let (skip, limit) = (
            usize::try_from(below(fitting.len() as u64 + 2)).unwrap_or_default(),
            3,
        );
        let range = Range {
            view: "t",
            index: "creator",
            from: &from,
            to: &to,
            descending,
            skip,
            limit,
        };
        let (count, page) = views
            .page_where(range, &|colour| chosen.contains(&colour))
            .await
            .expect("a page");
        assert_eq!(
            count,
            fitting.len() as u64,
            "{chosen:?} from {from} to {to}"
        );
        let page: Vec<_> = page
            .into_iter()
            .map(|entry| (entry.value, entry.key))
            .collect();
        assert_eq!(
            page,
            fitting
                .iter()
                .skip(skip)
                .take(limit)
                .cloned()
                .collect::<Vec<_>>(),
            "{chosen:?} from {from} to {to}, {skip} skipped"
        );
        // The same filter, applied row by row. With the last argument, the function may stop at the
        // end of the page.
        let shared: Vec<String> = chosen.iter().map(ToString::to_string).collect();
        let filter = RowFilter {
            shared: Arc::new(move |colour| shared.iter().any(|chosen| chosen == colour)),
            own: Arc::new(|_| true),
        };
        for until_full in [false, true] {
            let (count, rows) = views
                .rows_where(range, &filter, until_full)
                .await
                .expect("rows");
            assert!(
                if until_full {
                    count <= fitting.len() as u64
                } else {
                    count == fitting.len() as u64
                },
                "{count} of {chosen:?} from {from} to {to}"
            );
            let rows: Vec<_> = rows
                .into_iter()
                .map(|entry| (entry.value, entry.key))
                .collect();
            assert_eq!(rows, page, "{chosen:?} from {from} to {to}, {skip} skipped");
        }
        // The test reads the range from `from` to `to` page by page. Each page starts after the
        // last entry of the previous page. Together, the pages must contain all rows of the range.
        let range = Range {
            view: "t",
            index: "creator",
            from: &from,
            to: &to,
            descending,
            skip: 0,
            limit,
        };
        let (mut walked, mut last) = (Vec::new(), None);
        loop {
            let page = views
                .range_after(range, last.as_ref())
                .await
                .expect("range");
            let Some(end) = page.last() else { break };
            last = Some(end.clone());
            walked.extend(page.into_iter().map(|entry| (entry.value, entry.key)));
        }
        assert_eq!(walked, expected, "from {from} to {to}");
    }
}
