//! What every keeper of blobs does alike.

use super::Blob;

/// Runs the whole suite against an empty keeper.
pub async fn check(blob: &dyn Blob) {
    assert_eq!(blob.get("archive/a").await.expect("get"), None);
    let large: Vec<u8> = (0..3_000_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    for bytes in [Vec::new(), b"one".to_vec(), large, "二".as_bytes().to_vec()] {
        blob.put("archive/a", bytes.clone()).await.expect("put");
        assert_eq!(blob.get("archive/a").await.expect("get"), Some(bytes), "the newest content");
    }
    blob.put("archive/b", b"beside".to_vec()).await.expect("put");
    blob.remove("archive/a").await.expect("remove");
    assert_eq!(blob.get("archive/a").await.expect("get"), None, "what is removed is gone");
    blob.remove("archive/a").await.expect("removing twice is removing once");
    assert_eq!(blob.get("archive/b").await.expect("get"), Some(b"beside".to_vec()), "and nothing else is");
    blob.put("archive/a", b"again".to_vec()).await.expect("put");
    blob.remove("archive/b").await.expect("remove");
    assert_eq!(blob.get("archive/a").await.expect("get"), Some(b"again".to_vec()));
    assert_eq!(blob.get("archive").await.expect("get"), None, "a key is not a folder");
}
