//! This test uses the pages of the console through the deployed function `command`: a person sets a password, logs
//! in, finds a ticket in the work list, and approves the ticket on its page.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::TestDesk;
use crate::desk::{send, until};

const PASSWORD: &str = "a long password";

/// A browser without JavaScript: it stores one cookie and follows no redirects.
struct Browser {
    client: reqwest::Client,
    base: String,
    cookie: String,
}

impl Browser {
    fn new(base: &str) -> Self {
        let client = infra::http::tls::client()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self {
            client,
            base: base.to_owned(),
            cookie: String::new(),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
    ) -> (StatusCode, header::HeaderMap, String) {
        let request = self
            .client
            .request(method.clone(), format!("{}{path}", self.base))
            .header(header::COOKIE, &self.cookie)
            .header(header::ACCEPT_LANGUAGE, "zh-CN");
        let request = if method == Method::POST {
            request.form(fields)
        } else {
            request
        };
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        (status, headers, response.text().await.expect("text"))
    }

    async fn page(&self, path: &str) -> String {
        let (status, _, text) = self.send(Method::GET, path, &[]).await;
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> header::HeaderMap {
        let (status, headers, text) = self.send(Method::POST, path, fields).await;
        assert_eq!(status, 303, "{path}: {text}");
        headers
    }
}

/// Returns the text between `start` and the next quotation mark.
fn after<'a>(page: &'a str, start: &str) -> &'a str {
    let (_, rest) = page
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start} in {page}"));
    rest.split('"').next().unwrap_or_default()
}

#[tokio::test]
async fn a_person_approves_on_a_page_of_the_deployed_desk() {
    let desk = TestDesk::open().await;
    let approver = format!("approver_{}", std::process::id());
    let path = format!("people/{approver}/invitation");
    let invited = send(desk.v1(Method::POST, &path, "admin")).await;
    let link = invited["link"].as_str().expect("a link");
    let welcome = &link[link.find("/welcome/").expect("a path")..];
    let mut browser = Browser::new(desk.base());
    let fields = [("password", PASSWORD), ("again", PASSWORD)];
    browser.post(welcome, &fields).await;
    let fields = [
        ("user", approver.as_str()),
        ("password", PASSWORD),
        ("next", "/"),
    ];
    let headers = browser.post("/login", &fields).await;
    let cookie = headers[header::SET_COOKIE].to_str().expect("text");
    browser.cookie = cookie.split(';').next().expect("a cookie").to_owned();

    let list = "/?list=approval";
    let page = browser.page(list).await;
    assert!(page.contains("没有等待您审批的工单"), "{page}");
    assert_eq!(after(&page, "data-transport=\""), "poll");
    let live = format!(
        "{}&version={}",
        after(&page, "data-live=\"").replace("&#38;", "&"),
        after(&page, "data-version=\"")
    );
    let ticket = json!({ "service_id": 1, "fields": {
        "title": "VPN 账号", "APPROVER": approver, "APPROVAL_CONTENT": "新项目" } });
    let opened = desk.submit(&ticket).await;
    let sn = opened["sn"].as_str().expect("a number");
    // An open page polls for changes: it requests the version of its list. The response must contain a new
    // version, because a ticket was added to the list.
    let (status, _, answer) = browser.send(Method::GET, &live, &[]).await;
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_ne!(answer["version"], after(&page, "data-version=\""));
    until("the ticket is in the list", async || {
        browser.page(list).await.contains(sn).then_some(())
    })
    .await;

    let page = browser.page(&format!("/tickets/{sn}")).await;
    assert!(page.contains("VPN 账号") && page.contains("<svg"), "{page}");
    let action = format!("/tickets/{sn}/decide");
    let form = &page[page.find(&action).expect("a form")..];
    let hidden = |name: &str| after(form, &format!("name=\"{name}\" value=\""));
    let fields = [
        ("form_code", hidden("form_code")),
        ("node", hidden("node")),
        ("once", hidden("once")),
        ("seen", hidden("seen")),
        ("decision", "approve"),
        ("reason", "已核对"),
    ];
    browser.post(&action, &fields).await;
    let story = desk.story(sn).await;
    assert!(story.contains(&"ticket.vote_cast"), "{story:?}");
    let page = browser
        .page(&format!("/tickets/{sn}?notice=approved"))
        .await;
    assert!(
        page.contains("已同意。") && page.contains("已核对") && !page.contains(&action),
        "{page}"
    );

    let style = after(&page, "<link rel=\"stylesheet\" href=\"");
    let (status, headers, _) = browser.send(Method::GET, style, &[]).await;
    assert_eq!(status, 200);
    assert_eq!(
        headers[header::CACHE_CONTROL],
        "public, max-age=31536000, immutable"
    );

    let code = after(&page, "name=\"form_code\" value=\"");
    browser.post("/logout", &[("form_code", code)]).await;
    let (status, _, _) = browser.send(Method::GET, list, &[]).await;
    assert_eq!(status, 303);
}
