//! Uses the web console in the demo. An approver logs in, reads tickets and votes on the ticket pages, as a person does
//! in a browser. If chromium is on this machine, chromium takes a picture of the login page.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use infra::http::client::Client as HttpClient;
use infra::http::{HttpClient as _, HttpRequest, HttpResponse};
use serde_json::json;

use super::day::Client;
use super::{SystemLine, find_program};

/// The user names of two approvers. The first approver votes in the console. The second approver only reads the list of
/// tickets that wait for an approval.
const PEOPLE: (&str, &str) = ("zhangsan", "wangwu");
/// The number of tickets on which the approver votes.
const TICKETS: usize = 3;
/// The longest time that the demo waits for a page of the console.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest size of a console page that the demo accepts, in bytes.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// The longest time that chromium may need for the picture of a page.
const PICTURE_TIMEOUT: Duration = Duration::from_secs(30);
/// The file names that the browser chromium can have.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A person who is logged in to the console.
struct Visitor {
    http: HttpClient,
    base: String,
    cookie: String,
}

impl Visitor {
    /// Logs a person in with the login page of the console. The result contains the session cookie of the person.
    async fn log_in(base: &str, user: &str, password: &str) -> Result<Self, String> {
        let http = HttpClient::trusted().map_err(|error| error.to_string())?;
        let mut visitor = Self {
            http,
            base: base.to_owned(),
            cookie: String::new(),
        };
        let fields = [("user", user), ("password", password), ("next", "/")];
        let response = visitor.send("/login", Some(&fields)).await?;
        let cookie = response
            .headers
            .iter()
            .find(|(name, _)| name == "set-cookie")
            .and_then(|(_, value)| value.split(';').next());
        match cookie {
            Some(cookie) if response.status == 303 => {
                cookie.clone_into(&mut visitor.cookie);
            }
            _ => return Err(format!("{user} cannot log in: status {}", response.status)),
        }
        Ok(visitor)
    }

    /// Requests a page of the console. If `fields` is present, the function sends these form fields with the method
    /// POST. Otherwise, it uses the method GET.
    async fn send(
        &self,
        path: &str,
        fields: Option<&[(&str, &str)]>,
    ) -> Result<HttpResponse, String> {
        let mut headers = vec![
            ("cookie".to_owned(), self.cookie.clone()),
            ("accept-language".to_owned(), "en".to_owned()),
        ];
        let body = match fields {
            Some(fields) => {
                let kind = "application/x-www-form-urlencoded".to_owned();
                headers.push(("content-type".to_owned(), kind));
                serde_urlencoded::to_string(fields).map_err(|error| error.to_string())?
            }
            None => String::new(),
        };
        let request = HttpRequest {
            method: if fields.is_some() { "POST" } else { "GET" }.into(),
            url: format!("{}{path}", self.base),
            headers,
            body: body.into_bytes(),
            timeout: TIMEOUT,
            response_bytes_max: PAGE_BYTES_MAX,
        };
        let sent = self.http.send(&request).await;
        sent.map_err(|error| format!("{path}: {error}"))
    }

    /// Requests a page of the console and returns its HTML.
    async fn page(&self, path: &str) -> Result<String, String> {
        let response = self.send(path, None).await?;
        if response.status == 200 {
            Ok(String::from_utf8_lossy(&response.body).into_owned())
        } else {
            Err(format!("{path} returned the status {}", response.status))
        }
    }
}

/// Searches the HTML of a page for the first hidden form field `name` after the text `after`. Returns the value of this
/// field.
fn hidden<'a>(page: &'a str, after: &str, name: &str) -> Result<&'a str, String> {
    let form = page.split_once(after).map(|(_, form)| form);
    let start = format!("name=\"{name}\" value=\"");
    form.and_then(|form| form.split_once(&start))
        .and_then(|(_, rest)| rest.split('"').next())
        .ok_or_else(|| format!("the page has no form {after} with the field {name}"))
}

/// Returns the version of the content of a page. An open page in a browser loads its content again when this
/// version changes.
fn version(page: &str) -> &str {
    let rest = page
        .split_once("data-version=\"")
        .map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default()
}

