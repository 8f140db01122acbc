use bcce_aws::StartError;
use serde_json::Value;

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(bcce_aws::serve(|_: Value, _| async { Ok(Value::Null) }))
}
