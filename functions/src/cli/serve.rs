//! Implements the command `ledgerdesk serve`, which runs a desk on one machine. All data of the desk is in
//! one directory.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use domain::ledger::Continuations;
use events::Meta;
use events::ledger::Continued;
use infra::CommandEnvelope;
use infra::accounts::Accounts;
use infra::accounts::ldap::Ldap;
use infra::channel::smtp::Smtp;
use infra::commit::hex;
use infra::crash::Crash;
use infra::directory::file::File;
use infra::directory::{Directory, http::Http as HttpDirectory};
use infra::fleet::mqtt::{Address, Mqtt};
use infra::fleet::{Fleet, NoFleet};
use infra::heads::{self, Lost};
use infra::http::client::Client as HttpClient;
use infra::http::egress::Egress;
use infra::ledger::NoContext;
use infra::local::{self, Accepted};
use infra::login::{Login, http::Http as HttpLogin, memory::Memory as NoLogin};
use infra::mailbox::imap::Imap;
use infra::sandbox::Sandbox;
use infra::sandbox::bubblewrap::Bubblewrap;
use infra::views::{Document, Views};
use jiff::tz::TimeZone;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::setup::{Access, Wanted};
use super::{CommandError, announce};
use crate::App;
use crate::app::Settings;
use crate::app::fleet::connection;
use crate::app::{client_apps, times};
use crate::host::local::{Desk, Robots, publish};
use crate::registry::{REGISTRY, counted};
use crate::stream::follow::births::Births;
use infra::Ports;

/// Maximum time for which the start waits until the views (stored lists) contain all commits. After this
/// time, the desk starts even if the views are not complete.
const FOLLOWED_WAIT: Duration = Duration::from_secs(2);
/// Maximum number of robot messages that may wait in memory. The program has received these messages from the broker,
/// and processes the messages later.
const ROBOT_MESSAGES_MAX: usize = 4_096;
/// The code and the secret of the demo app. The secret is published, because the source code contains the
/// secret. The app is therefore only for trials on the loopback address.
pub const DEMO_APP: (&str, &str) = ("demo_app", "demo-secret-for-trials-only");

/// The name of the view that stores the settings of the last start. The view contains one document with the
/// key `ZONE`, which contains the time zone, and one with the key `SITE`, which contains the public base URL.
const LAST_START: &str = "last_start";
const ZONE: &str = "zone";
const SITE: &str = "site";
/// The name of the subdirectory for the files of running shell scripts. The subdirectory is in the data directory of
/// the desk.
const RUNS: &str = "runs";

#[derive(Debug, Args)]
pub struct Serve {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub listen: String,
    /// The directory for the ledger (all events), the keys, the views (stored tables) and the uploaded files.
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub data: PathBuf,
    #[command(flatten)]
    pub wanted: Wanted,
    /// Let other machines use the demo company, although the secret of its app is published.
    #[arg(long, requires = "demo")]
    pub demo_on_network: bool,
    /// The base URL for links to this service desk [default: the listening address].
    #[arg(long, value_name = "URL")]
    pub site: Option<String>,
    /// The time zone of ticket numbers and of times in responses.
    #[arg(long, default_value = times::DEFAULT_ZONE, value_name = "ZONE")]
    pub zone: String,
    /// The source of leaders, departments and businesses: a TOML file or the URL of a service.
    #[arg(long, value_name = "FILE|URL")]
    pub directory: Option<String>,
    /// Private addresses that outgoing requests may reach, separated by commas.
    ///
    /// An entry is a network, an address, a host name, `*.domain` or `loopback`. The option
    /// `--demo` adds `loopback`.
    #[arg(long, value_name = "LIST")]
    pub egress: Option<String>,
    /// The MQTT broker of the robots, such as mqtt://127.0.0.1:1883. Without this option, no robot gets a mission.
    #[arg(long, value_name = "URL")]
    pub mqtt_broker: Option<String>,
    /// The largest file that may be uploaded, in MiB.
    #[arg(long, default_value_t = 100, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub file_max_mib: u64,
    /// The login service that checks a login token (`bk_token`). Without this option, no token is valid.
    #[arg(long, value_name = "URL")]
    pub login: Option<String>,
    /// The directories in which the desk searches bubblewrap, the program that runs shell scripts in a sandbox.
    #[arg(long, env = "PATH", hide = true, default_value = "/usr/bin:/bin")]
    pub search_path: String,
    /// Start even if the ledger lacks commits that were already published or processed.
    ///
    /// The loss is recorded in the ledger, and the views are rebuilt.
    #[arg(long)]
    pub accept_lost_commits: bool,
    /// Start even if the ledger contains actions of people who are not in the key store.
    ///
    /// The names and encrypted values of these people can no longer be read. The people count as erased.
    #[arg(long)]
    pub accept_lost_people: bool,
    /// Log every request: method, path, status, duration, app and request id.
    #[arg(long)]
    pub access_log: bool,
    /// For tests only: kill the process when the code reaches the crash point POINT for the N-th time.
    #[arg(long, hide = true, value_name = "POINT:N")]
    pub crash_at: Option<String>,
}

