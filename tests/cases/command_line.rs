//! The command line, the first page, and applications.
