//! Checks properties of a single decision, for any question.

use std::collections::HashSet;

use bcce_core::base::error::ErrorName;
use bcce_core::base::target::{Guardrail, Target};
use bcce_core::config::models::guardrails::is_same;
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::router::{Action, Ruling, decide};
use proptest::prelude::*;

use crate::cases::{Case, NOW, Stands, cases, may_be_used};
use crate::config;

/// Returns the targets to try. The list is empty if the decision is a wait or a stop.
fn order(case: &Case) -> (Vec<usize>, bool) {
    match decide(&case.question()).action {
        Action::Try { order, probes } => (order, probes),
        _ => (vec![], false),
    }
}

fn named(decision: &Decision) -> &[Target] {
    match &decision.next {
        Next::Targets(targets) => targets,
        _ => &[],
    }
}

proptest! {
    #![proptest_config(config(700))]

    #[test]
    fn no_target_outside_residency_or_the_allowed_models_is_named(case in cases()) {
        let question = case.question();
        let decision = Decision::of(&question, &decide(&question), None);
        for target in named(&decision) {
            let at = case.route.targets.iter().position(|listed| listed.target == *target);
            let place = case.places[at.expect("it is of the route")];
            prop_assert!(may_be_used(place, &case.route.policy), "{place:?}");
        }
    }

    /// This holds whatever fails, and even for a list that the check of `models.yaml` refuses.
    #[test]
    fn no_failover_leaves_the_guardrail(
        mut case in cases(),
        rails in proptest::collection::vec((0..3_u8, proptest::bool::ANY), 8),
    ) {
        for (listed, (id, is_named)) in case.route.targets.iter_mut().zip(rails) {
            let name = is_named.then(|| format!("name-{id}"));
            listed.target.guardrail = (id > 0).then(|| {
                Guardrail { id: format!("g{id}-{}", listed.target.region), version: "1".to_owned(), name }
            });
        }
        let first = case.route.targets[0].target.guardrail.clone();
        let question = case.question();
        let decision = Decision::of(&question, &decide(&question), None);
        for target in named(&decision) {
            prop_assert!(is_same(first.as_ref(), target.guardrail.as_ref()), "{target:?}");
        }
    }

    #[test]
    fn what_is_allowed_is_not_called_forbidden(case in cases()) {
        let verdict = decide(&case.question());
        for (place, ruling) in case.places.iter().zip(&verdict.ruled) {
            let may = may_be_used(place, &case.route.policy);
            prop_assert_eq!(may, *ruling != Ruling::Forbidden, "{:?}", place);
        }
    }

    #[test]
    fn an_open_breaker_is_only_used_first_due_and_as_a_probe(case in cases()) {
        let (order, probes) = order(&case);
        for (place, at) in order.into_iter().enumerate() {
            match case.stands(at) {
                Stands::Closed | Stands::Watched => prop_assert!(place > 0 || !probes),
                Stands::Due => prop_assert!(place == 0 && probes, "number {place}"),
                stands => prop_assert!(false, "{stands:?} is used"),
            }
        }
    }

    #[test]
    fn nothing_is_waited_for_or_tried_beyond_the_deadline(case in cases()) {
        match decide(&case.question()).action {
            Action::Try { .. } => prop_assert!(NOW < case.deadline),
            Action::Wait(wait) => prop_assert!(NOW + wait < case.deadline),
            Action::Stop => {}
        }
    }

    #[test]
    fn a_wait_is_of_whole_seconds_and_at_least_one(case in cases()) {
        if let Action::Wait(wait) = decide(&case.question()).action {
            prop_assert!(wait.as_secs() > 0 && wait.subsec_nanos() == 0, "{wait:?}");
        }
    }

    #[test]
    fn a_list_is_no_longer_than_the_calls_left_and_names_nothing_twice(case in cases()) {
        let (order, _) = order(&case);
        let left = (case.route.routing.attempts as usize).saturating_sub(case.attempts.len());
        prop_assert!(order.len() <= left, "{} of {left}", order.len());
        prop_assert_eq!(order.iter().collect::<HashSet<_>>().len(), order.len());
        let is_try = matches!(decide(&case.question()).action, Action::Try { .. });
        prop_assert_eq!(is_try, !order.is_empty(), "an empty list is none");
    }

    #[test]
    fn a_target_that_rejected_the_step_or_asked_it_to_wait_is_not_used(case in cases()) {
        for at in order(&case).0 {
            let target = &case.route.targets[at].target;
            let mut attempts = case.attempts.iter().filter(|attempt| attempt.target == *target);
            prop_assert!(attempts.clone().all(|a| a.error != Some(ErrorName::TargetRejected)));
            let asked = attempts.next_back().map(|last| {
                last.ended_at() + std::time::Duration::from_secs(last.retry_after_s.unwrap_or(0))
            });
            prop_assert!(asked.is_none_or(|at| at <= NOW), "{asked:?}");
        }
    }

    #[test]
    fn no_more_rounds_and_waits_than_the_history_has_room_for(case in cases()) {
        let rounds = case.decisions.iter().filter(|d| matches!(d.next, Next::Targets(_))).count();
        let (waits, room) = (case.decisions.len() - rounds, case.route.rounds as usize);
        match decide(&case.question()).action {
            Action::Try { .. } => prop_assert!(rounds < room, "round {}", rounds + 1),
            Action::Wait(_) => prop_assert!(waits + 1 < room, "wait {}", waits + 1),
            Action::Stop => {}
        }
    }

    /// A healthy target that has not failed the step is tried at once: the router neither waits nor stops.
    #[test]
    fn while_an_untried_healthy_target_is_left_it_is_tried(case in cases()) {
        let (question, policy) = (case.question(), &case.route.policy);
        let rounds = case.decisions.iter().filter(|d| matches!(d.next, Next::Targets(_))).count();
        let is_over = case.attempts.len() >= case.route.routing.attempts as usize
            || rounds >= case.route.rounds as usize
            || NOW >= case.deadline;
        let is_left = (0..case.places.len()).any(|at| {
            let target = &case.route.targets[at].target;
            matches!(case.stands(at), Stands::Closed | Stands::Watched)
                && may_be_used(case.places[at], policy)
                && case.attempts.iter().all(|attempt| attempt.target != *target)
        });
        let is_try = matches!(decide(&question).action, Action::Try { .. });
        prop_assert!(is_over || !is_left || is_try);
    }

    #[test]
    fn every_target_of_the_route_has_a_ruling_that_fits_the_list(case in cases()) {
        let question = case.question();
        let verdict = decide(&question);
        let decision = Decision::of(&question, &verdict, None);
        prop_assert_eq!(verdict.ruled.len(), case.route.targets.len());
        prop_assert_eq!(decision.candidates.len(), case.route.targets.len());
        let (order, probes) = order(&case);
        for (at, ruling) in verdict.ruled.iter().enumerate() {
            let place = order.iter().position(|taken| *taken == at);
            let expected = match place {
                Some(0) if probes => Some(Ruling::TakenToProbe),
                place => place.map(Ruling::Taken),
            };
            let taken = matches!(ruling, Ruling::Taken(_) | Ruling::TakenToProbe);
            prop_assert_eq!(taken.then_some(*ruling), expected);
            prop_assert_eq!(decision.candidates[at].taken, taken);
            prop_assert!(!decision.candidates[at].because.is_empty());
        }
    }

    #[test]
    fn a_decision_survives_its_way_through_json(
        case in cases(),
        token in proptest::option::of("[0-9a-f]{16}"),
    ) {
        let question = case.question();
        let decision = Decision::of(&question, &decide(&question), token);
        let json = serde_json::to_string(&decision).unwrap();
        prop_assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision, "{}", json);
    }

    #[test]
    fn the_same_question_has_the_same_answer(case in cases()) {
        prop_assert_eq!(decide(&case.question()), decide(&case.question()));
    }
}
