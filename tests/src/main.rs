//! Serves the scripted model on loopback until the process is ended. Usage: `scripted-model --port 0`. Batch inference
//! reads and writes its objects at `AWS_ENDPOINT_URL`, or in memory if the variable is not set.
//!
//! `scripted-model --count-findings` reads a diff from standard input and prints the number of findings that its review
//! would have, so that the demo can choose a diff.

use std::{error::Error, io::Read, net::Ipv4Addr, sync::Arc};

use bcce_aws::{optional_variable, sdk_config};
use bcce_tests::scripted_model::{Jobs, Model, Store, count_findings, serve};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--port", port] => port.parse()?,
        ["--count-findings"] => {
            let mut diff = String::new();
            std::io::stdin().read_to_string(&mut diff)?;
            println!("{}", count_findings(&diff));
            return Ok(());
        }
        _ => return Err(
            "usage: scripted-model --port <port, 0 for a free one>, or --count-findings < <diff>"
                .into(),
        ),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let model = Arc::new(Model::default());
    let store = match optional_variable("AWS_ENDPOINT_URL") {
        Some(_) => Store::s3(&sdk_config()?),
        None => Store::default(),
    };
    serve(listener, model.clone(), Arc::new(Jobs::new(model, store))).await;
    Ok(())
}
