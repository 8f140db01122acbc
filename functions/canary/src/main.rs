use bcce_aws::bedrock::Bedrock;
use bcce_aws::control::ControlPlane;
use bcce_aws::dynamodb::Ledger;
use bcce_aws::health::HealthTable;
use bcce_aws::quotas::ServiceQuotas;
use bcce_aws::s3::S3Store;
use bcce_aws::sns::Topic;
use bcce_aws::ssm::Parameters;
use bcce_aws::{StartError, SystemClock};
use canary::{Config, Ports, Request, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let endpoint = || config.bedrock_endpoint.clone();
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, Some(&config.key_arn)),
            parameters: Parameters::new(&aws),
            ledger: Ledger::new(&aws, &config.ledger_table),
            health: HealthTable::new(&aws, &config.ledger_table),
            model: Bedrock::new(&aws, endpoint()),
            control: ControlPlane::new(&aws, endpoint()),
            quotas: ServiceQuotas::new(&aws, endpoint()),
            topic: Topic::new(&aws, &config.topic_arn),
            clock: SystemClock,
            metrics: |document: &str| println!("{document}"),
        };
        bcce_aws::serve(|request: Request, invocation| {
            handle(&ports, &config, Request { remaining: invocation.remaining(), ..request })
        })
        .await
    })
}
