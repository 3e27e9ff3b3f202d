//! Replaces the clients of a service desk in the cloud in a program that was built without the feature `aws`. Such a
//! program works only on service desks in a directory.

use std::convert::Infallible;
use std::sync::Arc;

use infra::Ports;
use infra::pages::Pages;

/// The error of a command that works on a service desk in the cloud.
pub(super) const NO_CLOUD: &str = "this program works only on desks in a directory: for a desk in the cloud, build the program with `cargo build --release --features aws`";

/// The clients of a service desk in the cloud. The program cannot create a value of this type.
pub struct Cloud {
    pub ports: Ports,
    pub pages: Arc<dyn Pages>,
    pub(super) never: Infallible,
}
