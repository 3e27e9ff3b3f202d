//! Contains the contract suite of the blob store: the tests that every adapter must pass.

use super::Blob;

/// Runs all tests on an empty blob store.
pub async fn check(blob: &dyn Blob) {
    assert_eq!(blob.get("archive/a").await.expect("get"), None);
    let large: Vec<u8> = (0..3_000_000_u32)
        .map(|byte| byte.to_le_bytes()[0])
        .collect();
    for bytes in [Vec::new(), b"one".to_vec(), large, "二".as_bytes().to_vec()] {
        blob.put("archive/a", bytes.clone()).await.expect("put");
        assert_eq!(
            blob.get("archive/a").await.expect("get"),
            Some(bytes),
            "the newest content"
        );
    }
    blob.put("archive/b", b"beside".to_vec())
        .await
        .expect("put");
    blob.put("other/a/1", b"below".to_vec()).await.expect("put");
    let listed = async |prefix: &str, most| {
        let mut keys = blob.list(prefix, most).await.expect("list");
        keys.sort();
        keys
    };
    assert_eq!(listed("archive/", 10).await, ["archive/a", "archive/b"]);
    assert_eq!(
        (listed("other/a/", 10).await, listed("nowhere/", 10).await),
        (vec!["other/a/1".to_owned()], Vec::new())
    );
    assert_eq!(
        listed("archive/", 1).await.len(),
        1,
        "the limit is respected"
    );
    blob.remove("archive/a").await.expect("remove");
    assert_eq!(
        blob.get("archive/a").await.expect("get"),
        None,
        "a removed blob does not exist"
    );
    blob.remove("archive/a")
        .await
        .expect("a repeated removal succeeds");
    assert_eq!(
        blob.get("archive/b").await.expect("get"),
        Some(b"beside".to_vec()),
        "other blobs stay"
    );
    blob.put("archive/a", b"again".to_vec()).await.expect("put");
    blob.remove("archive/b").await.expect("remove");
    assert_eq!(
        blob.get("archive/a").await.expect("get"),
        Some(b"again".to_vec())
    );
    assert_eq!(
        blob.get("archive").await.expect("get"),
        None,
        "a key is not a folder"
    );
    blob.put("archive/r", b"0123456789".to_vec())
        .await
        .expect("put");
    for (range, bytes) in [(0..3, "012"), (4..10, "456789")] {
        assert_eq!(
            blob.get_range("archive/r", range).await.expect("get"),
            Some(bytes.into())
        );
    }
    assert_eq!(
        blob.get_range("archive/none", 0..3).await.expect("get"),
        None
    );
    assert!(
        blob.free_bytes()
            .await
            .expect("free bytes")
            .is_none_or(|bytes| bytes > 0)
    );
    blob.remove("archive/r").await.expect("remove");
}
