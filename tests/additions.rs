//! These tests check that an addition to the program changes only a few existing files. Each test adds a
//! small example to a copy of the source tree: an aggregate (kind of stream), a channel, a provider, a
//! REST resource or a page. The test then compiles the copy and counts the changed files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tests::process::root;

/// A copy of the source tree, and the names of the existing files that the test changed in this copy.
struct Copy {
    directory: PathBuf,
    edited: BTreeSet<String>,
}

impl Copy {
    fn new() -> Self {
        // The copy is always in the same folder, so that a later run of the test can use the compiled
        // crates again.
        let directory = target().join("additions");
        let _ = std::fs::remove_dir_all(&directory);
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output()
            .expect("git runs");
        for name in String::from_utf8(listed.stdout).expect("names").lines() {
            let from = root().join(name);
            if !from.is_file() {
                continue;
            }
            let to = directory.join(name);
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            std::fs::copy(from, to).expect("copied");
        }
        let copy = Self {
            directory,
            edited: BTreeSet::new(),
        };
        // The test changes the version number of the copy. Cargo identifies a crate by its name, version
        // and relative path. With the same version, Cargo would replace the compiled crates of the
        // original source tree by the compiled crates of the copy.
        let manifest = std::fs::read_to_string(copy.path("Cargo.toml")).expect("readable");
        let other = manifest.replacen("version = \"0.", "version = \"1000.", 1);
        assert_ne!(manifest, other);
        std::fs::write(copy.path("Cargo.toml"), other).expect("written");
        copy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Adds a new file to the copy of the source tree.
    fn add(&self, name: &str, text: &str) {
        let path = self.path(name);
        assert!(!path.exists(), "{name} exists");
        std::fs::write(path, text).expect("written");
    }

    /// Inserts a text into an existing file of the copy. The text is inserted before the first line that
    /// starts with `marker`.
    fn edit(&mut self, name: &str, marker: &str, text: &str) {
        let path = self.path(name);
        let old = std::fs::read_to_string(&path).expect("readable");
        let at = old
            .find(&format!("\n{marker}"))
            .unwrap_or_else(|| panic!("{name} has no line {marker:?}"));
        let new = format!("{}{text}{}", &old[..=at], &old[at + 1..]);
        std::fs::write(path, new).expect("written");
        self.edited.insert(name.to_owned());
    }

    /// Checks that the copy compiles. The command `cargo check` is faster than a build, because this command
    /// does not link a program.
    fn check(&self, packages: &[&str]) {
        let output = self.checked(packages);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn checked(&self, packages: &[&str]) -> Output {
        let mut command = Command::new("cargo");
        command.args(["check", "--quiet", "--offline"]);
        for package in packages {
            command.args(["-p", package]);
        }
        command
            .current_dir(&self.directory)
            .env("CARGO_TARGET_DIR", target())
            .output()
            .expect("cargo runs")
    }
}

/// Returns the target directory of this build. The directory already contains the compiled dependencies.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test executable");
    let target = test.ancestors().nth(3).map(Path::to_owned);
    target.expect("target/<profile>/deps/<test>")
}

const EVENTS: &str = r#"//! A toy.

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::event::{DeadlineChange, Personals, event_enum};

event_enum! {
    /// The events of a toy, an example of an aggregate.
    ToyEvent of "toy" {
        Wound "toy.wound" 1,
    }
    deadlines |event: &ToyEvent| match event {
        ToyEvent::Wound(wound) => vec![DeadlineChange::set("stop", wound.due)],
    };
}

/// This event is stored after the command `Wind` has started the toy. The toy runs until the time
/// `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wound {
    pub due: Moment,
}
impl Personals for Wound {}
"#;

const DOMAIN: &str = r#"//! A toy that runs until its deadline.

use events::Moment;
use events::toy::{ToyEvent, Wound};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// This command starts the toy. The toy runs until the time `due`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wind {
    pub due: Moment,
}

/// This enum is empty, because a toy rejects no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// The state of a toy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toy {
    pub due: Moment,
}

impl Decider for Toy {
    type Command = Wind;
    type Event = ToyEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Wind, (): &()) -> Result<Vec<ToyEvent>, DecideError<Self>> {
        Ok(vec![Wound { due: command.due }.into()])
    }
    fn evolve(&mut self, ToyEvent::Wound(wound): &ToyEvent) {
        self.due = wound.due;
    }
}

impl Card for Toy {
    type Event = ToyEvent;
    const VIEW: &'static str = "toy";
    const COUNTED: &'static [&'static str] = &["toy"];
    fn fold(&mut self, envelope: &Envelope<ToyEvent>) {
        self.evolve(&envelope.event);
    }
    fn index(&self) -> Vec<(&'static str, String)> {
        vec![("toy", format!("{:016}", self.due.0))]
    }
}
"#;

