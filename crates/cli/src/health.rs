//! `milena health`: is a node ready?

use crate::args::HealthArguments;
use std::error::Error;

/// Asks the node's admin endpoint.
pub(crate) fn run(arguments: &HealthArguments) -> Result<(), Box<dyn Error>> {
    match milena_node::admin::is_ready(&arguments.admin)? {
        Ok(()) => {
            println!("ready");
            Ok(())
        }
        Err(waiting) => Err(format!("not ready: {waiting}").into()),
    }
}
