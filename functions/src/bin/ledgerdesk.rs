//! The main function of the command line program `ledgerdesk`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use functions::cli::{Cli, Command};

fn main() -> ExitCode {
    exit_on_failed_print();
    let cli = Cli::parse();
    let is_access_logged = matches!(&cli.command, Command::Serve(serve) if serve.access_log);
    let directives: &[&str] = if is_access_logged {
        &["access=debug"]
    } else {
        &[]
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match cli
        .log
        .start(directives)
        .and_then(|()| runtime.block_on(cli.run()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints an error message to standard error. The function ignores an error of this write, because
/// the program has no other way to report errors.
fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "ledgerdesk: {text}");
}

/// Installs a panic hook that ends `ledgerdesk` if a write to standard output fails.
///
/// Another program can read the output and end early, for example `| head`. In this case,
/// `ledgerdesk` ends successfully without a message. For any other write error, such as a full
/// disk, `ledgerdesk` ends with a failure.
fn exit_on_failed_print() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic
            .payload()
            .downcast_ref::<String>()
            .map_or("", String::as_str);
        match text.strip_prefix("failed printing to stdout: ") {
            Some(reason) if reason.contains("Broken pipe") => std::process::exit(0),
            Some(reason) => {
                print_error(&format!("cannot write to standard output: {reason}"));
                std::process::exit(1);
            }
            None => default_hook(panic),
        }
    }));
}
