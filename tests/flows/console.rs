//! These tests send HTTP requests to the pages of the web console, without a browser. They check sessions, invitations,
//! forms and permissions. The tests in `tests/console` use a browser.

use axum::body::Body;
use axum::http::{Request, header};
use axum::response::Response;
use events::Meta;
use functions::app::logins;
use serde_json::{Value, json};
use tests::{TestDesk, approval_request};

/// The password that the tests set for each person who logs in to the console.
const PASSWORD: &str = "a long password";
const HOUR_MS: i64 = 3_600_000;

/// Simulates a browser without JavaScript. The simulated browser stores cookies and does not follow redirects.
pub(crate) struct Browser<'a> {
    desk: &'a TestDesk,
    cookies: Vec<(String, String)>,
    language: &'static str,
}

/// The parts of an HTTP response that the tests check.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: String,
    cookie: String,
    pub(crate) text: String,
}

impl<'a> Browser<'a> {
    fn new(desk: &'a TestDesk) -> Self {
        Self {
            desk,
            cookies: Vec::new(),
            language: "en",
        }
    }

    async fn read(&mut self, response: Response) -> Page {
        let header = |name: header::HeaderName| {
            let value = response.headers().get(name);
            value
                .map(|value| value.to_str().expect("text").to_owned())
                .unwrap_or_default()
        };
        let cookie = header(header::SET_COOKIE);
        if let Some((name, rest)) = cookie.split_once('=') {
            let value = rest.split(';').next().unwrap_or_default();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let (status, location) = (response.status().as_u16(), header(header::LOCATION));
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await;
        Page {
            status,
            location,
            cookie,
            text: String::from_utf8(bytes.expect("a body").to_vec()).expect("text"),
        }
    }

    fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "desk")
            .header(header::COOKIE, cookies.join("; "))
            .header(header::ACCEPT_LANGUAGE, self.language)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        let request = self
            .request("GET", path)
            .body(Body::empty())
            .expect("valid");
        let response = self.desk.answer(request).await;
        self.read(response).await
    }

    /// Requests a URL path with the `Accept` header of a browser, which requests an HTML page.
    pub(crate) async fn open(&mut self, path: &str) -> Page {
        let request = self
            .request("GET", path)
            .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .body(Body::empty())
            .expect("valid");
        let response = self.desk.answer(request).await;
        self.read(response).await
    }

    async fn post_with(&mut self, path: &str, origin: &str, fields: &[(&str, &str)]) -> Page {
        let body = serde_urlencoded::to_string(fields).expect("a form");
        let request = self
            .request("POST", path)
            .header(header::ORIGIN, origin)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .expect("valid");
        let response = self.desk.answer(request).await;
        self.read(response).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.post_with(path, "http://desk", fields).await
    }

    async fn log_in(&mut self, user: &str, password: &str) -> Page {
        let fields = [("user", user), ("password", password), ("next", "/")];
        self.post("/login", &fields).await
    }
}

/// Returns the value of the hidden field `name` in the HTML page `page`. The field is in the form that sends its data
/// to the path `action`.
pub(crate) fn hidden(page: &str, action: &str, name: &str) -> String {
    let form = page
        .split("<form")
        .find(|form| form.contains(&format!("action=\"{action}\"")))
        .unwrap_or_else(|| panic!("no form for {action} in {page}"));
    let field = form
        .split(&format!("name=\"{name}\" value=\""))
        .nth(1)
        .unwrap_or_else(|| panic!("no field {name} in {form}"));
    field.split('"').next().unwrap_or_default().to_owned()
}

/// Invites a person, and sets the password of this person with the link in the invitation.
async fn give_password(desk: &TestDesk, user: &str) {
    let link = logins::invite(&desk.app, user, Meta::system("test", "test"))
        .await
        .expect("an invitation");
    let mut browser = Browser::new(desk);
    let fields = [("password", PASSWORD), ("again", PASSWORD)];
    let page = browser.post(&link.path, &fields).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (303, "/login?welcome=1"),
        "{}",
        page.text
    );
}

pub(crate) async fn logged_in<'a>(desk: &'a TestDesk, user: &str) -> Browser<'a> {
    give_password(desk, user).await;
    let mut browser = Browser::new(desk);
    let page = browser.log_in(user, PASSWORD).await;
    assert_eq!((page.status, page.location.as_str()), (303, "/"));
    browser
}

