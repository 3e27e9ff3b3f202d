//! The program that AWS Lambda starts for the functions that process commits, queues and schedules
//! (`catalog::BACKGROUND`).

use functions::host::lambda::start;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let (host, function) = start::start(start::with_senders).await?;
    host.process(&function).await
}
