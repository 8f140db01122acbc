use bcce_aws::dynamodb::Ledger;
use bcce_aws::sfn::StateMachine;
use bcce_aws::{StartError, SystemClock};
use sweep::{Config, MARGIN, Ports, Request, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let runs = StateMachine::new(&aws, &config.workflow_arn);
        let ports = Ports {
            batches: runs.with_arn(&config.batch_arn),
            finalize: runs.with_arn(&config.finalize_arn),
            runs,
            ledger: Ledger::new(&aws, &config.ledger_table),
            clock: SystemClock,
            metrics: |document: &str| println!("{document}"),
        };
        bcce_aws::serve(|request: Request, invocation| {
            let time = invocation.remaining().saturating_sub(MARGIN);
            handle(&ports, &config.environment, request, time)
        })
        .await
    })
}
