//! Contains replacements of systems of other vendors. The demo and the tests use them. A replacement checks
//! requests as the vendor does.

pub mod dingtalk;