/// Opens a ticket that waits for the votes of zhangsan and wangwu. Returns the ticket number.
async fn ticket(desk: &TestDesk) -> String {
    let opened = desk.must("create_ticket", approval_request()).await;
    opened["sn"].as_str().expect("a number").to_owned()
}

async fn votes(desk: &TestDesk, sn: &str) -> usize {
    let story = desk.story(sn).await;
    story
        .iter()
        .filter(|kind| **kind == "ticket.vote_cast")
        .count()
}

#[tokio::test]
async fn an_invited_person_sets_a_password_once_and_logs_in() {
    let desk = TestDesk::open().await;
    let (status, invited) = desk
        .v1("POST", "people/lisi/invitation", "admin", json!({}))
        .await;
    assert_eq!(status, 200, "{invited}");
    let link = invited["link"].as_str().expect("a link");
    let path = link
        .strip_prefix(&desk.app.settings.site)
        .expect("a link of the site");
    let mut browser = Browser::new(&desk);
    let page = browser.get(path).await;
    assert!(
        page.status == 200 && page.text.contains("value=\"lisi\""),
        "{}",
        page.text
    );
    for (password, again, problem) in [
        ("short", "short", "too short"),
        ("my lisi password", "my lisi password", "user name"),
        (PASSWORD, "another password", "not equal"),
    ] {
        let page = browser
            .post(path, &[("password", password), ("again", again)])
            .await;
        assert!(
            page.status == 400 && page.text.contains(problem),
            "{}",
            page.text
        );
    }
    let fields = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.post(path, &fields).await.status, 303);
    for page in [browser.post(path, &fields).await, browser.get(path).await] {
        assert!(
            page.status == 404 && page.text.contains("not valid"),
            "{}",
            page.text
        );
    }
    let page = browser.log_in("lisi", PASSWORD).await;
    assert_eq!(page.status, 303);
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(page.cookie.contains(part), "{}", page.cookie);
    }
    let home = browser.get("/").await;
    assert!(
        home.status == 200 && home.text.contains("My work"),
        "{}",
        home.text
    );
    // Only superusers may invite people. The desk must therefore reject an invitation by the user lisi.
    let (status, _) = desk
        .v1("POST", "people/wangwu/invitation", "lisi", json!({}))
        .await;
    assert_eq!(status, 403);
    // The ledger must contain neither the password nor the secret code in the session cookie.
    let code = browser
        .cookies
        .iter()
        .find(|(name, _)| name == "ledgerdesk_session");
    let code = code
        .and_then(|(_, value)| value.split('.').nth(1))
        .expect("a code")
        .to_owned();
    let person = desk.app.people.pid("lisi").await.expect("a person");
    let stream = domain::account::stream(&person);
    let commits = desk
        .app
        .ledger
        .store
        .forward(&stream, 1, 100)
        .await
        .expect("commits");
    assert!(!commits.is_empty());
    for commit in commits {
        let body = String::from_utf8_lossy(&commit.body).into_owned();
        assert!(!body.contains(&code) && !body.contains(PASSWORD), "{body}");
    }
}

