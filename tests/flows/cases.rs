//! These tests check cases: records that external systems send to the desk. A new record becomes a
//! ticket, and newer content changes this ticket. The desk keeps content that it cannot read
//! (plans/external.md, section "Cases in").

use domain::itsm::case::{Case, Command};
use events::case::{Received, UpdateMark};
use events::{AppCode, Meta};
use functions::app::itsm::integrations::Definitions;
use infra::CommandEnvelope;
use infra::commit::hex;
use infra::ledger::{NoContext, command_id};
use serde_json::{Value, json};
use tests::{PLAIN, TRUSTED};

use crate::TestDesk;

const SOURCE: &str = r#"
    [[integration]]
    name = "crm"
    kind = "generic_json"
    senders = ["bk_log_search"]
    mapping = "crm.toml"
"#;
const MAPPING: &str = r#"
    record = "/id"
    created = "/created_at"
    update = { counter = "/revision" }
    service = { path = "/type", values = { incident = 19 } }
    requester = { path = "/caller", default = "lisi" }
    [fields]
    title = "/title"
    impact = { path = "/severity", values = { high = "1", low = "3" } }
    urgency = { value = "3" }
    GUZHANGLEIXING = { path = "/area", default = "DNS" }
    GUZHANGMIAOSHU = "/text"
"#;

struct Source {
    desk: TestDesk,
}

impl Source {
    async fn open() -> Self {
        let source = Self {
            desk: TestDesk::open().await,
        };
        source.map(MAPPING).await;
        source
    }

    /// Defines a source of cases (records of an external system). `mapping` contains the rules that convert a
    /// record of this source to a ticket.
    async fn map(&self, mapping: &str) {
        let definitions = Definitions::read(SOURCE, &|_| Ok(mapping.to_owned())).unwrap();
        definitions.store(&self.desk.app).await.unwrap();
        self.desk.followed().await;
    }

    async fn post(&self, records: Value) -> (u16, Value) {
        let body = json!({ "source": "crm", "cases": records });
        let answer = self.desk.v1("POST", "cases", "admin", body).await;
        self.desk.settle().await;
        answer
    }

    /// Sends one record to the desk. Returns the entry for this record from the member `results` of the
    /// response.
    async fn send(&self, record: Value) -> Value {
        let (status, answer) = self.post(json!([record])).await;
        assert_eq!(status, 200, "{answer}");
        answer["results"][0].clone()
    }

