//! A minimal Lambda function that returns its input. The script `tests/start.py` measures how long
//! the start of this program takes. It compares this time with the start time of the Lambda
//! programs of the service desk.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        Ok::<_, Error>(event.payload)
    }))
    .await
}
