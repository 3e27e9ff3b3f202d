//! Runs an OpenLDAP server (slapd) on this machine for the demo. The server contains a few accounts of the demo
//! company. After three wrong passwords, the server locks an account.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use domain::automation::steps::AccountState;
use infra::accounts::ldap::Ldap;
use infra::accounts::{Accounts as _, AccountsError, Protection, Server};
use infra::http::egress::Egress;
use tokio::net::TcpListener;
use tokio::process::{ChildStdin, Command};

use super::{PAUSE, find_program};

/// The accounts that the demo locks with wrong passwords.
pub(super) const LOCKED: [&str; 3] = ["lisi", "chenwen", "weier"];
/// An account that is not locked. A script that unlocks this account changes nothing.
pub(super) const FREE: &str = "jiangsan";
/// An account that an administrator locked. A script of the desk must not unlock this account.
pub(super) const CLOSED: &str = "shenwu";
/// The LDAP name (DN) of the directory entry below which the desk searches accounts.
pub(super) const BASE: &str = "ou=people,dc=example,dc=com";
/// The LDAP name (DN) with which the desk logs in to the server.
pub(super) const USER: &str = "cn=desk,dc=example,dc=com";
/// The LDAP password of the desk. The password is not secret, because the server accepts connections only from this
/// machine.
pub(super) const PASSWORD: &str = "desk-secret";

/// Number of wrong passwords that lock an account.
const FAILURES_MAX: u32 = 3;
/// The longest time that slapd may need to load its data. Also the longest time that slapd may need to start and answer
/// a request.
const START_MAX: Duration = Duration::from_secs(10);
/// Maximum duration of one request to slapd.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Directories in which the demo searches slapd in addition to the search path. These directories are often not part of
/// the search path of a user.
const PROGRAMS: [&str; 4] = [
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/lib/openldap",
    "/usr/libexec",
];
/// Directories that can contain the modules of slapd. The directory depends on the Linux distribution and on the kind
/// of installation.
const MODULES: [&str; 5] = [
    "usr/lib/ldap",
    "usr/lib64/openldap",
    "usr/lib/openldap",
    "usr/libexec/openldap",
    "usr/local/libexec/openldap",
];
/// Directories that can contain the schema files of slapd. The directory depends on the Linux distribution and on the
/// kind of installation.
const SCHEMAS: [&str; 3] = [
    "etc/ldap/schema",
    "etc/openldap/schema",
    "usr/local/etc/openldap/schema",
];
/// The slapd modules that the demo needs: `back_mdb` is the database, and `ppolicy` locks accounts after wrong
/// passwords.
const MODULE_NAMES: [&str; 2] = ["back_mdb", "ppolicy"];
/// The names of the LDAP schema files that the slapd configuration of the demo includes.
const SCHEMA_NAMES: [&str; 3] = ["core", "cosine", "inetorgperson"];
/// A shell script that runs slapd to load its data. `$0` is the path of slapd.
const LOAD: &str = r#"exec "$0" "$@""#;
/// A shell script that starts slapd, and ends slapd when standard input is closed. Standard input is also closed if
/// the process of the demo is killed.
const SERVE: &str = r#""$0" "$@" </dev/null & read -r line; kill $!"#;

/// The first entries of the LDAP directory, in the format LDIF. The function [`entries`] adds the accounts.
const ENTRIES: &str = "\
dn: dc=example,dc=com
objectClass: organization
objectClass: dcObject
dc: example
o: Example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people
";

/// The paths of an installed OpenLDAP server: the program slapd, its modules and its schema files.
struct Installed {
    program: PathBuf,
    modules: PathBuf,
    schema: PathBuf,
}

