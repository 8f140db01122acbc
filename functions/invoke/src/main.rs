use bcce_aws::bedrock::Bedrock;
use bcce_aws::health::HealthTable;
use bcce_aws::s3::S3Store;
use bcce_aws::xray::XRay;
use bcce_aws::{StartError, SystemClock};
use bcce_core::io::shared_breakers::SharedBreakers;
use bcce_core::io::step::Caller;
use bcce_core::io::traced::Traced;
use invoke::{Config, Ports, Request, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, Some(&config.key_arn)),
            caller: Caller {
                model: Traced {
                    model: Bedrock::new(&aws, config.bedrock_endpoint.clone()),
                    spans: XRay::from_env(),
                },
                clock: SystemClock,
                health: SharedBreakers::new(HealthTable::new(&aws, &config.ledger_table)),
                grammars: Default::default(),
            },
            plans: Default::default(),
            metrics: |document: &str| println!("{document}"),
        };
        bcce_aws::serve(|request: Request, invocation| {
            handle(&ports, &config, Request { remaining: invocation.remaining(), ..request })
        })
        .await
    })
}
