//! The command line for people.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use functions::cli::{Cli, Command};

fn main() -> ExitCode {
    end_where_printing_fails();
    let cli = Cli::parse();
    let is_access_logged = matches!(&cli.command, Command::Serve(serve) if serve.access_log);
    let more: &[&str] = if is_access_logged { &["access=debug"] } else { &[] };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match cli.log.start(more).and_then(|()| runtime.block_on(cli.run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints why the program fails. Where standard error cannot be written either, the exit code remains.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "ledgerdesk: {text}");
}

/// A reader that has seen enough (`| head`) is no failure: printing into its closed pipe ends the program without a word. Output that cannot be written for
/// another reason, such as a full disk, is a failure like any other.
fn end_where_printing_fails() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        match text.strip_prefix("failed printing to stdout: ") {
            Some(reason) if reason.contains("Broken pipe") => std::process::exit(0),
            Some(reason) => {
                complain(&format!("cannot write to standard output: {reason}"));
                std::process::exit(1);
            }
            None => usual(panic),
        }
    }));
}
