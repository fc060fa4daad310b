//! `milena storage`: random-uuid, format, info; output as Kafka's `kafka-storage.sh`.

use crate::args::StorageCommand;
use crate::server::loaded;
use milena_node::storage::{DirectoryState, agreed_cluster, inspect};
use std::error::Error;

/// Runs the command.
pub(crate) fn run(command: StorageCommand) -> Result<(), Box<dyn Error>> {
    match command {
        StorageCommand::RandomUuid => {
            println!("{}", milena_types::Uuid::random());
            Ok(())
        }
        StorageCommand::Format {
            settings,
            cluster_id,
            ignore_formatted,
            ..
        } => {
            let done =
                milena_node::storage::format(&loaded(settings)?.config, &cluster_id, ignore_formatted)?;
            if let Some((path, reason)) = done.failed.first() {
                return Err(format!("cannot format {}: {reason}", path.display()).into());
            }
            if done.written.is_empty() {
                println!("All of the log directories are already formatted.");
            }
            for path in done.written {
                println!(
                    "Formatting directory {} for cluster {cluster_id}.",
                    path.display()
                );
            }
            Ok(())
        }
        StorageCommand::Info { settings } => info(settings),
    }
}

fn info(settings: crate::args::ConfigArguments) -> Result<(), Box<dyn Error>> {
    let config = loaded(settings)?.config;
    let directories = inspect(&config);
    println!(
        "Found log {}:",
        if directories.len() == 1 {
            "directory"
        } else {
            "directories"
        }
    );
    directories
        .iter()
        .for_each(|directory| println!("  {}", directory.path.display()));
    println!();
    let mut problems = Vec::new();
    for directory in &directories {
        match &directory.state {
            DirectoryState::Formatted(meta) => {
                let id = meta
                    .directory_id
                    .map_or_else(|| "none".to_owned(), |id| id.to_string());
                println!(
                    "Found metadata: {{cluster.id={}, directory.id={id}, node.id={}, version=1}}",
                    meta.cluster_id, meta.node_id
                );
            }
            DirectoryState::Unformatted => {
                problems.push(format!("{} is not formatted.", directory.path.display()))
            }
            DirectoryState::Damaged(reason) | DirectoryState::Unreadable(reason) => {
                problems.push(format!("{}: {reason}", directory.path.display()))
            }
        }
    }
    if let Err(error) = agreed_cluster(&directories, config.node_id, None)
        && problems.is_empty()
    {
        problems.push(error.to_string());
    }
    if problems.is_empty() {
        return Ok(());
    }
    let noun = if problems.len() == 1 {
        "problem was"
    } else {
        "problems were"
    };
    println!("\nThe following {noun} found:");
    problems.iter().for_each(|problem| println!("  {problem}"));
    Err(format!("{noun} found in the directories of node {}", config.node_id).into())
}
