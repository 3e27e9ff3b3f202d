//! The program that AWS Lambda starts for the functions that serve HTTP requests (`catalog::HTTP`).

use functions::host::lambda::start;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let (host, function) = start::start(|ports, _| ports).await?;
    host.serve(&function).await
}
