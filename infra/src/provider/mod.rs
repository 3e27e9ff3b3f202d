//! Providers of automation: one file per provider, each a pure codec of requests and verdicts.

pub mod bk_sops;