#[tokio::test]
async fn wrong_passwords_lock_an_account_for_a_quarter_of_an_hour() {
    let desk = TestDesk::open().await;
    give_password(&desk, "lisi").await;
    let mut browser = Browser::new(&desk);
    let unknown = browser.log_in("unknown_user", PASSWORD).await;
    let mut wrong = Page {
        status: 0,
        location: String::new(),
        cookie: String::new(),
        text: String::new(),
    };
    for _ in 0..5 {
        wrong = browser.log_in("lisi", "a wrong password").await;
        assert_eq!((wrong.status, wrong.cookie.as_str()), (403, ""));
    }
    // After a failed login, the login page must be the same for a wrong password, an unknown user and a locked account.
    let locked = browser.log_in("lisi", PASSWORD).await;
    assert_eq!(locked.status, 403);
    assert_eq!(locked.text, wrong.text);
    assert_eq!(unknown.text.replace("unknown_user", "lisi"), wrong.text);
    desk.clock.advance(HOUR_MS / 4);
    assert_eq!(browser.log_in("lisi", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn a_session_ends_by_logout_time_and_a_closed_account() {
    let desk = TestDesk::open().await;
    let mut browser = logged_in(&desk, "lisi").await;
    let home = browser.get("/").await;
    let stolen = browser.cookies.clone();
    // This request to log out contains a wrong form code. (The form code is a secret in each form of the session.) The
    // session must not end.
    assert_eq!(
        browser
            .post("/logout", &[("form_code", "wrong")])
            .await
            .status,
        400
    );
    assert_eq!(browser.get("/").await.text.matches("lisi").count(), 1);
    let code = hidden(&home.text, "/logout", "form_code");
    assert_eq!(
        browser
            .post("/logout", &[("form_code", &code)])
            .await
            .status,
        303
    );
    let mut thief = Browser {
        cookies: stolen,
        ..Browser::new(&desk)
    };
    assert_eq!(
        thief.get("/?list=created").await.location,
        "/login?next=%2F%3Flist%3Dcreated"
    );

    // If a person uses a session, the session stays valid for longer, but not after its maximum duration. A session
    // that the person does not use ends earlier.
    let mut used = Browser::new(&desk);
    used.log_in("lisi", PASSWORD).await;
    let mut unused = Browser::new(&desk);
    unused.log_in("lisi", PASSWORD).await;
    for hour in 1..12 {
        desk.clock.advance(HOUR_MS);
        assert_eq!(
            used.get("/").await.text.matches("Log out").count(),
            1,
            "{hour}"
        );
    }
    assert_eq!(unused.get("/").await.text.matches("Log out").count(), 0);
    desk.clock.advance(HOUR_MS);
    assert_eq!(used.get("/").await.text.matches("Log out").count(), 0);

    used.log_in("lisi", PASSWORD).await;
    let (status, _) = desk
        .v1("DELETE", "people/lisi/account", "lisi", Value::Null)
        .await;
    assert_eq!(status, 403);
    let (status, _) = desk
        .v1("DELETE", "people/lisi/account", "admin", Value::Null)
        .await;
    assert_eq!(status, 204);
    let (status, _) = desk
        .v1("DELETE", "people/lisi/account", "admin", Value::Null)
        .await;
    assert_eq!(status, 404);
    assert_eq!(used.get("/").await.text.matches("Log out").count(), 0);
    assert_eq!(used.log_in("lisi", PASSWORD).await.status, 403);
}

#[tokio::test]
async fn a_vote_counts_only_for_the_content_that_the_person_saw() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk).await;
    let mut browser = logged_in(&desk, "zhangsan").await;
    let (path, action) = (format!("/tickets/{sn}"), format!("/tickets/{sn}/decide"));
    let page = browser.get(&path).await;
    assert!(
        page.text.contains("申请堡垒机权限") && page.text.contains("<svg"),
        "{}",
        page.text
    );
    let fields = |page: &str| {
        ["form_code", "node", "once", "seen"].map(|name| (name, hidden(page, &action, name)))
    };
    let form = |fields: &[(&'static str, String)], decision: &'static str| {
        let mut all: Vec<(&str, String)> = fields.to_vec();
        all.push(("decision", decision.to_owned()));
        all.push(("reason", "清单已核对 <b>".to_owned()));
        all
    };
    let send = async |browser: &mut Browser<'_>, fields: Vec<(&str, String)>| {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        browser.post(&action, &fields).await
    };
    // The content of the ticket changes after zhangsan has opened the page. The desk must reject the vote, because
    // zhangsan has not read the new content.
    let old = fields(&page.text);
    desk.operate(
        &json!(sn),
        "edit",
        "admin",
        json!({ "fields": { "apply_content": "按另一份清单开通" } }),
    )
    .await;
    let changed = send(&mut browser, form(&old, "approve")).await;
    assert_eq!((changed.status, votes(&desk, &sn).await), (409, 0));
    assert!(
        changed.text.contains("content of the ticket changed"),
        "{}",
        changed.text
    );
    assert!(
        changed.text.contains("清单已核对 &#60;b&#62;"),
        "the reason stays: {}",
        changed.text
    );
    // A new remark does not change the content on which people vote. After this remark, a vote with the data of the
    // open page must still be valid.
    let new = fields(&changed.text);
    let remark = format!("/tickets/{sn}/remark");
    let once = hidden(&changed.text, &remark, "once");
    let text = [
        ("form_code", new[0].1.as_str()),
        ("once", &once),
        ("text", "加急"),
    ];
    assert_eq!(browser.post(&remark, &text).await.status, 303);
    let mut other = new.clone();
    other[0].1 = "wrong".into();
    assert_eq!(
        send(&mut browser, form(&other, "approve")).await.status,
        400
    );
    let page = browser.post_with(&action, "http://evil.example", &[]).await;
    assert_eq!((page.status, votes(&desk, &sn).await), (403, 0));
    // After a double click, the browser sends the same form twice. The desk must count only one vote.
    for _ in 0..2 {
        let done = send(&mut browser, form(&new, "approve")).await;
        assert_eq!(
            (done.status, done.location.as_str()),
            (303, format!("/tickets/{sn}?notice=approved").as_str())
        );
    }
    assert_eq!(votes(&desk, &sn).await, 1);
    let page = browser.get(&path).await;
    assert!(
        page.text.contains("清单已核对 &#60;b&#62;") && !page.text.contains(&action),
        "{}",
        page.text
    );
    assert!(
        page.text.contains("审批意见: 通过") && !page.text.contains("审批意见: true"),
        "the timeline shows the option of the vote: {}",
        page.text
    );
    // The person who has already voted sends a second vote. The desk must reject this vote with a reason.
    let mut again = new.clone();
    again[2].1 = "another".into();
    let rejected = send(&mut browser, form(&again, "reject")).await;
    assert_eq!(
        (rejected.status, votes(&desk, &sn).await),
        (409, 1),
        "{}",
        rejected.text
    );
    let story = desk
        .v1("GET", &format!("tickets/{sn}/events"), "admin", Value::Null)
        .await
        .1;
    assert!(story.to_string().contains("清单已核对"), "{story}");
}

#[tokio::test]
async fn pages_show_only_what_a_person_may_see() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk).await;
    let mut stranger = logged_in(&desk, "fengyi").await;
    for path in [
        format!("/tickets/{sn}"),
        "/tickets/REQ20200101000001".into(),
        "/tickets/x".into(),
    ] {
        let page = stranger.get(&path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(!page.text.contains("申请堡垒机权限"), "{}", page.text);
    }
    let live = format!("/live/tickets?sn={sn}&version=0");
    assert!(!stranger.get(&live).await.text.contains("event: change"));
    let mut admin = logged_in(&desk, "admin").await;
    for path in ["/missions", "/deliveries", "/executions", "/applications"] {
        let page = stranger.get(path).await;
        assert_eq!(page.status, 403, "{path}");
        assert!(!page.text.contains(&format!("href=\"{path}\"")), "{path}");
        let page = admin.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        assert!(
            page.text
                .contains(&format!("href=\"{path}\" aria-current=\"page\"")),
            "{path}"
        );
        let name = &path[1..];
        assert_eq!(
            stranger
                .get(&format!("/live/{name}?page=1&version="))
                .await
                .status,
            404
        );
    }
    let mut guest = Browser::new(&desk);
    assert_eq!(
        guest.get(&format!("/tickets/{sn}")).await.location,
        format!("/login?next=%2Ftickets%2F{sn}")
    );
    assert_eq!(guest.get(&live).await.status, 403);
    assert_eq!(
        admin.get("/no/such/page").await.status,
        403,
        "other paths need the credentials of an app"
    );
}

#[tokio::test]
async fn all_lists_show_the_tickets_of_the_person_in_both_languages() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk).await;
    let mut zhangsan = logged_in(&desk, "zhangsan").await;
    let mut lisi = logged_in(&desk, "lisi").await;
    for (list, heading, of_zhangsan, of_lisi) in [
        ("todo", "To do", true, false),
        ("approval", "To approve", true, false),
        ("claim", "To claim", false, false),
        ("created", "Created by me", false, true),
        ("dealt", "Handled by me", false, false),
        ("following", "Following", false, false),
    ] {
        for (browser, is_listed) in [(&mut zhangsan, of_zhangsan), (&mut lisi, of_lisi)] {
            let page = browser.get(&format!("/?list={list}")).await;
            assert!(
                page.text.contains(&format!("<h2>{heading}</h2>")),
                "{list}: {}",
                page.text
            );
            assert_eq!(
                page.text.contains(&format!("/tickets/{sn}")),
                is_listed,
                "{list}: {}",
                page.text
            );
        }
    }
    let fields = [("language", "zh-CN"), ("next", "/?list=approval")];
    let page = zhangsan.post("/language", &fields).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (303, "/?list=approval")
    );
    let page = zhangsan.get("/?list=approval").await;
    for expected in [
        "<html lang=\"zh-CN\">",
        "<h2>待审批</h2>",
        "处理中",
        "共 1 条",
        &sn,
    ] {
        assert!(
            page.text.contains(expected),
            "{expected} is missing in {}",
            page.text
        );
    }
    let ticket = zhangsan.get(&format!("/tickets/{sn}")).await;
    for expected in [
        "等待您处理",
        "时间线",
        "流程图",
        "同意",
        "拒绝",
        "提单人: lisi",
    ] {
        assert!(
            ticket.text.contains(expected),
            "{expected} is missing in {}",
            ticket.text
        );
    }
    assert_eq!(
        zhangsan
            .post("/language", &[("language", "fr"), ("next", "/")])
            .await
            .status,
        400
    );
    let evil = [("language", "en"), ("next", "https://evil.example/")];
    assert_eq!(zhangsan.post("/language", &evil).await.location, "/");
}

