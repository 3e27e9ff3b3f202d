//! Replaces the checks of a service desk in the cloud in a program that was built without the feature `aws`. The
//! program never calls these functions.

pub(super) mod cloud {
    use super::super::Finding;
    use crate::cli::no_cloud::Cloud;

    #[expect(
        clippy::unused_async,
        reason = "the function of a program with the feature `aws` is async"
    )]
    pub(in super::super) async fn look(
        cloud: &Cloud,
        _site: Option<&str>,
        _people: Option<&str>,
    ) -> Vec<Finding> {
        match cloud.never {}
    }
}

pub(super) mod cost {
    use crate::cli::CommandError;
    use crate::cli::no_cloud::Cloud;

    #[expect(
        clippy::unused_async,
        reason = "the function of a program with the feature `aws` is async"
    )]
    pub(in super::super) async fn print(
        cloud: &Cloud,
        _hours: i64,
        _json: bool,
    ) -> Result<(), CommandError> {
        match cloud.never {}
    }
}