const PROVIDER: &str = r#"//! A toy provider.

use domain::api_call::plan::PlannedRequest;
use domain::placeholder::Variables;
use domain::api_call::{ApiCall, POLICY};
use domain::attempt::{Policy, Verdict};
use events::workflow::service_task::ServiceTask;
use events::workflow::NodeKind;

use super::Provider;
use crate::http::{HttpError, HttpResponse};

/// The provider `toy`.
#[derive(Clone, Copy, Debug)]
pub struct Toy;

impl Provider for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }
    fn does(&self, _service_task: &ServiceTask) -> bool {
        false
    }
    fn request(
        &self,
        _service_task: &ServiceTask,
        _call: &ApiCall,
        _variables: &Variables,
    ) -> Result<PlannedRequest, String> {
        Err("a toy sends nothing".into())
    }
    fn verdict(
        &self,
        _service_task: &ServiceTask,
        _kind: NodeKind,
        _call: &ApiCall,
        _response: &Result<HttpResponse, HttpError>,
    ) -> (Verdict, Policy) {
        let reason = "a toy has no result".into();
        (Verdict::Unknown { reason }, POLICY)
    }
}
"#;

const CHANNEL: &str = r#"//! A toy channel.

use domain::attempt::Verdict;
use events::channel_account::Defined;

use super::{Channel, Outgoing, Request, Response};

/// The channel `toy`.
#[derive(Clone, Copy, Debug)]
pub struct Toy;

impl Channel for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }
    fn address_kind(&self) -> &'static str {
        "toy"
    }
    fn check_address(&self, _address: &str) -> Result<(), String> {
        Ok(())
    }
    fn check(&self, _account: &Defined) -> Result<(), String> {
        Ok(())
    }
    fn check_secret(&self, _secret: &str) -> Result<(), String> {
        Ok(())
    }
    fn request(&self, _outgoing: &Outgoing<'_>) -> Result<Request, String> {
        Err("a toy sends nothing".into())
    }
    fn verdict(&self, _response: &Response) -> Verdict {
        Verdict::retry("a toy has no result".to_owned())
    }
}
"#;

const RESOURCE: &str = r#"//! Toys over `/v1`.

use events::app::Scope;
use serde::Serialize;

use super::reply::ok;
use super::resource::{Answer, Call, Operation, Resource, get, post};
use super::shape::{Shape, required};

const OPERATIONS: &[Operation] = &[
    get("/v1/toys", "lists toys").returning::<Toys>(),
    post("/v1/toys", "winds a toy up", &[required("name", Shape::Text)]).returning::<Toys>(),
];

/// All toys.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Toys {
    toys: Vec<String>,
    path: Vec<String>,
}

/// The operations of the example resource `/v1/toys`, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        Ok(ok(&Toys {
            toys: Vec::new(),
            path: call.path,
        }))
    })
}
"#;

const PAGE: &str = r#"//! Lists toys.

use async_trait::async_trait;
use domain::toy::Toy;
use infra::Error;

use super::Page;
use super::request::Visit;
use super::table::{self, Cell, Head, Listing};
use super::texts::Texts;

pub(super) const PAGE: Page =
    table::page::<Toy>(|texts| if texts.tag == "en" { "Toys" } else { "玩具" });

#[async_trait]
impl Listing for Toy {
    const NAME: &'static str = "toys";
    const PATH: &'static str = "/toys";
    const INDEX: &'static str = "toy";

    fn head(texts: &'static Texts) -> Head {
        Head {
            heading: "Toys",
            empty: "There are no toys.",
            columns: vec![texts.status],
        }
    }

    async fn row(&self, _visit: &Visit) -> Result<Option<Vec<Cell>>, Error> {
        Ok(Some(vec![Cell::text("wound")]))
    }
}
"#;