#[tokio::test]
async fn an_open_page_gets_each_change_of_its_own_content() {
    use futures_util::StreamExt as _;

    let desk = TestDesk::open().await;
    let sn = ticket(&desk).await;
    let browser = logged_in(&desk, "lisi").await;
    let version = desk
        .app
        .ledger
        .load::<domain::ticket::Ticket>(&format!("ticket-{sn}"))
        .await
        .expect("a ticket")
        .next;
    let live = format!("/live/tickets?sn={sn}&version={version}");
    let request = browser
        .request("GET", &live)
        .body(Body::empty())
        .expect("valid");
    let response = desk.answer(request).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = response.into_body().into_data_stream();
    let mut next = async || {
        let bytes = events.next().await?.expect("a part");
        Some(String::from_utf8(bytes.to_vec()).expect("text"))
    };
    assert_eq!(next().await.as_deref(), Some("retry: 1000\n\n"));
    // The test changes another ticket and then this ticket. The open page must get only the change of its own ticket.
    ticket(&desk).await;
    desk.operate(&json!(sn), "remark", "lisi", json!({ "text": "加急" }))
        .await;
    let expected = format!("event: change\nid: {0}\ndata: {0}\n\n", version + 1);
    assert_eq!(next().await, Some(expected));
    // This request comes from a page that shows an old version of the ticket. The desk must report the newer version
    // immediately.
    let live = format!("/live/tickets?sn={sn}&version={version}");
    let request = browser
        .request("GET", &live)
        .body(Body::empty())
        .expect("valid");
    let mut events = desk.answer(request).await.into_body().into_data_stream();
    let mut late = async || {
        let bytes = events.next().await?.expect("a part");
        Some(String::from_utf8(bytes.to_vec()).expect("text"))
    };
    late().await;
    assert!(
        late()
            .await
            .is_some_and(|text| text.starts_with("event: change"))
    );
    // The desk must close the connections to open pages when the desk stops.
    desk.app.stopping.send_replace(true);
    assert_eq!((next().await, late().await), (None, None));
}

