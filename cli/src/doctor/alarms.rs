//! Checks the alarms of the stack.

use bcce_aws::watch::Alarm;
use bcce_core::base::error::Fault;

use super::Check;

pub fn check(stack: &str, alarms: &Result<Vec<Alarm>, Fault>) -> Vec<Check> {
    let alarms = match alarms {
        Ok(alarms) => alarms,
        Err(fault) => return vec![Check::unread("alarm", "alarms", fault)],
    };
    // Another stack may have a name that begins with the name of this one, and alarms of its own.
    let is_own = |alarm: &&Alarm| {
        let rest = alarm.name.strip_prefix(stack).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| !rest.contains('-'))
    };
    let alarms: Vec<&Alarm> = alarms.iter().filter(is_own).collect();
    if alarms.is_empty() {
        let reason = format!("CloudWatch has no alarm whose name begins with {stack}-");
        return vec![Check::fail(
            "alarm",
            "alarms",
            reason,
            "deploy the stack again: `make deploy`",
        )];
    }
    let mut checks: Vec<Check> =
        alarms.iter().filter(|alarm| alarm.is_ringing).map(|alarm| ringing(alarm)).collect();
    let silent: Vec<&&Alarm> = alarms.iter().filter(|alarm| !alarm.has_target).collect();
    checks.push(match silent[..] {
        [] => Check::pass("alarm-target", "alarms", "each alarm notifies a target"),
        [first, ..] => {
            let reason = format!(
                "{} of {} alarms notify nobody, such as {}",
                silent.len(), alarms.len(), first.name
            );
            let remedy = "deploy the stack with the parameter AlarmTopicArn: `sam deploy --parameter-overrides AlarmTopicArn=ARN`";
            Check::warn("alarm-target", "alarms", reason, remedy)
        }
    });
    checks
}

fn ringing(alarm: &Alarm) -> Check {
    let reason = format!("the alarm is ringing: {}", alarm.reason);
    let remedy = "docs/runbook.md says for each alarm what to do";
    Check::warn("alarm", &alarm.name, reason, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn alarm(has_target: bool, is_ringing: bool) -> Alarm {
        Alarm { name: "s-a".into(), has_target, is_ringing, reason: "r".into() }
    }

    fn states(alarms: &[Alarm]) -> Vec<(&'static str, State)> {
        check("s", &Ok(alarms.to_vec())).iter().map(|check| (check.name, check.state)).collect()
    }

    #[test]
    fn alarms_that_ring_or_notify_nobody_are_found() {
        assert_eq!(states(&[alarm(true, false)]), [("alarm-target", State::Pass)]);
        assert_eq!(states(&[alarm(false, false)]), [("alarm-target", State::Warn)]);
        let both = [("alarm", State::Warn), ("alarm-target", State::Pass)];
        assert_eq!(states(&[alarm(true, true)]), both);
        assert_eq!(states(&[]), [("alarm", State::Fail)]);
    }
}
