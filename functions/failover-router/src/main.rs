use bcce_aws::health::HealthTable;
use bcce_aws::{StartError, SystemClock};
use bcce_core::io::shared_breakers::SharedBreakers;
use failover_router::{Config, Ports, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let health = SharedBreakers::new(HealthTable::new(&aws, &config.ledger_table));
        let metrics = |document: &str| println!("{document}");
        let ports = Ports { health, clock: SystemClock, metrics };
        bcce_aws::serve(|request, _| handle(&ports, &config, request)).await
    })
}
