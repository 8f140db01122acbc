use std::future::ready;

use bcce_aws::{StartError, SystemClock};
use failover_router::{Config, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        bcce_aws::serve(|request, _| ready(handle(&SystemClock, &config, &request))).await
    })
}
