use bcce_aws::s3::S3Store;
use bcce_aws::sfn::StateMachine;
use bcce_aws::sns::Topic;
use bcce_aws::sqs::{DeadLetters, Queues};
use bcce_aws::{StartError, SystemClock};
use dispatch::{Config, Ports, handle};

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let config = Config::from_env()?;
        let aws = bcce_aws::sdk_config()?;
        let ports = Ports {
            store: S3Store::new(&aws, &config.bucket, Some(&config.key_arn)),
            machine: StateMachine::new(&aws, &config.workflow_arn),
            batch_machine: StateMachine::new(&aws, &config.batch_arn),
            topic: Topic::new(&aws, &config.topic_arn),
            dead_letters: DeadLetters::new(&aws, &config.dead_letter_queue_url),
            queue: Queues::new(&aws),
            clock: SystemClock,
        };
        bcce_aws::serve(|event, _| handle(&ports, &config, event)).await
    })
}