/// Imitations that replace parts of the desk. The demo imitates a part if a necessary program is missing on this
/// machine.
#[derive(Default)]
pub(super) struct Parts {
    /// Replaces the MQTT broker of the robots: sends messages to imitated robots, and receives their messages.
    pub(super) robots: Option<(Arc<dyn Fleet>, Robots)>,
    pub(super) accounts: Option<Arc<dyn Accounts>>,
    pub(super) sandbox: Option<Arc<dyn Sandbox>>,
}

impl Serve {
    /// Starts the desk and serves requests until the process gets a stop signal.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        ignore_hangups();
        let mut stop = StopSignals::listen();
        let starting = Box::pin(self.start());
        let (app, desk, access) = tokio::select! {
            started = starting => started?,
            () = stop_signal(&mut stop) => return Ok(()),
        };
        let base = format!("http://{}", desk.address);
        let site = &app.settings.site;
        let started = json!({
            "url": base, "data": self.data.display().to_string(), "demo": self.wanted.demo,
            "demo_password": access.demo_password, "invitations": access.invitations, "sources": access.sources,
            "accounts_without_secret": access.accounts_without_secret,
        });
        if json {
            announce(&started.to_string());
        } else {
            announce(&format!(
                "ledgerdesk serves on {base} from {}",
                self.data.display()
            ));
            access.lines(site).iter().for_each(|line| announce(line));
            if self.wanted.demo {
                announce(&format!(
                    "demo app: code {}, secret {}",
                    DEMO_APP.0, DEMO_APP.1
                ));
                let (code, secret) = DEMO_APP;
                announce(&format!(
                    "try: curl -s '{base}/api/c/compapi/v2/itsm/get_services/?bk_app_code={code}&bk_app_secret={secret}'"
                ));
            }
        }
        stop_signal(&mut stop).await;
        announce(if json {
            r#"{"stopping":true}"#
        } else {
            "stopping"
        });
        desk.stop().await;
        Ok(())
    }

    /// Opens the data directory of the desk. Then starts all parts of the desk, such as the HTTP server, the
    /// queue handlers and the timers.
    pub async fn start(&self) -> Result<(App, Desk, Access), CommandError> {
        self.start_with(Parts::default()).await
    }

    /// Starts the desk like [`Serve::start`]. If `parts` contains an imitation of a part, the desk uses this imitation
    /// instead of the real part.
    pub(super) async fn start_with(
        &self,
        parts: Parts,
    ) -> Result<(App, Desk, Access), CommandError> {
        let addresses = self.addresses().await?;
        let listener = TcpListener::bind(&addresses[..])
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", self.listen))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let broker = self.broker()?;
        let mqtt = Arc::new(Mqtt::default());
        let (replacement, robots_in_memory) = parts.robots.unzip();
        let fleet: Arc<dyn Fleet> = match (replacement, &broker) {
            (Some(replacement), _) => replacement,
            (None, Some(_)) => mqtt.clone(),
            (None, None) => Arc::new(NoFleet),
        };
        let (app, access) = self
            .open(address, fleet, parts.accounts, parts.sandbox)
            .await?;
        let head = app.ledger.store.head().await?;
        publish(&self.data, head, app.ledger.clock.now().0)
            .map_err(|error| format!("cannot publish the head: {error}"))?;
        let robots = robots_in_memory.or_else(|| broker.map(|broker| robots(&app, mqtt, broker)));
        let desk = Desk::start(&app, listener, &self.data, robots)?;
        let mut followed = app.followed.subscribe();
        // A rebuild of the views (stored lists) can take a long time, so this code waits only for a limited
        // time. The desk also serves requests during a rebuild.
        let _ = tokio::time::timeout(
            FOLLOWED_WAIT,
            followed.wait_for(|position| *position >= head.position),
        )
        .await;
        Ok((app, desk, access))
    }

    /// Returns the network addresses of the option `--listen`. IPv4 addresses come before IPv6 addresses. The
    /// server uses the first address that is free.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, CommandError> {
        let unknown = |reason: String| {
            CommandError::Usage(format!(
                "--listen {}: {reason}; write HOST:PORT, such as 127.0.0.1:8080",
                self.listen
            ))
        };
        let found = tokio::net::lookup_host(&self.listen)
            .await
            .map_err(|error| unknown(error.to_string()))?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        if addresses.is_empty() {
            return Err(unknown("the host has no address".into()));
        }
        let reachable = addresses
            .iter()
            .find(|address| !address.ip().to_canonical().is_loopback());
        match reachable {
            Some(address) if self.wanted.demo && !self.demo_on_network => {
                Err(CommandError::Usage(format!(
                    "--demo enables an app with a published secret that may act as every user, and other machines can reach {address}; \
                 listen on 127.0.0.1, omit --demo, or add --demo-on-network"
                )))
            }
            _ => Ok(addresses),
        }
    }

    /// Returns the address of the MQTT broker for robots, or `None` if the option `--mqtt-broker` is absent.
    fn broker(&self) -> Result<Option<Address>, CommandError> {
        let read = |url: &String| {
            Address::read(url)
                .map_err(|reason| CommandError::Usage(format!("--mqtt-broker {reason}")))
        };
        self.mqtt_broker.as_ref().map(read).transpose()
    }

    async fn open(
        &self,
        address: SocketAddr,
        fleet: Arc<dyn Fleet>,
        accounts: Option<Arc<dyn Accounts>>,
        sandbox: Option<Arc<dyn Sandbox>>,
    ) -> Result<(App, Access), CommandError> {
        let zone = times::zone(&self.zone)
            .map_err(|reason| CommandError::Usage(format!("--zone: {reason}")))?;
        let zone_name = zone.iana_name().unwrap_or(&self.zone).to_owned();
        for (option, value) in [("--site", &self.site), ("--login", &self.login)] {
            if let Some(url) = value.as_deref().filter(|url| !is_web_address(url)) {
                return Err(CommandError::Usage(format!(
                    "{option} {url}: write an address that begins with http:// or https:// and has no ? and no #"
                )));
            }
        }
        let site = self
            .site
            .clone()
            .unwrap_or_else(|| format!("http://{address}"));
        let settings = Settings {
            site: site.trim_end_matches('/').to_owned(),
            zone,
            file_bytes_max: self.file_max_mib << 20,
            response_bytes_max: None,
            is_streaming: true,
        };
        let egress = Egress::read(self.egress.as_deref().unwrap_or_default())
            .map_err(|reason| CommandError::Usage(format!("--egress: {reason}")))?;
        let resolved = self.wanted.resolve()?;
        let crash = Arc::new(
            self.crash_at
                .as_deref()
                .map(Crash::armed)
                .transpose()?
                .unwrap_or_default(),
        );
        let accepted = Accepted {
            commits: self.accept_lost_commits,
            people: self.accept_lost_people,
        };
        let (local, lost) = local::open_despite_loss(&self.data, &crash, &counted(), accepted)?;
        if let Some(lost) = &lost {
            accept(&local.ledger, lost, &self.data).await?;
        }
        let login: Arc<dyn Login> = match &self.login {
            Some(base) => Arc::new(HttpLogin::new(
                base,
                Arc::new(HttpClient::trusted()?),
                local.ledger.clock.clone(),
            )),
            None => Arc::new(NoLogin::default()),
        };
        let egress = egress.with_loopback(self.wanted.demo);
        let mailer = Arc::new(Smtp::new(egress.clone()));
        let mailboxes = Arc::new(Imap::new(egress.clone()));
        let accounts = accounts.unwrap_or_else(|| Arc::new(Ldap::new(egress.clone())));
        let program = std::env::current_exe()
            .map_err(|error| format!("cannot find the own program: {error}"))?;
        let sandbox = sandbox.unwrap_or_else(|| {
            let runs = self.data.join(RUNS);
            Arc::new(Bubblewrap::new(runs, program, &self.search_path))
        });
        let http_client = Arc::new(HttpClient::new(egress)?);
        let directory = open_directory(self.directory.as_deref(), &local.ledger)?;
        let ports = Ports {
            http: http_client,
            login,
            directory,
            fleet,
            mailer,
            mailboxes,
            accounts,
            sandbox,
            ..local
        };
        let app = App::new(ports, settings, crash)?;
        // A reaction (a rule that starts work after an event) ignores all events before its activation.
        // Reactions are activated here, before this process executes its first command. A new reaction
        // therefore processes all events of this process.
        Births::activate(&app.ledger, REGISTRY).await?;
        app.credentials.listens_on(address.ip());
        app.limits.apply();
        compare_zone(&*app.views, &zone_name).await?;
        remember_site(&*app.views, &app.settings.site).await?;
        connection::remember_refused(&*app.views, &[]).await?;
        let access = self.wanted.store(&app, &resolved).await?;
        if !self.wanted.demo && client_apps::close_demo(&app, DEMO_APP).await? {
            tracing::warn!(
                app = DEMO_APP.0,
                "the demo app is disabled, because the desk was started without --demo"
            );
        }
        Ok((app, access))
    }
}

