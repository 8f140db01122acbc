use bcce_aws::dynamodb::Ledger;
use bcce_aws::s3::S3Store;
use bcce_aws::sns::Topic;
use bcce_aws::ssm::Parameters;
use bcce_aws::{StartError, SystemClock};
use watch_budgets::{Config, Ports, Request, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, None),
            parameters: Parameters::new(&aws),
            ledger: Ledger::new(&aws, &config.ledger_table),
            topic: Topic::new(&aws, &config.topic_arn),
            clock: SystemClock,
            metrics: |document: &str| println!("{document}"),
        };
        bcce_aws::serve(|_: Request, _| handle(&ports, &config)).await
    })
}
