use bcce_aws::dynamodb::Ledger;
use bcce_aws::s3::S3Store;
use bcce_aws::ssm::Parameters;
use bcce_aws::{StartError, SystemClock};
use prepare::{Config, Ports, Request, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, Some(&config.key_arn)),
            parameters: Parameters::new(&aws),
            ledger: Ledger::new(&aws, &config.ledger_table),
            clock: SystemClock,
            documents: Default::default(),
        };
        bcce_aws::serve(|request: Request, invocation| {
            handle(&ports, &config, Request { trace_id: invocation.trace_id(), ..request })
        })
        .await
    })
}
