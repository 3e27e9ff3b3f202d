//! The command line for people.

use std::process::ExitCode;

use clap::Parser as _;
use functions::cli::{Cli, Command};

fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    let cli = Cli::parse();
    let is_access_logged = matches!(&cli.command, Command::Serve(serve) if serve.access_log);
    let more: &[&str] = if is_access_logged { &["access=debug"] } else { &[] };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ledgerdesk: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match cli.log.start(more).and_then(|()| runtime.block_on(cli.run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ledgerdesk: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// A reader that has seen enough (`| head`) is no failure of ours: printing into its closed pipe ends the program without a word.
fn end_quietly_when_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(panic);
    }));
}