/// Opens some tickets, and votes on them with the pages of the console. `base` is the address of the desk, and
/// `password` is the password of the demo company.
pub(super) async fn run(
    client: &Client,
    base: &str,
    password: &str,
    data: &Path,
    search_path: &str,
) -> Result<SystemLine, String> {
    let (approver, other) = PEOPLE;
    let visitor = Visitor::log_in(base, approver, password).await?;
    let watcher = Visitor::log_in(base, other, password).await?;
    let list = "/?list=approval";
    let (mut votes, mut changes) = (0, 0);
    for number in 1..=TICKETS {
        let fields = json!({
            "title": format!("堡垒机权限 {number}"), "apply_content": "按清单开通", "impact": "2", "urgency": "3",
            "ZHIDINGSHENPIREN": format!("{approver},{other}"), "LIANXIDIANHUA": "13800000000",
        });
        let body = json!({ "service_id": 22, "fields": fields });
        let opened = client.v1("tickets", "lisi", body).await?;
        let sn = opened["sn"].as_str().unwrap_or_default().to_owned();
        let before = watcher.page(list).await?;
        let page = visitor.page(&format!("/tickets/{sn}")).await?;
        let action = format!("/tickets/{sn}/decide");
        let form = [
            ("form_code", hidden(&page, &action, "form_code")?),
            ("node", hidden(&page, &action, "node")?),
            ("once", hidden(&page, &action, "once")?),
            ("seen", hidden(&page, &action, "seen")?),
            ("decision", "approve"),
            ("reason", "清单已核对"),
        ];
        let response = visitor.send(&action, Some(&form)).await?;
        if response.status != 303 {
            return Err(format!("{action} returned the status {}", response.status));
        }
        votes += 1;
        let after = watcher.page(list).await?;
        changes += usize::from(version(&before) != version(&after));
    }
    let (picture, missing) = picture(base, data, search_path).await;
    let shown = picture.as_ref().map_or_else(String::new, |path| {
        format!("; a picture of the login page is {}", path.display())
    });
    Ok(SystemLine {
        name: "console",
        figures: json!({ "votes": votes, "changed_lists": changes, "picture": picture }),
        text: format!(
            "{approver} logged in and approved {votes} tickets on their pages, each with a reason; the list of {other} showed {changes} changes{shown}"
        ),
        look: format!("page {base}/ (people and password: see above)"),
        stand_in: missing,
    })
}

/// Takes a picture of the login page with chromium. Returns the path of the picture, or the reason why there is no
/// picture.
async fn picture(base: &str, data: &Path, search_path: &str) -> (Option<PathBuf>, String) {
    let missing = |reason: &str| {
        let reason =
            format!("{reason}, so no picture was taken; the pages were read by this program");
        (None, reason)
    };
    let found = find_program(std::env::split_paths(search_path), &BROWSERS);
    let Some(program) = found else {
        return missing("chromium is not on this machine");
    };
    let Ok(data) = data.canonicalize() else {
        return missing("the data directory cannot be found");
    };
    let picture = data.join("console.png");
    let mut command = tokio::process::Command::new(program);
    command
        .args([
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1280,900",
        ])
        .arg(format!(
            "--user-data-dir={}",
            data.join("chromium").display()
        ))
        .arg(format!("--screenshot={}", picture.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    // If the user is root, chromium refuses to start with its own sandbox. The sandbox is not necessary here, because
    // the page comes from this program.
    if is_root(&data) {
        command.arg("--no-sandbox");
    }
    command.arg(format!("{base}/login"));
    match tokio::time::timeout(PICTURE_TIMEOUT, command.status()).await {
        Ok(Ok(_)) if picture.is_file() => (Some(picture), String::new()),
        _ => missing("chromium took no picture"),
    }
}

/// Returns true if this program runs as the user root. The function assumes that this program created the directory
/// `data`, and checks the owner of this directory.
fn is_root(data: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(data).is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_fields_and_versions_are_found_in_a_page() {
        let page = r#"<body data-version="17"><form action="/a"><input name="once" value="x"></form>
            <form action="/b"><input name="once" value="y"></form>"#;
        assert_eq!(hidden(page, "\"/b\"", "once"), Ok("y"));
        assert_eq!(version(page), "17");
        assert!(hidden(page, "\"/c\"", "once").is_err() && hidden(page, "\"/a\"", "seen").is_err());
        assert_eq!(version("<body>"), "");
    }
}