    async fn get(&self, path: &str) -> Value {
        let (status, shown) = self.desk.v1("GET", path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{shown}");
        shown
    }

    async fn fields(&self, ticket: &Value) -> Value {
        let shown = self
            .get(&format!("tickets/{}", ticket.as_str().unwrap()))
            .await;
        let fields = shown["fields"].as_array().expect("fields").iter();
        fields
            .map(|field| {
                let key = field["key"].as_str().unwrap().to_owned();
                (key, field["value"].clone())
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    async fn count(&self, path: &str) -> i64 {
        self.get(path).await["count"].as_i64().expect("a count")
    }
}

fn record() -> Value {
    json!({ "id": "CS-1042", "created_at": "2026-11-22T09:59:57+08:00", "revision": 1, "type": "incident",
            "title": "Login page is slow", "severity": "high", "text": "10 s", "caller": "zhangsan" })
}

/// Returns a copy of the example record. The members of `changes` replace the members of the record with the
/// same names.
fn with(changes: Value) -> Value {
    let mut record = record();
    for (member, value) in changes.as_object().expect("an object") {
        record[member] = value.clone();
    }
    record
}

#[tokio::test]
async fn a_record_becomes_a_ticket_with_two_clocks() {
    let source = Source::open().await;
    let result = source.send(record()).await;
    assert_eq!(result["outcome"], "opened", "{result}");
    let fields = source.fields(&result["ticket"]).await;
    assert_eq!(fields["title"], "Login page is slow");
    assert_eq!(
        (&fields["impact"], &fields["urgency"]),
        (&json!("1"), &json!("3"))
    );
    assert_eq!(fields["GUZHANGLEIXING"], "DNS");
    let sn = result["ticket"].as_str().unwrap();
    let ticket = source.get(&format!("tickets/{sn}")).await;
    assert_eq!(ticket["creator"], "zhangsan");
    assert_eq!(ticket["tag"], result["case"], "the tag names the case");
    let case = source
        .get(&format!("cases/{}", result["case"].as_str().unwrap()))
        .await;
    assert_eq!(case["created_at"], "2026-11-22T09:59:57.000+08:00");
    assert_eq!(case["received_at"], "2026-11-22T10:00:00.000+08:00");
    assert_eq!(case["source_lag_ms"], 3_000);
    assert_eq!(
        (&case["state"], &case["counter"]),
        (&json!("bound"), &json!(1))
    );
    assert_eq!(source.count(&format!("cases?ticket={sn}")).await, 1);
    assert_eq!(source.count("cases?source=crm").await, 1);
    assert_eq!(source.count("cases?source=erp").await, 0);
}

#[tokio::test]
async fn the_same_content_and_older_content_change_nothing() {
    let source = Source::open().await;
    let first = source.send(record()).await;
    let newer = source
        .send(with(json!({ "revision": 5, "text": "20 s" })))
        .await;
    assert_eq!(
        (&newer["outcome"], &newer["ticket"]),
        (&json!("updated"), &first["ticket"])
    );
    assert_eq!(
        source.fields(&first["ticket"]).await["GUZHANGMIAOSHU"],
        "20 s"
    );
    let head = source.desk.head().await;
    for (changes, outcome) in [
        (json!({ "revision": 5, "text": "20 s" }), "unchanged"),
        (json!({}), "older"),
        (json!({ "revision": 4, "text": "15 s" }), "older"),
    ] {
        let result = source.send(with(changes)).await;
        assert_eq!(result["outcome"], outcome, "{result}");
    }
    assert_eq!(source.desk.head().await, head, "no commit was added");
    assert_eq!(source.count("cases").await, 1);
}

#[tokio::test]
async fn an_update_changes_only_what_the_source_changed() {
    let source = Source::open().await;
    let first = source.send(record()).await;
    let sn = first["ticket"].as_str().unwrap();
    let edit = json!({ "fields": { "title": "Login page: database is slow" } });
    let path = format!("tickets/{sn}/edit");
    let (status, answer) = source.desk.v1("POST", &path, "zhangsan", edit).await;
    assert_eq!(status, 200, "{answer}");
    let result = source
        .send(with(json!({ "revision": 2, "severity": "low" })))
        .await;
    assert_eq!(result["outcome"], "updated", "{result}");
    let fields = source.fields(&first["ticket"]).await;
    assert_eq!(fields["impact"], "3");
    assert_eq!(fields["title"], "Login page: database is slow");
    // The record has a new value for the member `colour`, which the mapping does not use. The desk stores
    // the new content of the record and must not change the ticket.
    let version = source.get(&format!("tickets/{sn}")).await["version"].clone();
    let result = source
        .send(with(
            json!({ "revision": 3, "severity": "low", "colour": "red" }),
        ))
        .await;
    assert_eq!(result["outcome"], "updated", "{result}");
    assert_eq!(
        source.get(&format!("tickets/{sn}")).await["version"],
        version
    );
}

#[tokio::test]
async fn unreadable_content_is_kept_and_processed_after_a_correction() {
    let source = Source::open().await;
    let records = json!([
        with(json!({ "id": "A", "type": "printer" })),
        with(json!({ "id": "B", "severity": 5 })),
        with(json!({ "id": "C", "revision": "new" })),
        with(json!({ "id": "D", "title": null })),
        with(json!({ "id": "E", "created_at": "yesterday" })),
        with(json!({ "id": "F", "caller": "no such, user" })),
        { "title": "no id" },
        with(json!({ "id": "G" })),
    ]);
    let (status, answer) = source.post(records.clone()).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().unwrap();
    let fields: Vec<&Value> = results.iter().map(|result| &result["field"]).collect();
    let expected = ["/type", "/severity", "/revision", "title", "/created_at"];
    assert_eq!(
        fields[..5],
        expected
            .map(|field| json!(field))
            .iter()
            .collect::<Vec<_>>()[..]
    );
    assert_eq!(fields[6], "/id");
    for refused in &results[..7] {
        assert_eq!(refused["outcome"], "refused", "{refused}");
        assert!(
            refused["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty())
        );
    }
    assert_eq!(results[7]["outcome"], "opened", "{answer}");
    assert_eq!(source.count("cases?state=refused").await, 7);
    let commits = source.desk.head().await;
    assert_eq!(
        source.post(records).await.1["results"][0]["outcome"],
        "refused"
    );
    assert_eq!(
        source.desk.head().await,
        commits,
        "equal content is not stored again"
    );

    let printer = MAPPING.replace("{ incident = 19 }", "{ incident = 19, printer = 19 }");
    let corrected = printer.replace("record = \"/id\"", "record = \"/title\"");
    source.map(&corrected).await;
    let process = |result: &Value| format!("cases/{}/process", result["case"].as_str().unwrap());
    let (status, shown) = source
        .desk
        .v1("POST", &process(&results[6]), "admin", json!({}))
        .await;
    assert_eq!(
        (status, &shown["state"]),
        (200, &json!("identified")),
        "{shown}"
    );
    let other = source
        .get(&format!("cases/{}", shown["belongs_to"].as_str().unwrap()))
        .await;
    assert_eq!(
        (&other["record"], &other["field"]),
        (&json!("no id"), &json!("/revision"))
    );
    source.map(&printer).await;
    let (_, shown) = source
        .desk
        .v1("POST", &process(&results[0]), "admin", json!({}))
        .await;
    assert_eq!(shown["state"], "bound", "{shown}");
    assert_eq!(shown["mapping_version"], 3);
    let (status, problem) = source
        .desk
        .v1("POST", &process(&results[0]), "admin", json!({}))
        .await;
    assert_eq!(status, 409, "{problem}");
    let (status, _) = source
        .desk
        .v1("POST", &process(&results[1]), "lisi", json!({}))
        .await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn a_bound_case_keeps_the_version_of_its_mapping() {
    let source = Source::open().await;
    let first = source.send(record()).await;
    source
        .map(&MAPPING.replace("GUZHANGMIAOSHU = \"/text\"", "GUZHANGMIAOSHU = \"/title\""))
        .await;
    source
        .send(with(json!({ "revision": 2, "text": "30 s" })))
        .await;
    assert_eq!(
        source.fields(&first["ticket"]).await["GUZHANGMIAOSHU"],
        "30 s"
    );
    let other = source.send(with(json!({ "id": "CS-2" }))).await;
    assert_eq!(
        source.fields(&other["ticket"]).await["GUZHANGMIAOSHU"],
        "Login page is slow"
    );
}

#[tokio::test]
async fn an_update_of_an_ended_ticket_is_refused_and_visible() {
    let source = Source::open().await;
    let first = source.send(record()).await;
    let path = format!("tickets/{}/withdraw", first["ticket"].as_str().unwrap());
    let (status, answer) = source.desk.v1("POST", &path, "zhangsan", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let result = source
        .send(with(json!({ "revision": 2, "text": "again" })))
        .await;
    assert_eq!(result["outcome"], "refused", "{result}");
    assert_eq!(result["ticket"], first["ticket"]);
    assert_eq!(source.count("cases?state=refused").await, 1);
}

#[tokio::test]
async fn only_a_named_sender_may_send_cases() {
    let source = Source::open().await;
    let head = source.desk.head().await;
    let body = json!({ "source": "erp", "cases": [record()] });
    let (status, problem) = source.desk.v1("POST", "cases", "admin", body).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (404, &json!("/source")),
        "{problem}"
    );
    let definitions = SOURCE.replace(TRUSTED.0, PLAIN.0);
    let definitions = Definitions::read(&definitions, &|_| Ok(MAPPING.to_owned())).unwrap();
    definitions.store(&source.desk.app).await.unwrap();
    source.desk.followed().await;
    let (status, problem) = source.post(json!([record()])).await;
    assert_eq!(status, 403, "{problem}");
    assert_eq!(
        source.desk.head().await,
        head + 1,
        "only the new definition was stored"
    );
}

#[tokio::test]
async fn malformed_requests_name_the_member() {
    let source = Source::open().await;
    let many: Vec<Value> = (0..101).map(|id| with(json!({ "id": id }))).collect();
    for (body, field) in [
        (json!({ "cases": [record()] }), "/source"),
        (json!({ "source": "crm" }), "/cases"),
        (json!({ "source": "crm", "cases": [] }), "/cases"),
        (json!({ "source": "crm", "cases": many }), "/cases"),
        (
            json!({ "source": "crm", "cases": [record(), 5] }),
            "/cases/1",
        ),
        (
            json!({ "source": "crm", "cases": [record()], "x": 1 }),
            "/x",
        ),
    ] {
        let (status, problem) = source.desk.v1("POST", "cases", "admin", body).await;
        assert_eq!(status, 400, "{problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    assert_eq!(source.count("cases").await, 0);
}

#[tokio::test]
async fn concurrent_copies_of_a_record_open_one_ticket() {
    let source = Source::open().await;
    let copies = (0..8).map(|_| source.post(json!([record()])));
    let answers = futures_util::future::join_all(copies).await;
    let tickets: std::collections::BTreeSet<String> = answers
        .iter()
        .map(|(_, answer)| answer["results"][0]["ticket"].to_string())
        .collect();
    assert_eq!(tickets.len(), 1, "{answers:?}");
    assert_eq!(source.count("tickets?service=19").await, 1);
}

/// The records of one request are received at the same time, and the results have the order of the records. Records with
/// the same id are received one after the other.
#[tokio::test]
async fn many_records_of_one_request_keep_their_order() {
    let source = Source::open().await;
    let numbers = 0..20;
    let records: Vec<Value> = numbers
        .map(|number| {
            with(json!({ "id": format!("R-{number}"), "title": format!("Title {number}") }))
        })
        .collect();
    let (status, answer) = source.post(json!(records)).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 20);
    for (number, result) in results.iter().enumerate() {
        assert_eq!(
            (&result["outcome"], &result["record"]),
            (&json!("opened"), &json!(format!("R-{number}"))),
            "{result}"
        );
        let fields = source.fields(&result["ticket"]).await;
        assert_eq!(fields["title"], format!("Title {number}"));
    }
    assert_eq!(source.count("tickets?service=19").await, 20);

    let (_, answer) = source
        .post(json!([
            with(json!({ "id": "TWICE", "text": "10 s" })),
            with(json!({ "id": "TWICE", "revision": 2, "text": "20 s" })),
        ]))
        .await;
    let results = &answer["results"];
    assert_eq!(
        (&results[0]["outcome"], &results[1]["outcome"]),
        (&json!("opened"), &json!("updated")),
        "{answer}"
    );
    assert_eq!(results[0]["ticket"], results[1]["ticket"]);
    let fields = source.fields(&results[1]["ticket"]).await;
    assert_eq!(fields["GUZHANGMIAOSHU"], "20 s");
}

/// A new record costs the commits of the case, of its ticket with the idempotency key, and of their binding.
#[tokio::test]
async fn a_new_record_adds_four_commits() {
    let source = Source::open().await;
    // The first ticket of a day also takes a block of ticket numbers.
    source.send(record()).await;
    let head = source.desk.head().await;
    let body = json!({ "source": "crm", "cases": [with(json!({ "id": "CS-2" }))] });
    let (status, answer) = source.desk.v1("POST", "cases", "admin", body).await;
    assert_eq!(
        (status, &answer["results"][0]["outcome"]),
        (200, &json!("opened"))
    );
    assert_eq!(source.desk.head().await - head, 4);
    // The lists contain the ticket, because the response waits for its card.
    let sn = answer["results"][0]["ticket"].as_str().unwrap();
    let ticket = source.get(&format!("tickets/{sn}")).await;
    assert_eq!(ticket["tag"], answer["results"][0]["case"]);
    assert_eq!(source.count("tickets?service=19").await, 2);
}

#[tokio::test]
async fn the_content_is_removed_after_it_was_processed() {
    let source = Source::open().await;
    let opened = source.send(record()).await;
    let refused = source
        .send(with(json!({ "id": "R", "type": "printer" })))
        .await;
    let stored = async |result: &Value| {
        let case = result["case"].as_str().unwrap();
        let stream = format!("case-{case}");
        let ledger = &source.desk.app.ledger;
        let state = ledger.load::<Case>(&stream).await.unwrap().aggregate.0;
        let name = format!("case/{case}/{}", &state.digest[..16]);
        ledger.keys.secret(&name).await.unwrap().is_some()
    };
    assert!(!stored(&opened).await);
    assert!(stored(&refused).await);
}

/// Content without a readable version cannot be ordered. It therefore replaces neither the version nor the content of the
/// case, and waits apart for a correction.
#[tokio::test]
async fn older_content_after_unreadable_content_changes_nothing() {
    let source = Source::open().await;
    let first = source
        .send(with(json!({ "revision": 5, "title": "five" })))
        .await;
    for unreadable in [
        json!({ "revision": null, "title": "none" }),
        json!({ "revision": "x", "title": "text" }),
    ] {
        let refused = source.send(with(unreadable)).await;
        assert_eq!(
            (&refused["outcome"], &refused["field"], &refused["record"]),
            (&json!("refused"), &json!("/revision"), &json!("CS-1042")),
            "{refused}"
        );
        assert_ne!(refused["case"], first["case"]);
    }
    let older = source
        .send(with(json!({ "revision": 3, "title": "three" })))
        .await;
    assert_eq!(older["outcome"], "older", "{older}");
    assert_eq!(source.fields(&first["ticket"]).await["title"], "five");
    let case = source
        .get(&format!("cases/{}", first["case"].as_str().unwrap()))
        .await;
    assert_eq!(
        (&case["state"], &case["counter"]),
        (&json!("bound"), &json!(5))
    );
    // Only the last unreadable content waits for a correction.
    assert_eq!(source.count("cases?state=refused").await, 1);
    let newer = source
        .send(with(json!({ "revision": 6, "title": "six" })))
        .await;
    assert_eq!(newer["outcome"], "updated", "{newer}");
}

#[tokio::test]
async fn unreadable_content_does_not_replace_content_that_waits() {
    let source = Source::open().await;
    // The process ended after it had stored the content, and before it processed the content.
    let content = with(json!({ "revision": 5, "title": "five" })).to_string();
    let id = hex(&command_id(&["case", "crm", "CS-1042", ""]));
    let digest = "d".repeat(64);
    let ledger = &source.desk.app.ledger;
    let name = format!("case/{id}/{}", &digest[..16]);
    ledger
        .keys
        .keep_secret(&name, content.as_bytes())
        .await
        .unwrap();
    let now = ledger.clock.now();
    let received = Received {
        source: "crm".into(),
        record: "CS-1042".into(),
        mark: Some(UpdateMark::Counter(5)),
        created: None,
        received: now,
        status: String::new(),
        digest,
        app: AppCode(TRUSTED.0.into()),
        due: now.plus_ms(30_000),
    };
    let envelope = CommandEnvelope {
        stream: format!("case-{id}"),
        command_id: ledger.fresh_id(),
        meta: Meta::system("test", "test"),
    };
    let stored = ledger
        .execute::<Case>(&envelope, &Command::Receive(received), &NoContext)
        .await;
    assert!(stored.is_ok());
    let refused = source.send(with(json!({ "revision": null }))).await;
    assert_eq!(refused["outcome"], "refused", "{refused}");
    assert_eq!(source.count("cases?state=pending").await, 1);
    source.desk.clock.advance(30_000);
    source.desk.settle().await;
    let case = source.get(&format!("cases/{id}")).await;
    assert_eq!(case["state"], "bound", "{case}");
    assert_eq!(source.fields(&case["ticket"]).await["title"], "five");
}

#[tokio::test]
async fn an_unreadable_time_of_creation_does_not_hide_the_version() {
    let source = Source::open().await;
    let refused = source
        .send(with(json!({ "revision": 9, "created_at": "yesterday" })))
        .await;
    assert_eq!(
        (&refused["outcome"], &refused["field"]),
        (&json!("refused"), &json!("/created_at"))
    );
    let case = source
        .get(&format!("cases/{}", refused["case"].as_str().unwrap()))
        .await;
    assert_eq!(case["counter"], 9);
    for older in [
        json!({ "revision": 2 }),
        json!({ "revision": 3, "created_at": "yesterday" }),
    ] {
        let result = source.send(with(older)).await;
        assert_eq!(result["outcome"], "older", "{result}");
    }
    assert_eq!(source.count("tickets?service=19").await, 0);
}

/// The apart content of a record belongs to the case of the record as soon as its version can be read, and as soon as the
/// record received later content.
#[tokio::test]
async fn unreadable_content_is_processed_again_in_its_order() {
    let source = Source::open().await;
    let first = source.send(with(json!({ "revision": 5 }))).await;
    let sent = source
        .send(with(
            json!({ "revision": "none", "number": 7, "title": "seven" }),
        ))
        .await;
    let path = format!("cases/{}/process", sent["case"].as_str().unwrap());
    let process = async || {
        let (status, shown) = source.desk.v1("POST", &path, "admin", json!({})).await;
        source.desk.settle().await;
        assert_eq!(status, 200, "{shown}");
        shown
    };
    let again = process().await;
    assert_eq!(
        (&again["state"], &again["field"]),
        (&json!("refused"), &json!("/revision")),
        "{again}"
    );
    // The record accepts later content, so the unreadable content has no use any more.
    source.desk.clock.advance(1_000);
    let newer = source
        .send(with(json!({ "revision": 6, "title": "six" })))
        .await;
    assert_eq!(newer["outcome"], "updated", "{newer}");
    let shown = path.trim_end_matches("/process");
    let ended = source.get(shown).await;
    assert_eq!(
        (&ended["state"], &ended["belongs_to"], &ended["reason"]),
        (&json!("identified"), &first["case"], &Value::Null),
        "{ended}"
    );
    let (status, answer) = source.desk.v1("POST", &path, "admin", json!({})).await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(source.fields(&first["ticket"]).await["title"], "six");
    assert_eq!(source.count("cases?state=refused").await, 0);
}

/// A refusal ends only because of content that arrived later and was accepted.
#[tokio::test]
async fn accepted_content_ends_an_earlier_refusal_of_the_same_record() {
    let source = Source::open().await;
    source.send(with(json!({ "revision": 5 }))).await;
    source.desk.clock.advance(1_000);
    let apart = source
        .send(with(json!({ "revision": null, "title": "none" })))
        .await;
    assert_eq!(apart["outcome"], "refused", "{apart}");
    source.desk.clock.advance(1_000);
    // Older content, content that is refused, and content of another record end nothing.
    for (other, outcome) in [
        (json!({ "revision": 3, "title": "three" }), "older"),
        (
            json!({ "revision": 6, "created_at": "yesterday" }),
            "refused",
        ),
        (json!({ "id": "CS-2", "revision": 7 }), "opened"),
    ] {
        let result = source.send(with(other)).await;
        assert_eq!(result["outcome"], outcome, "{result}");
    }
    assert_eq!(source.count("cases?state=refused").await, 2);
    let accepted = source
        .send(with(json!({ "revision": 8, "title": "eight" })))
        .await;
    assert_eq!(accepted["outcome"], "updated", "{accepted}");
    assert_eq!(source.count("cases?state=refused").await, 0);
    // Content that arrives later waits for a correction again.
    source.desk.clock.advance(1_000);
    let later = source
        .send(with(json!({ "revision": null, "title": "later" })))
        .await;
    assert_eq!(
        (&later["outcome"], &later["case"]),
        (&json!("refused"), &apart["case"])
    );
    assert_eq!(source.count("cases?state=refused").await, 1);
}

/// A record that is too large is refused and visible, and the other records of the request are received.
#[tokio::test]
async fn a_large_record_has_its_own_result() {
    let source = Source::open().await;
    let large = with(json!({ "id": "LARGE", "text": "x".repeat(64 << 10) }));
    let records = json!([record(), large, with(json!({ "id": "CS-2" }))]);
    let (status, answer) = source.post(records.clone()).await;
    assert_eq!(status, 200, "{answer}");
    let outcomes = |answer: &Value| -> Vec<Value> {
        let results = answer["results"].as_array().expect("results").iter();
        results.map(|result| result["outcome"].clone()).collect()
    };
    assert_eq!(outcomes(&answer), ["opened", "refused", "opened"]);
    let refused = &answer["results"][1];
    assert_eq!(refused["record"], "LARGE");
    let reason = refused["reason"].as_str().expect("a reason");
    assert!(reason.contains("at most 65536 are allowed"), "{reason}");
    assert_eq!(source.count("cases?state=refused").await, 1);
    let head = source.desk.head().await;
    let (_, answer) = source.post(records).await;
    assert_eq!(outcomes(&answer), ["unchanged", "refused", "unchanged"]);
    assert_eq!(source.desk.head().await, head, "nothing is stored again");
    // The record becomes smaller.
    let smaller = source
        .send(with(json!({ "id": "LARGE", "revision": 2 })))
        .await;
    assert_eq!(smaller["outcome"], "opened", "{smaller}");
    assert_eq!(smaller["case"], refused["case"]);
    assert_eq!(source.count("cases?state=refused").await, 0);
    // A later large content does not replace the content of the open case.
    let large = json!({ "id": "LARGE", "revision": 3, "text": "y".repeat(64 << 10) });
    let again = source.send(with(large)).await;
    assert_eq!(again["outcome"], "refused", "{again}");
    assert_ne!(again["case"], refused["case"]);
    let older = json!({ "id": "LARGE", "revision": 1, "text": "z".repeat(64 << 10) });
    assert_eq!(source.send(with(older)).await["outcome"], "older");
    let newer = source
        .send(with(
            json!({ "id": "LARGE", "revision": 4, "title": "four" }),
        ))
        .await;
    assert_eq!(newer["outcome"], "updated", "{newer}");
}
