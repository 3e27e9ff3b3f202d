//! The main function of the command line program `ledgerdesk`.

use std::process::ExitCode;

fn main() -> ExitCode {
    functions::cli::main()
}
