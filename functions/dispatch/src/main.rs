use bcce_aws::dynamodb::Ledger;
use bcce_aws::s3::S3Store;
use bcce_aws::sfn::StateMachine;
use bcce_aws::sns::Topic;
use bcce_aws::sqs::{DeadLetters, Queues};
use bcce_aws::ssm::Parameters;
use bcce_aws::{StartError, SystemClock};
use dispatch::{Config, Full, Ports, Workflows, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let machine = StateMachine::new(&aws, &config.workflow_arn);
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, Some(&config.key_arn)),
            batch_machine: machine.with_arn(&config.batch_arn),
            machine,
            topic: Topic::new(&aws, &config.topic_arn),
            dead_letters: DeadLetters::new(&aws, &config.dead_letter_queue_url),
            queue: Queues::new(&aws),
            parameters: Parameters::new(&aws),
            ledger: Ledger::new(&aws, &config.ledger_table),
            clock: SystemClock,
            workflows: Workflows::default(),
            full: Full::default(),
            metrics: |document: &str| println!("{document}"),
        };
        bcce_aws::serve(|event, _| handle(&ports, &config, event)).await
    })
}