/// Returns the connection to the MQTT broker of the robots. The client id contains random digits, because
/// each client of a broker needs its own client id. If a second client uses the same client id, the broker
/// ends the connection of the first client.
fn robots(app: &App, mqtt: Arc<Mqtt>, broker: Address) -> Robots {
    let (sender, messages) = mpsc::channel(ROBOT_MESSAGES_MAX);
    let (interfaces, watched) = watch::channel(BTreeSet::new());
    let id = format!("ledgerdesk-{}", &hex(&app.ledger.fresh_id())[..16]);
    let clock = app.ledger.clock.clone();
    Robots {
        connection: Box::pin(mqtt.run(broker, id, watched, sender, clock)),
        messages,
        interfaces,
    }
}

/// Returns true if a text is an HTTP or HTTPS URL without query and fragment.
fn is_web_address(text: &str) -> bool {
    text.parse::<infra::http::Url>().is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// Ignores the signal SIGHUP, so that the desk continues to run when its terminal is closed.
///
/// Many server programs reopen their log file after SIGHUP. This program has no log file, because it writes
/// its log to standard error.
pub(super) fn ignore_hangups() {
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => drop(tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                tracing::info!("SIGHUP is ignored; SIGTERM stops the desk");
            }
        })),
        Err(error) => tracing::warn!(%error, "SIGHUP cannot be ignored"),
    }
}