impl Installed {
    /// Searches slapd with its modules and its schema files. `search_path` contains directories, as in the environment
    /// variable `PATH`. If a part is missing, the error is an English text that names this part.
    fn find(search_path: &str) -> Result<Self, String> {
        let directories = std::env::split_paths(search_path).chain(PROGRAMS.map(PathBuf::from));
        let program = find_program(directories, &["slapd"]).ok_or("slapd is not installed")?;
        // If the package of slapd was extracted but not installed, its files are in the directory `root` beside the
        // program.
        let beside = program.with_file_name("root");
        let roots = [beside.as_path(), Path::new("/")];
        let find = |directories: &[&str], has_all: &dyn Fn(&Path) -> bool| {
            let mut all = roots
                .iter()
                .flat_map(|root| directories.iter().map(move |one| root.join(one)));
            all.find(|directory| has_all(directory))
        };
        let has = |directory: &Path, name: &str, ending: &str| {
            directory.join(format!("{name}.{ending}")).is_file()
        };
        let modules = find(&MODULES, &|directory| {
            MODULE_NAMES
                .iter()
                .all(|name| has(directory, name, "la") || has(directory, name, "so"))
        });
        let schema = find(&SCHEMAS, &|directory| {
            SCHEMA_NAMES
                .iter()
                .all(|name| has(directory, name, "schema"))
        });
        Ok(Self {
            modules: modules.ok_or("slapd has no modules back_mdb and ppolicy")?,
            schema: schema.ok_or("slapd has no schema files")?,
            program,
        })
    }

    /// Returns a command that runs a shell script. In the script, `$0` is the path of slapd.
    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        // slapd reserves memory for every file that it may open, so the number of open files is limited.
        command.arg("-c");
        command.arg(format!("ulimit -n 1024 2>/dev/null || :; {script}"));
        command.arg(&self.program);
        command
    }

    /// Returns the text of the slapd configuration file. `data` is the directory of the database.
    fn configuration(&self, data: &Path) -> String {
        let schema = self.schema.display();
        let modules = self.modules.display();
        let data = data.display();
        format!(
            r#"include "{schema}/core.schema"
include "{schema}/cosine.schema"
include "{schema}/inetorgperson.schema"
modulepath "{modules}"
moduleload back_mdb
moduleload ppolicy

database mdb
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
directory "{data}"
maxsize 16777216
dbnosync
index objectClass,uid eq
overlay ppolicy
ppolicy_default "cn=policy,dc=example,dc=com"

access to dn.subtree="{BASE}" attrs=userPassword by anonymous auth by * none
access to dn.subtree="{BASE}" attrs=pwdAccountLockedTime by dn.exact="{USER}" write by * none
access to dn.subtree="{BASE}" attrs=pwdFailureTime by dn.exact="{USER}" manage by * none
access to dn.subtree="{BASE}" by dn.exact="{USER}" read by * none
access to dn.exact="{USER}" attrs=userPassword by anonymous auth by * none
access to * by * none
"#
        )
    }
}

/// Returns all entries of the LDAP directory in the format LDIF (RFC 2849). An empty line separates two entries.
fn entries() -> String {
    let policy = format!(
        "dn: cn=policy,dc=example,dc=com\nobjectClass: device\nobjectClass: pwdPolicy\ncn: policy\n\
         pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: {FAILURES_MAX}\npwdLockoutDuration: 0\n"
    );
    let desk = format!(
        "dn: {USER}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\ncn: desk\n\
         userPassword: {PASSWORD}\n"
    );
    let account = |name: &str| {
        format!(
            "dn: uid={name},{BASE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
             userPassword: {name}-secret\n"
        )
    };
    let closed = format!("{}pwdAccountLockedTime: 000001010000Z\n", account(CLOSED));
    let mut all = vec![ENTRIES.to_owned(), policy, desk, closed, account(FREE)];
    all.extend(LOCKED.map(account));
    all.join("\n")
}

/// A running OpenLDAP server. The server ends when this value is dropped.
pub(super) struct Slapd {
    pub(super) port: u16,
    /// The standard input of the shell that runs slapd. When this input is closed, the shell ends slapd, see [`SERVE`].
    _input: ChildStdin,
}

