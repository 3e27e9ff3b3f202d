//! Implements `ledgerdesk restore`, which verifies a backup and creates the directory of a service
//! desk from the backup.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Component, Path, PathBuf};

use clap::Args;
use infra::commit::hex;
use infra::local::{self, FILES};
use infra::store::audit::Verdict;
use infra::{backup, heads};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::backup::{
    Entry, FORMAT, KEYS, KEYS_FOLDER, KeysManifest, LEDGER, MANIFEST, Manifest, Work, bar,
    copy_file, entry_of, make_folder, named, paths_below, prove, resolved, sound, words,
};
use super::uploads;

#[derive(Debug, Args)]
pub struct Restore {
    /// The directory of the backup.
    pub directory: PathBuf,
    /// The directory for the restored service desk. It must be empty or not exist yet.
    #[arg(long)]
    pub data: PathBuf,
    /// The directory with the copy of the names and keys of people [default: the folder `keys` of
    /// the backup].
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Verify the backup and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation. Without a terminal, the command never asks.
    #[arg(long)]
    pub yes: bool,
    /// The value of the global option `--json`, which the caller sets.
    #[arg(skip)]
    pub json: bool,
}

/// The result of a successful verification: the manifest (list of files) of the backup, the
/// manifest of the key store copy, and the result of the ledger check.
struct Verified {
    manifest: Manifest,
    keys: KeysManifest,
    verdict: Verdict,
}

impl Restore {
    /// Verifies the backup. If the user confirms the restore, the function creates the directory of
    /// the service desk.
    pub async fn run(self) -> Result<(), String> {
        let keys_at = self
            .keys
            .clone()
            .unwrap_or_else(|| self.directory.join(KEYS_FOLDER));
        let is_used =
            std::fs::read_dir(&self.data).is_ok_and(|mut entries| entries.next().is_some());
        if is_used {
            return Err(format!(
                "{} is not empty; specify a new or empty directory",
                self.data.display()
            ));
        }
        for from in [&self.directory, &keys_at] {
            if resolved(&self.data).starts_with(resolved(from)) {
                return Err(format!(
                    "{} is inside {}; specify a directory outside the backup for the desk",
                    self.data.display(),
                    from.display()
                ));
            }
        }
        let verified = self.verify(&keys_at).await?;
        if self.dry_run {
            self.report(&verified, "would be restored");
            return Ok(());
        }
        if !self.is_confirmed(&verified)? {
            return Err("nothing was restored".into());
        }
        let work = Work::begin(&self.data)?;
        make_folder(&work.at.join(FILES))?;
        for entry in &verified.manifest.files {
            take(
                &self.directory.join(&entry.path),
                &work.at.join(&entry.path),
                entry,
            )?;
        }
        take(
            &keys_at.join(KEYS),
            &work.at.join(KEYS),
            &verified.keys.file,
        )?;
        work.finish(LEDGER)?;
        self.report(&verified, "is restored");
        Ok(())
    }

