use bcce_aws::bedrock::Bedrock;
use bcce_aws::s3::S3Store;
use bcce_aws::{StartError, SystemClock};
use invoke::{Config, Ports, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, Some(&config.key_arn)),
            model: Bedrock::new(&aws, config.bedrock_endpoint),
            clock: SystemClock,
            plans: Default::default(),
        };
        bcce_aws::serve(|request, invocation| handle(&ports, request, invocation.remaining())).await
    })
}