#[test]
fn an_aggregate_edits_five_files_and_every_other_addition_one() {
    let mut copy = Copy::new();
    copy.add("events/src/toy.rs", EVENTS);
    copy.add(
        "events/samples/toy.wound.v1.json",
        r#"{ "type": "toy.wound", "version": 1, "data": { "due": 1795312800000 } }"#,
    );
    copy.add("domain/src/toy.rs", DOMAIN);
    copy.edit("events/src/lib.rs", "pub mod upcast;", "pub mod toy;\n");
    copy.edit(
        "events/src/lib.rs",
        "    workflow: WorkflowEvent,",
        "    toy: ToyEvent,\n",
    );
    copy.edit(
        "events/src/samples.rs",
        "    \"ticket.opened.v1\"",
        "    \"toy.wound.v1\"\n",
    );
    copy.edit("domain/src/lib.rs", "pub mod user_name;", "pub mod toy;\n");
    copy.edit(
        "functions/src/registry.rs",
        "    &Row::<Birth, NoCard<_>>::NEW,",
        r#"    &Row::<domain::toy::Toy, domain::toy::Toy> {
        deadlines: Some(Deadlines {
            queue: "cleanup",
            fire: |_app, _due| Box::pin(std::future::ready(Ok(()))),
        }),
        ..Row::NEW
    },
"#,
    );
    let template = "                    dynamodb:LeadingKeys: [reaction-*]";
    let path = copy.path("infra/deploy/template.yaml");
    let old = std::fs::read_to_string(&path).expect("readable");
    assert!(old.contains(template));
    std::fs::write(path, old.replace("[reaction-*]", "[reaction-*, toy-*]")).expect("written");
    copy.edited.insert("infra/deploy/template.yaml".to_owned());
    let aggregate = std::mem::take(&mut copy.edited);

    copy.add("infra/src/provider/toy.rs", PROVIDER);
    copy.edit(
        "infra/src/provider/mod.rs",
        "use domain::api_call::ApiCall;",
        "pub mod toy;\n\n",
    );
    let path = copy.path("infra/src/provider/mod.rs");
    let old = std::fs::read_to_string(&path).expect("readable");
    let new = old.replace("&bk_sops::BkSops]", "&bk_sops::BkSops, &toy::Toy]");
    assert_ne!(old, new);
    std::fs::write(path, new).expect("written");
    let provider = std::mem::take(&mut copy.edited);

    copy.add("infra/src/channel/toy.rs", CHANNEL);
    copy.edit(
        "infra/src/channel/mod.rs",
        "use std::time::Duration;",
        "pub mod toy;\n\n",
    );
    let path = copy.path("infra/src/channel/mod.rs");
    let old = std::fs::read_to_string(&path).expect("readable");
    let new = old.replace(
        "&dingtalk_robot::DingtalkRobot,",
        "&dingtalk_robot::DingtalkRobot, &toy::Toy,",
    );
    assert_ne!(old, new);
    std::fs::write(path, new).expect("written");
    let channel = std::mem::take(&mut copy.edited);

    copy.add("functions/src/http/api/toys.rs", RESOURCE);
    copy.edit(
        "functions/src/http/api/mod.rs",
        "mod workflows;",
        "mod toys;\n",
    );
    copy.edit(
        "functions/src/http/api/mod.rs",
        "    tickets::RESOURCE,",
        "    toys::RESOURCE,\n",
    );
    let resource = std::mem::take(&mut copy.edited);

    copy.add("functions/src/http/console/toys.rs", PAGE);
    copy.edit(
        "functions/src/http/console/mod.rs",
        "mod work;",
        "mod toys;\n",
    );
    copy.edit(
        "functions/src/http/console/mod.rs",
        "    applications::PAGE,",
        "    toys::PAGE,\n",
    );
    let page = std::mem::take(&mut copy.edited);

    copy.check(&["functions"]);
    println!(
        "a toy aggregate edits {} existing files: {aggregate:?}",
        aggregate.len()
    );
    println!(
        "a toy provider edits {} existing file: {provider:?}",
        provider.len()
    );
    println!(
        "a toy channel edits {} existing file: {channel:?}",
        channel.len()
    );
    println!(
        "a toy REST resource edits {} existing file: {resource:?}",
        resource.len()
    );
    println!("a toy page edits {} existing file: {page:?}", page.len());
    assert!(aggregate.len() <= 5, "{aggregate:?}");
    assert_eq!(provider.len(), 1, "{provider:?}");
    assert_eq!(channel.len(), 1, "{channel:?}");
    assert_eq!(resource.len(), 1, "{resource:?}");
    assert_eq!(page.len(), 1, "{page:?}");
    invalid_policies_stop_the_build(&copy);
}

/// Checks that the build stops at a permission policy with an unknown attribute or an unknown action, and that the
/// error names it. This is no test of its own, because two tests must not change the copy at the same time.
fn invalid_policies_stop_the_build(copy: &Copy) {
    let path = copy.path("infra/src/policy/ledgerdesk.cedar");
    let valid = std::fs::read_to_string(&path).expect("readable");
    for (old, new) in [
        ("context.invited", "context.invitted"),
        ("Action::\"read_role\"", "Action::\"read_rolle\""),
        ("@id(\"own-data\")\n", ""),
    ] {
        let invalid = valid.replacen(old, new, 1);
        assert_ne!(valid, invalid, "{old}");
        std::fs::write(&path, invalid).expect("written");
        let output = copy.checked(&["infra"]);
        let error = String::from_utf8_lossy(&output.stderr);
        let named = new
            .split(['.', '"'])
            .nth(1)
            .unwrap_or("has no annotation @id");
        assert!(!output.status.success(), "{new}: the build succeeded");
        assert!(
            error.contains(named) && error.contains("ledgerdesk.cedar"),
            "{error}"
        );
    }
    std::fs::write(&path, valid).expect("written");
}
