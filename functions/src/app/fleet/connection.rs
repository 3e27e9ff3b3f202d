//! Stores which subscriptions to messages of robots do not work, so that `ledgerdesk doctor` can show them. The command is
//! another process than the desk, so it cannot see the connection of the desk to the broker.

use infra::Error;
use infra::fleet::Refused;
use infra::views::{Document, Views};

/// The name of the view (a stored table) with the state of the connection to the broker. The view has one document.
const CONNECTION: &str = "robot_connection";
const REFUSED: &str = "refused";

/// Stores the subscriptions that do not work, and replaces the stored list. The desk stores an empty list at its start,
/// because the list of an earlier process does not count. Only the process of the desk calls this function.
pub async fn remember_refused(views: &dyn Views, refused: &[Refused]) -> Result<(), Error> {
    let document = views.get(CONNECTION, REFUSED).await?;
    if read(document.as_ref()) == refused {
        return Ok(());
    }
    let sequence = document.map_or(0, |document| document.sequence);
    let document = Document {
        sequence: sequence + 1,
        body: serde_json::to_vec(refused).expect("a list of texts becomes JSON"),
    };
    let put = views.put(CONNECTION, REFUSED, &document, &[], sequence);
    put.await.map(drop)
}

/// Returns the subscriptions that do not work, as the desk has stored them last. The list counts only while the desk runs.
pub async fn refused(views: &dyn Views) -> Result<Vec<Refused>, Error> {
    let document = views.get(CONNECTION, REFUSED).await?;
    Ok(read(document.as_ref()))
}

/// Returns the list in a document. The list is empty if the document is missing, or if another version of the desk has
/// stored it in another format.
fn read(document: Option<&Document>) -> Vec<Refused> {
    let list = document.and_then(|document| serde_json::from_slice(&document.body).ok());
    list.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use infra::views::memory::Memory;

    use super::*;

    #[tokio::test]
    async fn the_newest_list_of_refused_subscriptions_is_stored() {
        let views = Memory::default();
        assert!(refused(&views).await.expect("read").is_empty());
        let one = |kind: &str| Refused {
            filter: format!("uagv/+/+/+/{kind}"),
            reason: "refused".into(),
        };
        let lists = [
            vec![one("state")],
            vec![one("state"), one("factsheet")],
            vec![one("state"), one("factsheet")],
            Vec::new(),
            vec![one("connection")],
        ];
        for list in lists {
            remember_refused(&views, &list).await.expect("stored");
            assert_eq!(refused(&views).await.expect("read"), list);
        }
    }
}
