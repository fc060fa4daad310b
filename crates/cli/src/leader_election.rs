//! `milena leader-election`: output as `kafka-leader-election.sh`; with `--plan`, what an unclean election would lose.

use crate::args::{ElectionType, LeaderElectionArguments};
use milena_node::leader_election::{
    Forecast, Loss, Outcome, PartitionPlan, Wanted, elect, partitions_of_json, plan,
};
use milena_types::BrokerId;
use std::error::Error;
use std::fmt::Write as _;

/// Asks, and prints.
pub(crate) fn run(arguments: &LeaderElectionArguments) -> Result<(), Box<dyn Error>> {
    let wanted = wanted(arguments)?;
    let unclean = arguments.election_type == ElectionType::Unclean;
    if arguments.plan {
        if !unclean {
            return Err("--plan is for --election-type unclean: a preferred election loses nothing".into());
        }
        let plans = plan(&arguments.bootstrap_server, &wanted)?;
        print!("{}", shown(&plans));
        return Ok(());
    }
    let outcomes = elect(&arguments.bootstrap_server, unclean, &wanted)?;
    let election = if unclean { "UNCLEAN" } else { "PREFERRED" };
    let named = |wanted: &Outcome| {
        let these = outcomes.iter().filter(|(_, outcome)| outcome == wanted);
        these
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (elected, not_needed) = (named(&Outcome::Elected), named(&Outcome::NotNeeded));
    if !elected.is_empty() {
        println!("Successfully completed leader election ({election}) for partitions {elected}");
    }
    if !not_needed.is_empty() {
        println!("Valid replica already elected for partitions {not_needed}");
    }
    let mut failed = 0;
    for (name, outcome) in &outcomes {
        if let Outcome::Failed(reason) = outcome {
            println!("Error completing leader election ({election}) for partition: {name}: {reason}");
            failed += 1;
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} replica(s) could not be elected").into()),
    }
}

fn wanted(arguments: &LeaderElectionArguments) -> Result<Wanted, Box<dyn Error>> {
    if let (Some(topic), Some(partition)) = (&arguments.topic, arguments.partition) {
        return Ok(Some(vec![(topic.clone(), partition)]));
    }
    let Some(path) = &arguments.path_to_json_file else {
        return Ok(None);
    };
    let wrong = |reason: String| format!("{}: {reason}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(partitions_of_json(&text).map_err(wrong)?))
}

fn shown(plans: &[PartitionPlan]) -> String {
    let mut out = String::new();
    let leaderless = plans.iter().filter(|plan| plan.leader.is_none());
    for plan in leaderless {
        let [isr, elr, last] = plan.holders.each_ref().map(|ids| list(ids));
        let _ = writeln!(
            out,
            "{}: no leader, leader epoch {}; ISR {isr}, ELR {elr}, last known leader {last}",
            plan.name, plan.leader_epoch
        );
        for (broker, found) in &plan.replicas {
            let next = match plan.next == Some(*broker) {
                true => " (an unclean election takes it)",
                false => "",
            };
            let _ = match found {
                Ok(forecast) => writeln!(out, "  broker {broker}{next}: {}", cost(forecast)),
                Err(reason) => writeln!(
                    out,
                    "  broker {broker}: cannot be asked, what only it has would be lost: {reason}"
                ),
            };
        }
    }
    let led: Vec<_> = plans
        .iter()
        .filter(|plan| plan.leader.is_some())
        .map(|plan| plan.name.as_str())
        .collect();
    match led.len() {
        0 => {}
        1..=20 => drop(writeln!(
            out,
            "Valid replica already elected for partitions {}",
            led.join(", ")
        )),
        count => drop(writeln!(
            out,
            "Valid replica already elected for {count} partitions"
        )),
    }
    out
}

fn list(ids: &[BrokerId]) -> String {
    match ids {
        [] => "none".to_owned(),
        ids => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

fn cost(forecast: &Forecast) -> String {
    let candidate = &forecast.candidate;
    let epoch = match candidate.last_epoch {
        Some(epoch) => format!("last leader epoch {epoch}"),
        None => "no record".to_owned(),
    };
    let each = |loss: &Loss| {
        let (from, last) = (loss.from, loss.to.plus(-1));
        format!(
            "{} offsets of broker {}: from {from} to {last}",
            loss.to.since(from),
            loss.broker
        )
    };
    let losses: Vec<_> = forecast.losses.iter().map(each).collect();
    let lost = match losses.is_empty() {
        true => "would lose nothing that another replica here has".to_owned(),
        false => format!("would lose {}", losses.join(", ")),
    };
    format!(
        "log start {}, log end {}, {epoch}: {lost}",
        candidate.log_start, candidate.log_end
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_node::leader_election::Candidate;
    use milena_types::{LeaderEpoch, Offset};

    #[test]
    fn a_plan_names_each_replica_and_its_cost() {
        let forecast = |broker, log_end, losses| Forecast {
            candidate: Candidate {
                broker: BrokerId(broker),
                log_start: Offset(0),
                log_end: Offset(log_end),
                last_epoch: Some(LeaderEpoch(5)),
            },
            losses,
        };
        let waits = PartitionPlan {
            name: "t-0".to_owned(),
            leader: None,
            leader_epoch: 7,
            holders: [vec![BrokerId(3)], vec![], vec![]],
            next: Some(BrokerId(1)),
            replicas: vec![
                (
                    BrokerId(1),
                    Ok(forecast(
                        1,
                        120,
                        vec![Loss {
                            broker: BrokerId(2),
                            from: Offset(120),
                            to: Offset(150),
                        }],
                    )),
                ),
                (BrokerId(2), Ok(forecast(2, 150, Vec::new()))),
                (BrokerId(3), Err("no broker answers".to_owned())),
            ],
        };
        let led = PartitionPlan {
            name: "t-1".to_owned(),
            leader: Some(BrokerId(1)),
            replicas: Vec::new(),
            ..waits.clone()
        };
        assert_eq!(
            shown(&[waits, led]),
            "t-0: no leader, leader epoch 7; ISR 3, ELR none, last known leader none\n  \
             broker 1 (an unclean election takes it): log start 0, log end 120, last leader epoch 5: would lose 30 offsets of broker 2: from 120 to 149\n  \
             broker 2: log start 0, log end 150, last leader epoch 5: would lose nothing that another replica here has\n  \
             broker 3: cannot be asked, what only it has would be lost: no broker answers\n\
             Valid replica already elected for partitions t-1\n"
        );
    }
}