/// Returns the company directory, which contains leaders and departments. `location` is a URL or the path of
/// a TOML file. If `location` is `None`, the directory is empty.
pub(super) fn open_directory(
    location: Option<&str>,
    ledger: &infra::Ledger,
) -> Result<Arc<dyn Directory>, infra::Error> {
    match location {
        None => Ok(Arc::new(File::default())),
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            let client = Arc::new(HttpClient::trusted()?);
            Ok(Arc::new(HttpDirectory::new(
                url,
                client,
                ledger.clock.clone(),
            )?))
        }
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                infra::Error::because(
                    infra::Kind::Misconfigured,
                    format!("cannot read {path}"),
                    error,
                )
            })?;
            Ok(Arc::new(File::read(&text)?))
        }
    }
}

/// Returns the time zone with which the desk was started last. Without a start, returns the default time zone.
pub(super) async fn last_zone(views: &dyn Views) -> Result<TimeZone, infra::Error> {
    let stored = views.get(LAST_START, ZONE).await?;
    let name = stored.map(|document| String::from_utf8_lossy(&document.body).into_owned());
    let zone = name.and_then(|name| times::zone(&name).ok());
    Ok(zone.unwrap_or_else(times::default_zone))
}

/// Returns the public base URL with which the desk was started last. Returns `None` before the first start.
pub(super) async fn last_site(views: &dyn Views) -> Result<Option<String>, infra::Error> {
    let stored = views.get(LAST_START, SITE).await?;
    Ok(stored.map(|document| String::from_utf8_lossy(&document.body).into_owned()))
}

