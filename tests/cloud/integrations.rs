//! This test checks what `ledgerdesk doctor --cloud` finds in the integrations of a desk in the cloud, and at the public
//! address of the desk.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use functions::app::itsm::integrations::Definitions;
use serde_json::json;
use tests::process::free_port;

use crate::TestDesk;
use crate::deployment::Deployment;
use crate::desk::until;
use crate::faults::denying_requests_with;
use crate::operators::{failing_doctor, finding};

/// The paths of all requests that the simulated external ITSM got.
type Paths = Arc<Mutex<Vec<String>>>;

/// Returns the response of a simulated external ITSM. The first segment of the path selects the behavior.
async fn answer(State(paths): State<Paths>, Path(path): Path<String>) -> Response {
    paths.lock().expect("no holder panics").push(path.clone());
    match path.split('/').next().unwrap_or_default() {
        "good" => Json(json!({
            "result": true, "code": 0, "message": "success", "data": { "is_passed": false },
        }))
        .into_response(),
        "wrong" => (StatusCode::UNAUTHORIZED, "no").into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_checks_integrations_and_the_callback_address() {
    let desk = TestDesk::open().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let paths = Paths::default();
    let router = Router::new()
        .route("/{*path}", any(answer))
        .with_state(paths.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    // The desk in the cloud keeps the data of earlier test runs. Each run therefore uses names of its own.
    let run = address.port();
    let name = |behavior: &str| format!("doctor_{behavior}_{run}");
    let keys = &desk.app.ledger.keys;
    for behavior in ["good", "wrong", "path", "denied"] {
        let secret = format!("integration/{}", name(behavior));
        keys.keep_secret(&secret, b"s3cret").await.expect("kept");
    }
    let definitions = ["good", "wrong", "path", "denied", "keyless"].map(|behavior| {
        format!(
            "[[integration]]\nname = \"{}\"\nkind = \"bk_itsm\"\nform = \"apigw\"\nurl = \"http://{address}/{behavior}\"\napp = \"bk_log\"\nuser = \"admin\"\n",
            name(behavior)
        )
    });
    let definitions =
        Definitions::read(&definitions.concat(), &|_| Err("no mapping".into())).expect("valid");
    definitions.store(&desk.app).await.expect("stored");
    until("the integrations are in the list", async || {
        let names = desk.app.configuration.integration_names().await.ok()?;
        let mut own = definitions.integrations.iter();
        own.all(|one| names.contains(&one.name)).then_some(())
    })
    .await;

    // These credentials may not read one of the secrets.
    let denied = denying_requests_with(&format!("secret|integration/{}", name("denied"))).await;
    let output_text = failing_doctor(
        &desk.cloud.names.prefix,
        &["--site", desk.base()],
        &[("AWS_ENDPOINT_URL_DYNAMODB", &denied)],
    );
    let accepted = format!(
        "ok     integration {}: http://{address}/good accepts the credentials",
        name("good")
    );
    assert!(output_text.contains(&accepted), "{output_text}");
    let keys_table = desk.cloud.names.table("keys");
    for (behavior, expected, next_step) in [
        (
            "wrong",
            format!("http://{address}/wrong rejects the account or the secret"),
            format!(
                "correct `app` and `user`, and store the secret with `ledgerdesk setup --cloud --secret integration/{}=FILE`",
                name("wrong")
            ),
        ),
        (
            "path",
            format!("http://{address}/path has no such path"),
            "correct `url` and `form` (esb or apigw)".to_owned(),
        ),
        (
            "denied",
            format!(
                "these credentials may not read the secret integration/{}",
                name("denied")
            ),
            format!("give these credentials dynamodb:GetItem on the table {keys_table}"),
        ),
        (
            "keyless",
            format!(
                "the secret integration/{} is not in the key store",
                name("keyless")
            ),
            format!(
                "run `ledgerdesk setup --cloud --secret integration/{}=FILE`",
                name("keyless")
            ),
        ),
    ] {
        let what = format!("integration {}:", name(behavior));
        let (found, advice) = finding(&output_text, &what);
        assert!(found.contains(&expected), "{found}");
        assert!(advice.starts_with(&next_step), "{advice}");
    }
    assert!(!output_text.contains("s3cret"), "{output_text}");
    let reached = format!(
        "ok     callback address: this desk answers at {}",
        desk.base()
    );
    assert!(output_text.contains(&reached), "{output_text}");
    // The external ITSM got only requests that change nothing.
    let paths = paths.lock().expect("no holder panics").clone();
    let (operations, others): (Vec<_>, Vec<_>) = paths
        .iter()
        .map(|path| path.split_once("/v2/itsm/").unwrap_or((path, "")))
        .partition(|(behavior, _)| *behavior == "good");
    let of_good: Vec<&str> = operations.iter().map(|(_, operation)| *operation).collect();
    assert_eq!(
        of_good,
        [
            "token/verify/",
            "get_tickets/",
            "get_ticket_info/",
            "ticket_approval_result/",
            "callback_failed_ticket/",
        ]
    );
    // If a system rejects the credentials or the path, its operations are not asked.
    assert!(
        others.len() >= 2
            && others
                .iter()
                .all(|(_, operation)| *operation == "token/verify/"),
        "{paths:?}"
    );

    let closed = format!("http://127.0.0.1:{}", free_port());
    let unreachable = failing_doctor(&desk.cloud.names.prefix, &["--site", &closed], &[]);
    let (found, advice) = finding(&unreachable, "callback address");
    assert!(found.contains(&closed), "{found}");
    assert!(
        advice.contains("must be an address at which other systems reach this desk"),
        "{advice}"
    );

    // Another desk in the same account has another secret.
    let other = Deployment::new().await;
    let output_text = failing_doctor(&other.prefix, &["--site", desk.base()], &[]);
    let (found, advice) = finding(&output_text, "callback address");
    assert!(
        found.contains("but rejects the secret of this desk"),
        "{found}"
    );
    assert!(
        advice.contains("the address belongs to another desk"),
        "{advice}"
    );
}
