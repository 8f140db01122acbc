use bcce_aws::s3::S3Store;
use bcce_aws::sqs::Inboxes;
use bcce_aws::ssm::Parameters;
use bcce_aws::{StartError, SystemClock};
use webhook::{Config, Ports, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::impatient(bcce_aws::sdk_config()?);
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, None),
            parameters: Parameters::new(&aws),
            inbox: Inboxes::new(&aws, &config.inbox_queue_url),
            clock: SystemClock,
            sources: Default::default(),
        };
        bcce_aws::serve(|request, _| handle(&ports, &config, request)).await
    })
}
