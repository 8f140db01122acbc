use bcce_aws::{StartError, SystemClock};
use failover_router::{Config, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        bcce_aws::serve(|request, _| async { handle(&SystemClock, &config, &request) }).await
    })
}
