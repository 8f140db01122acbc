use bcce_aws::StartError;
use bcce_aws::s3::S3Store;
use choose_leftovers::{Config, Ports, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let ports = Ports { store: S3Store::new(&aws, &config.bucket, Some(&config.key_arn)) };
        bcce_aws::serve(|request, _| handle(&ports, &config, request)).await
    })
}
