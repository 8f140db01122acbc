use bcce_aws::dynamodb::Ledger;
use bcce_aws::kms::SigningKey;
use bcce_aws::s3::S3Store;
use bcce_aws::{StartError, SystemClock};
use collect_part::{Config, Ports, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, Some(&config.key_arn)),
            ledger: Ledger::new(&aws, &config.ledger_table),
            signing_key: SigningKey::new(&aws, &config.signing_key_arn),
            clock: SystemClock,
            metrics: |document: &str| println!("{document}"),
        };
        bcce_aws::serve(|request, _| handle(&ports, &config, request)).await
    })
}