impl Slapd {
    /// Starts slapd on a free port of the loopback address, and locks some accounts with wrong passwords. All files
    /// are written below `folder`. If slapd cannot run on this machine, returns the reason as an English text.
    pub(super) async fn start(folder: &Path, search_path: &str) -> Result<Self, String> {
        let installed = Installed::find(search_path)?;
        let failed = |error: std::io::Error| format!("slapd cannot be started: {error}");
        let mut builder = DirBuilder::new();
        let builder = builder.recursive(true).mode(0o700);
        builder.create(folder.join("data")).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        let (configuration, people) = (folder.join("slapd.conf"), folder.join("people.ldif"));
        let text = installed.configuration(&folder.join("data"));
        std::fs::write(&configuration, text).map_err(failed)?;
        std::fs::write(&people, entries()).map_err(failed)?;

        let mut load = installed.shell(LOAD);
        load.args(["-T", "add", "-q", "-f"]).arg(&configuration);
        load.arg("-l").arg(&people);
        load.stdin(Stdio::null()).kill_on_drop(true);
        let loaded = tokio::time::timeout(START_MAX, load.output())
            .await
            .map_err(|_| "slapd did not load its data in time".to_owned())?
            .map_err(failed)?;
        if !loaded.status.success() {
            let printed = String::from_utf8_lossy(&loaded.stderr);
            let reason = printed.trim().lines().next().unwrap_or_default();
            return Err(format!("slapd did not load its data: {reason}"));
        }

        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        drop(listener);
        let log = File::create(folder.join("slapd.log")).map_err(failed)?;
        let mut serve = installed.shell(SERVE);
        // The level "none" keeps slapd in the foreground and prints errors only.
        serve.args(["-d", "none", "-f"]).arg(&configuration);
        serve.arg("-h").arg(format!("ldap://127.0.0.1:{port}"));
        serve
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C ends all processes in the process group of the demo. The shell has its own process group, so it
            // continues to run and can end slapd.
            .process_group(0);
        let mut shell = serve.spawn().map_err(failed)?;
        let input = shell.stdin.take().ok_or("slapd has no standard input")?;
        let slapd = Self {
            port,
            _input: input,
        };
        let ldap = Ldap::new(Egress::default().with_loopback(true));
        slapd.wait(&ldap).await?;
        for account in LOCKED {
            slapd.lock(&ldap, account).await?;
        }
        Ok(slapd)
    }

    /// Returns the settings with which the desk logs in to the server.
    pub(super) fn server(&self) -> Server {
        Server {
            host: "127.0.0.1".into(),
            port: self.port,
            protection: Protection::None,
            base: BASE.into(),
            attribute: "uid".into(),
            user: USER.into(),
            password: PASSWORD.into(),
            timeout: TIMEOUT,
        }
    }

    /// Waits until the server answers.
    async fn wait(&self, ldap: &Ldap) -> Result<(), String> {
        let answered = async {
            loop {
                match ldap.read(&self.server(), FREE).await {
                    Err(AccountsError::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
                    answer => return answer,
                }
            }
        };
        let answer = tokio::time::timeout(START_MAX, answered).await;
        let answer = answer
            .map_err(|_| format!("slapd did not start within {} seconds", START_MAX.as_secs()))?;
        match answer {
            Ok(AccountState::NotLocked) => Ok(()),
            other => Err(format!("slapd gave an unexpected answer: {other:?}")),
        }
    }

    /// Logs in to an account with a wrong password until the account is locked.
    async fn lock(&self, ldap: &Ldap, account: &str) -> Result<(), String> {
        let wrong = Server {
            user: format!("uid={account},{BASE}"),
            password: "wrong".into(),
            ..self.server()
        };
        for _ in 0..FAILURES_MAX {
            // Each login fails, so the answer is always an error.
            let _ = ldap.read(&wrong, account).await;
        }
        match ldap.read(&self.server(), account).await {
            Ok(AccountState::Locked(_)) => Ok(()),
            other => Err(format!(
                "slapd did not lock an account after wrong passwords: {other:?}"
            )),
        }
    }
}
