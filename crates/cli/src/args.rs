//! The command line. Kafka's spellings are accepted beside Milena's own.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Milena: Kafka, translated into Rust.
#[derive(Debug, Parser)]
#[command(name = "milena", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a node until SIGTERM.
    Server(ServerArguments),
    /// Prepares and shows the directories of a node.
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Shows the quorum of controllers.
    Quorum(QuorumArguments),
    /// Exits with 0 when a node is ready, else with 1: for health checks.
    Health(HealthArguments),
    /// Elects leaders as kafka-leader-election does, or shows what an unclean election would lose.
    LeaderElection(LeaderElectionArguments),
}

/// Where settings come from: file, then KAFKA_* variables, then overrides.
#[derive(Args, Debug)]
pub(crate) struct ConfigArguments {
    /// server.properties
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A setting that wins over file and environment; may be repeated
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Refuse keys that nobody knows, instead of warning
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ServerArguments {
    #[command(flatten)]
    pub(crate) settings: ConfigArguments,
    /// server.properties, as kafka-server-start takes it
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,
    /// The cluster that empty directories are formatted for; without one the voters agree on a random id
    #[arg(
        short = 't',
        long,
        env = "CLUSTER_ID",
        value_name = "ID",
        hide_env_values = true
    )]
    pub(crate) cluster_id: Option<String>,
    /// How logs are written
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<Format>,
    /// Only check the configuration, and exit
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// Prints a new random id, for a cluster
    RandomUuid,
    /// Binds the node's directories to a cluster
    Format {
        #[command(flatten)]
        settings: ConfigArguments,
        /// The cluster's id
        #[arg(
            short = 't',
            long,
            env = "CLUSTER_ID",
            value_name = "ID",
            hide_env_values = true
        )]
        cluster_id: String,
        /// Leave directories that are already formatted for this node and cluster
        #[arg(short = 'g', long)]
        ignore_formatted: bool,
        /// Accepted as Kafka's; voters come from controller.quorum.voters
        #[arg(short = 's', long, hide = true)]
        standalone: bool,
        /// Accepted as Kafka's; voters come from controller.quorum.voters
        #[arg(short = 'N', long, hide = true)]
        no_initial_controllers: bool,
        /// Accepted as Kafka's
        #[arg(short = 'r', long, hide = true)]
        release_version: Option<String>,
    },
    /// Shows whose the node's directories are
    Info {
        #[command(flatten)]
        settings: ConfigArguments,
    },
}

#[derive(Args, Debug)]
pub(crate) struct QuorumArguments {
    /// Controllers to ask: host:port, separated by commas
    #[arg(long, visible_alias = "bootstrap-controller", value_name = "HOST:PORT,...")]
    pub(crate) controllers: String,
    /// Print the id of the active controller and nothing else
    #[arg(long)]
    pub(crate) leader: bool,
    /// `describe`, the only thing to do; may be left out
    #[arg(value_parser = ["describe"], hide = true)]
    pub(crate) action: Option<String>,
    /// Accepted as Kafka's
    #[arg(long, hide = true)]
    pub(crate) status: bool,
}

#[derive(Args, Debug)]
pub(crate) struct HealthArguments {
    /// The node's milena.admin.listen
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin: String,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("partitions").required(true))]
pub(crate) struct LeaderElectionArguments {
    /// Brokers to ask: host:port, separated by commas
    #[arg(long, value_name = "HOST:PORT,...")]
    pub(crate) bootstrap_server: String,
    /// preferred, or unclean: a leader that may lack records, for partitions that have none
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) election_type: ElectionType,
    /// The topic of --partition
    #[arg(long, group = "partitions", requires = "partition")]
    pub(crate) topic: Option<String>,
    /// The partition of --topic
    #[arg(long, requires = "topic")]
    pub(crate) partition: Option<i32>,
    /// A file: {"partitions": [{"topic": "a", "partition": 0}]}
    #[arg(long, group = "partitions", value_name = "FILE")]
    pub(crate) path_to_json_file: Option<PathBuf>,
    /// All partitions that the election is for
    #[arg(long, group = "partitions")]
    pub(crate) all_topic_partitions: bool,
    /// Elect nobody: show for each replica what would be lost if it led
    #[arg(long)]
    pub(crate) plan: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ElectionType {
    Preferred,
    Unclean,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn kafkas_spellings_are_understood() {
        Arguments::command().debug_assert();
        for line in [
            "milena server --config f --override a=b --override c=d --strict --cluster-id x",
            "milena server f --override a=b",
            "milena server -c f -t x --log-format json",
            "milena storage random-uuid",
            "milena storage format -t x -c f -g",
            "milena storage format --cluster-id x --config f --ignore-formatted --standalone",
            "milena storage info -c f",
            "milena quorum --controllers h:1,i:2 --leader",
            "milena quorum --bootstrap-controller h:1 describe --status",
            "milena health --admin 127.0.0.1:8080",
            "milena leader-election --bootstrap-server h:1 --election-type UNCLEAN --topic t --partition 0 --plan",
            "milena leader-election --bootstrap-server h:1 --election-type preferred --all-topic-partitions",
            "milena leader-election --bootstrap-server h:1 --election-type unclean --path-to-json-file f",
        ] {
            let parsed = Arguments::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
        for line in [
            "milena",
            "milena serve",
            "milena storage format -c f",
            "milena quorum --leader",
            "milena leader-election --bootstrap-server h:1 --election-type unclean",
            "milena leader-election --bootstrap-server h:1 --election-type unclean --topic t",
            "milena leader-election --bootstrap-server h:1 --election-type unclean --topic t --partition 0 --all-topic-partitions",
            "milena leader-election --bootstrap-server h:1 --election-type any --all-topic-partitions",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
