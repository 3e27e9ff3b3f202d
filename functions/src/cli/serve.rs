//! `ledgerdesk serve`: a desk on one machine and one directory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use infra::caller::egress::Egress;
use infra::caller::http::Http as HttpCaller;
use infra::crash::Crash;
use infra::directory::file::File;
use infra::directory::{Directory, http::Http as HttpDirectory};
use infra::local::Local;
use infra::login::{Login, http::Http as HttpLogin, memory::Memory as NoLogin};
use jiff::tz::TimeZone;
use tokio::net::TcpListener;

use super::setup::Wanted;
use crate::App;
use crate::app::{Ports, Settings};
use crate::host::local::{CHECKPOINT, Desk, publish};

/// The application the demo company calls with; printed at start and in the README, good for loopback trials only.
pub const DEMO_APP: (&str, &str) = ("demo_app", "demo-secret-for-trials-only");

#[derive(Debug, Args)]
pub struct Serve {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The directory that holds the ledger, the keys and the views.
    #[arg(long, default_value = "data")]
    pub data: PathBuf,
    /// With --demo callbacks may also go to this machine.
    #[command(flatten)]
    pub wanted: Wanted,
    /// The base of links in answers and callbacks; the listening address if absent.
    #[arg(long)]
    pub site: Option<String>,
    /// The zone of ticket numbers and of times on the wire.
    #[arg(long, default_value = "Asia/Shanghai")]
    pub zone: String,
    /// The organization, from a file (TOML) or a service (http...): leaders, departments, businesses.
    #[arg(long, value_name = "FILE|URL")]
    pub directory: Option<String>,
    /// Private addresses that outgoing calls may go to, between commas: networks, addresses, host names, `*.domain`, `loopback`.
    #[arg(long, default_value = "", value_name = "LIST")]
    pub egress: String,
    /// Largest file that may be uploaded, in MiB.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub file_max_mib: u64,
    /// The login service that knows who a `bk_token` belongs to; without one no token is valid.
    #[arg(long)]
    pub login: Option<String>,
    /// Die at the N-th passing of a place; for tests of what survives.
    #[arg(long, hide = true, value_name = "POINT:N")]
    pub crash_at: Option<String>,
}

impl Serve {
    pub async fn run(self) -> Result<(), String> {
        let (_app, desk) = self.start().await?;
        println!("ledgerdesk serves on http://{} from {}", desk.address, self.data.display());
        if self.wanted.demo {
            println!("demo application: code {}, secret {}", DEMO_APP.0, DEMO_APP.1);
            println!("try: curl -s 'http://{}/api/c/compapi/v2/itsm/get_services/?bk_app_code={}&bk_app_secret={}'", desk.address, DEMO_APP.0, DEMO_APP.1);
        }
        stop_signal().await;
        println!("stopping");
        desk.stop().await;
        Ok(())
    }

    /// Opens the directory and starts every function.
    pub async fn start(&self) -> Result<(App, Desk), String> {
        let listener = TcpListener::bind(self.listen).await.map_err(|error| format!("cannot listen on {}: {error}", self.listen))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let app = self.open(address).await?;
        let head = app.ledger.store.head().await.map_err(|error| error.to_string())?;
        publish(&self.data, head, app.ledger.clock.now().0).map_err(|error| format!("cannot publish the head: {error}"))?;
        let desk = Desk::start(&app, listener, &self.data).map_err(|error| error.to_string())?;
        Ok((app, desk))
    }

    async fn open(&self, address: SocketAddr) -> Result<App, String> {
        let crash = Arc::new(self.crash_at.as_deref().map(Crash::armed).transpose()?.unwrap_or_default());
        let zone = TimeZone::get(&self.zone).map_err(|error| format!("zone {}: {error}", self.zone))?;
        let site = self.site.clone().unwrap_or_else(|| format!("http://{address}"));
        let settings = Settings { site: site.trim_end_matches('/').to_owned(), zone, file_bytes_max: self.file_max_mib << 20, answer_bytes_max: None };
        let words = |error: infra::Error| error.to_string();
        let local = Local::open(&self.data, &crash).map_err(words)?;
        views_fit(&local).await?;
        let login: Arc<dyn Login> = match &self.login {
            Some(base) => Arc::new(HttpLogin::new(base).map_err(words)?),
            None => Arc::new(NoLogin::default()),
        };
        let egress = Egress::read(&self.egress).map_err(|reason| format!("--egress: {reason}"))?.with_loopback(self.wanted.demo);
        let caller = Arc::new(HttpCaller::new(egress).map_err(words)?);
        let directory = organization(self.directory.as_deref(), &local.ledger).map_err(words)?;
        let ports = Ports { ledger: local.ledger, views: local.views, queue: local.queue, caller, blob: local.blob, login, directory, secrets: local.secrets };
        let app = App::new(ports, settings, crash).map_err(words)?;
        app.credentials.listens_on(address.ip());
        app.limits.apply();
        self.wanted.write(&app).await?;
        Ok(app)
    }
}

/// The directory that a file or a service is; without either nobody leads anybody.
fn organization(place: Option<&str>, ledger: &infra::Ledger) -> Result<Arc<dyn Directory>, infra::Error> {
    match place {
        None => Ok(Arc::new(File::default())),
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => Ok(Arc::new(HttpDirectory::new(url, ledger.clock.clone())?)),
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|error| infra::Error::because(infra::Kind::Misconfigured, format!("cannot read {path}"), error))?;
            Ok(Arc::new(File::read(&text)?))
        }
    }
}

/// Refuses views that are ahead of their ledger: they belong to a ledger that was replaced, and nothing would follow what is in this one.
async fn views_fit(local: &Local) -> Result<(), String> {
    let words = |error: infra::Error| error.to_string();
    let followed = local.views.get(CHECKPOINT, "follow").await.map_err(words)?.map_or(0, |checkpoint| checkpoint.sequence);
    let head = local.ledger.store.head().await.map_err(words)?.position;
    if followed <= head {
        return Ok(());
    }
    Err(format!("views.db follows position {followed}, but the ledger ends at {head}: the ledger was replaced; move views.db away and it is rebuilt"))
}

async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt => {}
        () = terminated => {}
    }
}
