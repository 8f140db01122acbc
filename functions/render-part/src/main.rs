use bcce_aws::dynamodb::Ledger;
use bcce_aws::s3::{S3Store, Sources};
use bcce_aws::{StartError, SystemClock};
use render_part::{Config, Ports, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, Some(&config.key_arn)),
            sources: Sources::new(&aws),
            ledger: Ledger::new(&aws, &config.ledger_table),
            clock: SystemClock,
        };
        bcce_aws::serve(|request, _| handle(&ports, &config, request)).await
    })
}