/// Stores the public base URL, so that `ledgerdesk doctor` can check it.
async fn remember_site(views: &dyn Views, site: &str) -> Result<(), infra::Error> {
    let stored = views.get(LAST_START, SITE).await?;
    let sequence = stored.as_ref().map_or(0, |document| document.sequence);
    if stored.is_some_and(|document| document.body == site.as_bytes()) {
        return Ok(());
    }
    let document = Document {
        sequence: sequence + 1,
        body: site.as_bytes().to_vec(),
    };
    let put = views.put(LAST_START, SITE, &document, &[], sequence);
    put.await.map(drop)
}

/// Writes a warning if the time zone is not the same as at the last start. The time zone determines the date
/// in ticket numbers and the times in responses.
async fn compare_zone(views: &dyn Views, zone: &str) -> Result<(), infra::Error> {
    let stored = views.get(LAST_START, ZONE).await?;
    let sequence = stored.as_ref().map_or(0, |document| document.sequence);
    let before = stored.map(|document| String::from_utf8_lossy(&document.body).into_owned());
    if before.as_deref() == Some(zone) {
        return Ok(());
    }
    if let Some(before) = before {
        tracing::warn!(
            before,
            zone,
            "the time zone changed since the last start; dates in ticket numbers and times in responses change with it"
        );
    }
    views
        .put(
            LAST_START,
            ZONE,
            &Document {
                sequence: sequence + 1,
                body: zone.as_bytes().to_vec(),
            },
            &[],
            sequence,
        )
        .await?;
    Ok(())
}

/// Stores in the ledger that the operator accepts the loss of commits. Then marks the heads of the lost
/// commits in the file `heads` as lost. A head is the position and the hash of a published commit.
///
/// If the process ends between the two writes, the next start finds the same loss again.
async fn accept(ledger: &infra::Ledger, lost: &Lost, data: &Path) -> Result<(), String> {
    let continued = Continued {
        published_position: lost.published,
        position: lost.position,
        missing: lost.missing(),
    };
    let command_envelope = CommandEnvelope {
        stream: domain::ledger::STREAM.into(),
        command_id: ledger.fresh_id(),
        meta: Meta::system("serve", "accept-lost-commits"),
    };
    let recorded = ledger
        .execute::<Continuations>(
            &command_envelope,
            &domain::ledger::Command(continued),
            &NoContext,
        )
        .await;
    recorded.map_err(|error| format!("cannot record the loss of commits: {error}"))?;
    heads::accept(data, lost, ledger.clock.now().0).map_err(|error| {
        format!(
            "cannot record the loss of commits in {}/{}: {error}",
            data.display(),
            heads::FILE
        )
    })?;
    tracing::warn!(
        published = lost.published,
        position = lost.position,
        missing = lost.missing(),
        "desk continues without the lost commits"
    );
    Ok(())
}

/// Waits until the process gets SIGINT or SIGTERM.
pub(super) async fn stop_signal(signals: &mut StopSignals) {
    tokio::select! {
        () = next(&mut signals.interrupt) => {}
        () = next(&mut signals.terminate) => {}
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Receives the stop signals SIGINT and SIGTERM.
///
/// The program already receives these signals during the start, so that an operator can stop the start.
pub(super) struct StopSignals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl StopSignals {
    /// Starts to receive SIGINT and SIGTERM.
    pub(super) fn listen() -> Self {
        let listen = |kind: SignalKind| {
            signal(kind)
                .inspect_err(
                    |error| tracing::warn!(%error, "cannot receive a stop signal; it ends the desk without a clean stop"),
                )
                .ok()
        };
        Self {
            interrupt: listen(SignalKind::interrupt()),
            terminate: listen(SignalKind::terminate()),
        }
    }
}