#[tokio::test]
async fn unknown_addresses_show_a_page_to_browsers_and_an_error_to_programs() {
    let desk = TestDesk::open().await;
    for (language, text) in [
        ("en", "This page does not exist."),
        ("zh-CN", "没有这个页面。"),
    ] {
        let mut guest = Browser::new(&desk);
        guest.language = language;
        for path in [
            "/no/such/page",
            "/tickets",
            "/favicon.png?size=1",
            "/openapi/x",
        ] {
            let page = guest.open(path).await;
            assert_eq!(page.status, 404, "{path}");
            assert!(page.text.contains(text), "{path}: {}", page.text);
        }
        assert_eq!(guest.get("/no/such/page").await.status, 403);
    }
    let mut guest = Browser::new(&desk);
    for path in [
        "/v1/no/such/path",
        "/openapi/ticket/get_tickets/",
        "/openapi/ticket/no_such_operation/",
        "/api/c/compapi/v2/itsm/no_such_operation/",
    ] {
        let page = guest.open(path).await;
        assert!(page.text.starts_with('{'), "{path}: {}", page.text);
    }
    let mut zhangsan = logged_in(&desk, "zhangsan").await;
    let page = zhangsan.open("/no/such/page").await;
    assert!(
        page.text.contains("action=\"/logout\""),
        "the page keeps its navigation: {}",
        page.text
    );
}

