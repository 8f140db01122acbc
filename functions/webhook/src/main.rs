use bcce_aws::s3::S3Store;
use bcce_aws::sqs::Inboxes;
use bcce_aws::ssm::Parameters;
use bcce_aws::{StartError, SystemClock};
use webhook::{Config, Ports, Sources, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::impatient(bcce_aws::sdk_config()?);
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, None),
            parameters: Parameters::new(&aws),
            inbox: Inboxes::new(&aws, &config.inbox_queue_url),
            clock: SystemClock,
        };
        let sources = Sources::default();
        bcce_aws::serve(|call, _| handle(&ports, &sources, &config, call)).await
    })
}