    /// Verifies the files and the ledger of the backup. Also checks that the key store and the
    /// ledger belong to the same service desk.
    async fn verify(&self, keys_at: &Path) -> Result<Verified, String> {
        let directory = &self.directory;
        let manifest: Manifest = manifest(directory, "this is not a complete backup")?;
        if !keys_at.join(KEYS).exists() {
            return Err(format!(
                "{} is missing: without people and keys, names and sealed values of this ledger cannot be read; specify the copy of this backup or a \
                 later copy of the same desk with --keys",
                keys_at.join(KEYS).display()
            ));
        }
        let keys: KeysManifest = manifest_of_keys(keys_at)?;
        let mut findings = Vec::new();
        for entry in &manifest.files {
            findings.extend(wrong(directory, entry)?);
        }
        findings.extend(wrong(keys_at, &keys.file)?);
        findings.extend(extra(
            directory,
            manifest.files.iter().map(|entry| entry.path.as_str()),
            true,
        )?);
        findings.extend(extra(
            keys_at,
            [keys.file.path.as_str()].into_iter(),
            false,
        )?);
        for must in [LEDGER, heads::FILE] {
            if !manifest.files.iter().any(|entry| entry.path == must) {
                findings.push(format!("{must} is missing in {MANIFEST}"));
            }
        }
        if !findings.is_empty() {
            return Err(format!(
                "the backup in {} was changed after it was written: {}",
                directory.display(),
                named(&findings)
            ));
        }
        for (file, of) in [
            (directory.join(LEDGER), &manifest.ledger_id),
            (keys_at.join(KEYS), &keys.ledger_id),
        ] {
            let id = backup::key_store(&file).map_err(words)?.unwrap_or_default();
            if id != *of {
                return Err(format!(
                    "{} belongs to key store {id:?}, but {MANIFEST} has {of:?}",
                    file.display()
                ));
            }
        }
        if manifest.ledger_id != keys.ledger_id {
            return Err(format!(
                "the ledger belongs to key store {}, but {} is key store {}: these keys belong to another desk",
                manifest.ledger_id,
                keys_at.join(KEYS).display(),
                keys.ledger_id
            ));
        }
        sound(&keys_at.join(KEYS))?;
        let bar = bar();
        bar.set_message("verifying");
        let verdict = prove(
            directory,
            &heads::read(directory).map_err(words)?.heads,
            &bar,
        )
        .await?;
        bar.finish_and_clear();
        let (position, feed_hash) = (verdict.head.position, hex(&verdict.head.feed_hash));
        if (position, &feed_hash, verdict.commits)
            != (manifest.position, &manifest.feed_hash, manifest.commits)
        {
            return Err(format!(
                "{LEDGER} ends at {position}:{feed_hash} with {} commits, but {MANIFEST} has {}:{} with {}",
                verdict.commits, manifest.position, manifest.feed_hash, manifest.commits
            ));
        }
        let copy = local::look_apart(directory, keys_at, false).map_err(words)?;
        let mut missing =
            uploads::look(&copy.ledger, &copy.attachments, &*copy.blob, copy.has_keys)
                .await
                .map_err(words)?
                .missing;
        missing.retain(|(_, what)| !manifest.missing.contains(what));
        if !missing.is_empty() {
            let missing: Vec<String> = missing.into_iter().map(|(_, what)| what).collect();
            return Err(format!(
                "the backup in {} lacks uploads that {MANIFEST} does not list as missing: {}",
                directory.display(),
                named(&missing)
            ));
        }
        Ok(Verified {
            manifest,
            keys,
            verdict,
        })
    }

    /// Asks the user for confirmation if the standard input is a terminal. Without a terminal, the
    /// restore counts as confirmed.
    fn is_confirmed(&self, verified: &Verified) -> Result<bool, String> {
        if self.yes || self.json || !std::io::stdin().is_terminal() {
            return Ok(true);
        }
        print!(
            "restore {} commits of {} into {}? [y/N] ",
            verified.verdict.commits,
            verified.manifest.made_at,
            self.data.display()
        );
        std::io::stdout()
            .flush()
            .map_err(|error| error.to_string())?;
        let mut answer = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|error| error.to_string())?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    fn report(
        &self,
        Verified {
            manifest,
            keys,
            verdict,
        }: &Verified,
        result: &str,
    ) {
        if self.json {
            let report = json!({
                "data": self.data, "restored": !self.dry_run, "ledger_id": manifest.ledger_id, "made_at": manifest.made_at, "keys_made_at": keys.made_at,
                "position": verdict.head.position, "feed_hash": manifest.feed_hash, "commits": verdict.commits, "files": manifest.files.len(),
                "missing": manifest.missing,
            });
            println!("{report}");
            return;
        }
        println!(
            "{} {result} from {}: {} commits, {} files, verified; head {}:{}",
            self.data.display(),
            self.directory.display(),
            verdict.commits,
            manifest.files.len(),
            manifest.position,
            manifest.feed_hash
        );
        if keys.made_at < manifest.made_at {
            println!(
                "note: the keys of {} are older than the ledger of {}: people registered in between have no names, and \
                 `serve` needs --accept-lost-people if they acted",
                keys.made_at, manifest.made_at
            );
        }
        for missing in &manifest.missing {
            println!("note: missing in the desk during the backup: {missing}");
        }
    }
}