#[tokio::test]
async fn a_login_leads_to_the_wanted_page_after_a_wrong_password_and_a_change_of_the_language() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk).await;
    give_password(&desk, "zhangsan").await;
    let wanted = format!("/login?next=%2Ftickets%2F{sn}");
    let mut guest = Browser::new(&desk);
    let path = format!("/tickets/{sn}");
    let fields = [
        ("user", "zhangsan"),
        ("password", "wrong"),
        ("next", path.as_str()),
    ];
    let page = guest.post("/login", &fields).await;
    assert_eq!(page.status, 403, "{}", page.text);
    let here = hidden(&page.text, "/language", "next");
    assert_eq!(here, wanted);
    let fields = [("language", "zh-CN"), ("next", here.as_str())];
    let page = guest.post("/language", &fields).await;
    assert_eq!(page.location, wanted);
    let page = guest.get(&page.location).await;
    assert_eq!(hidden(&page.text, "/login", "next"), path);
}

#[tokio::test]
async fn a_form_without_session_leads_to_the_page_with_the_form() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk).await;
    let mut guest = Browser::new(&desk);
    for action in ["decide", "claim", "remark"] {
        let address = format!("/tickets/{sn}/{action}");
        let page = guest.post(&address, &[("text", "late")]).await;
        assert_eq!(
            (page.status, page.location),
            (303, format!("/login?next=%2Ftickets%2F{sn}")),
            "{action}"
        );
        let page = guest.open(&address).await;
        assert_eq!(
            (page.status, page.location),
            (303, format!("/tickets/{sn}"))
        );
    }
    for address in ["/logout", "/language"] {
        let page = guest.open(address).await;
        assert_eq!((page.status, page.location), (303, "/".to_owned()));
    }
}

/// Converts an event of an HTTP API of AWS (payload format 2.0) to a request, as the host of the functions does.
fn of_http_api(event: &Value) -> Request<Body> {
    lambda_http::request::from_str(&event.to_string())
        .expect("an event")
        .map(Body::new)
}

/// An HTTP API of AWS sends cookies in an array of their own, and sends the body of a form as text or in base64. Local
/// stand-ins send cookies as a header. The desk accepts all of these shapes.
#[tokio::test]
async fn a_person_logs_in_through_both_shapes_of_http_api_events() {
    let desk = TestDesk::open().await;
    give_password(&desk, "lisi").await;
    let event = |method: &str, path: &str| {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
            "headers": { "host": "desk", "origin": "http://desk", "content-type": "application/x-www-form-urlencoded", "accept-language": "en" },
            "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "desk", "domainPrefix": "a", "requestId": "r", "routeKey": "$default", "stage": "$default",
                "time": "29/Nov/2026:12:00:00 +0000", "timeEpoch": 1_795_953_600_000_i64,
                "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t" },
            },
            "isBase64Encoded": false,
        })
    };
    let form = format!("user=lisi&password={}&next=%2F", PASSWORD.replace(' ', "+"));
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&form)
    };
    for (body, is_base64) in [(form, false), (encoded, true)] {
        let mut login = event("POST", "/login");
        login["body"] = body.into();
        login["isBase64Encoded"] = is_base64.into();
        let response = desk.answer(of_http_api(&login)).await;
        assert_eq!(response.status(), 303, "base64: {is_base64}");
        let cookie = response.headers()[header::SET_COOKIE]
            .to_str()
            .expect("text");
        let cookie = cookie.split(';').next().expect("a cookie").to_owned();
        let mut as_array = event("GET", "/");
        as_array["cookies"] = json!(["other=1", cookie]);
        let mut as_header = event("GET", "/");
        as_header["headers"]["cookie"] = format!("other=1; {cookie}").into();
        for (page, is_logged_in) in [
            (as_array, true),
            (as_header, true),
            (event("GET", "/"), false),
        ] {
            let response = desk.answer(of_http_api(&page)).await;
            let body = axum::body::to_bytes(response.into_body(), 1 << 24).await;
            let text = String::from_utf8(body.expect("a body").to_vec()).expect("text");
            assert_eq!(text.contains("lisi"), is_logged_in, "{page}: {text}");
        }
    }
}