/// Reads and returns the manifest file of a directory (the list of the files in a backup). If the
/// manifest is missing, the function returns an error. This error text ends with the advice
/// `otherwise`.
fn manifest<T: DeserializeOwned>(directory: &Path, otherwise: &str) -> Result<T, String> {
    let path = directory.join(MANIFEST);
    let text = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{} is missing: {otherwise}", path.display()),
        _ => format!("cannot read {}: {error}", path.display()),
    })?;
    let value: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| format!("{} was changed or shortened: {error}", path.display()))?;
    if let Some(format) = value["format"]
        .as_u64()
        .filter(|format| *format > u64::from(FORMAT))
    {
        return Err(format!(
            "{} has format {format}, but this program supports only {FORMAT}; use a newer program",
            path.display()
        ));
    }
    serde_json::from_value(value)
        .map_err(|error| format!("{} was changed: {error}", path.display()))
}

fn manifest_of_keys(keys_at: &Path) -> Result<KeysManifest, String> {
    manifest(keys_at, "this is not a complete copy of people and keys")
}

/// Returns whether a path from the manifest (the list of the files in a backup) leads to a file
/// outside the backup. Such a path means that the manifest is forged.
fn points_outside(path: &str) -> bool {
    path.is_empty()
        || !Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

/// Compares a file of a backup with its entry in the manifest (the list of the files in a backup).
/// Returns a description of the difference, or `None` if file and entry match.
fn wrong(directory: &Path, entry: &Entry) -> Result<Option<String>, String> {
    let Entry {
        path,
        bytes,
        blake3,
    } = entry;
    if points_outside(path) {
        return Ok(Some(format!(
            "{MANIFEST} lists {path:?}, which is not a valid path in a backup"
        )));
    }
    let file = directory.join(path);
    let size = match std::fs::symlink_metadata(&file) {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => return Ok(Some(format!("{path} is not a file"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Some(format!("{path} is missing")));
        }
        Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
    };
    if size < *bytes {
        return Ok(Some(format!(
            "{path} is shortened: it has {size} of {bytes} bytes"
        )));
    }
    if size > *bytes {
        return Ok(Some(format!(
            "{path} was changed: it has {size} bytes instead of {bytes}"
        )));
    }
    Ok((entry_of(&file, path)?.blake3 != *blake3).then(|| format!("{path} was changed")))
}

/// Returns a description of each file that is in the directory but not in the manifest (the list of
/// the files in a backup).
fn extra<'a>(
    directory: &Path,
    known: impl Iterator<Item = &'a str>,
    is_backup: bool,
) -> Result<Vec<String>, String> {
    let known: BTreeSet<&str> = known.collect();
    let keys = format!("{KEYS_FOLDER}/");
    let is_extra = |path: &&String| {
        path.as_str() != MANIFEST
            && !(is_backup && path.starts_with(&keys))
            && !known.contains(path.as_str())
    };
    let paths = paths_below(directory, false)?;
    Ok(paths
        .iter()
        .filter(is_extra)
        .map(|path| format!("{path} is not listed in {MANIFEST}"))
        .collect())
}

/// Copies a file of a backup. Returns an error if the size or the hash of the copy differs from
/// `entry`, the description of the file in the backup.
fn take(source: &Path, target: &Path, entry: &Entry) -> Result<(), String> {
    if let Some(folder) = target.parent() {
        make_folder(folder)?;
    }
    match copy_file(source, target, &entry.path)? {
        Some(copied) if copied == *entry => Ok(()),
        _ => Err(format!(
            "{} was changed during the restore; nothing was restored",
            source.display()
        )),
    }
}
