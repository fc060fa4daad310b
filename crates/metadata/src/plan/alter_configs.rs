//! IncrementalAlterConfigs (44) and the old AlterConfigs (33).
//!
//! A resource changes as a whole or not at all. A change of `min.insync.replicas` is brought to the ELRs, a change of
//! `unclean.leader.election.enable` to the leaderless partitions, in the same batch.
//! Source: `ConfigurationControlManager`, `ConfigAdminManager`; the texts are Kafka's.

use super::context::{PlanContext, Planned, RECORDS_MAX, too_many};
use super::draft::{Draft, active};
use super::periodic::elect_unclean;
use super::repeated::repeated;
use crate::config;
use crate::image::MetadataImage;
use crate::record::{ConfigResource, MetadataRecord};
use crate::request::{AlterConfig, AlterConfigResult, ConfigOp, Outcome};
use milena_types::ErrorCode;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

const MIN_ISR: &str = "min.insync.replicas";
const DURABILITY: &str = "ack.durability";
const UNCLEAN: &str = "unclean.leader.election.enable";

type Values = BTreeMap<String, String>;

/// Plans all resources of one request, each alone, in order.
#[must_use]
pub fn alter_configs(
    image: &MetadataImage,
    resources: &[AlterConfig],
    validate_only: bool,
    ctx: &PlanContext<'_>,
) -> Planned<Vec<AlterConfigResult>> {
    let mut draft = Draft::new(image, ctx);
    let mut results = Vec::with_capacity(resources.len());
    let mut changed: Vec<String> = Vec::new();
    let twice = repeated(resources.iter().map(|request| &request.resource));
    for request in resources {
        let outcome = if twice.contains(&request.resource) {
            Outcome::failed(
                ErrorCode::InvalidRequest,
                "Each resource must appear at most once.",
            )
        } else {
            alter(&mut draft, request, &mut changed)
                .err()
                .unwrap_or(Outcome::OK)
        };
        results.push(AlterConfigResult {
            resource: request.resource.clone(),
            outcome,
        });
    }
    if changed.iter().any(|key| key == MIN_ISR) {
        bring_min_isr_to_elrs(&mut draft);
    }
    if changed.iter().any(|key| key == UNCLEAN) {
        elect_unclean(&mut draft, RECORDS_MAX);
    }
    if validate_only {
        Planned::reply(results)
    } else {
        draft.reply(results)
    }
}

fn alter(draft: &mut Draft<'_>, request: &AlterConfig, changed: &mut Vec<String>) -> Result<(), Outcome> {
    check_shape(request)?;
    let current = draft
        .image
        .configs
        .get(&request.resource)
        .map(|v| Values::clone(v))
        .unwrap_or_default();
    let wanted = wanted(request, &current)?;
    config::validate_resource(&draft.image, &request.resource, &wanted, draft.ctx.defaults).map_err(
        |error| {
            let code = match &error {
                config::ResourceConfigError::Broker(_) => ErrorCode::InvalidRequest,
                config::ResourceConfigError::Other(_) => ErrorCode::InvalidConfig,
            };
            Outcome::failed(code, error.to_string())
        },
    )?;
    check_exists(&draft.image, &request.resource)?;
    check_min_isr(&draft.image, request, &wanted)?;
    check_durability(request, &current, &wanted)?;
    let keys: BTreeSet<&String> = current.keys().chain(wanted.keys()).collect();
    let named: HashSet<&String> = request.changes.iter().map(|(key, _, _)| key).collect();
    // A broker reloads files (key stores) when its setting is set again, even to the same value (KAFKA-14136).
    let reload = matches!(request.resource, ConfigResource::Broker(_));
    let is_set_again = |key: &String| reload && named.contains(key) && wanted.contains_key(key);
    let changes = |key: &&String| wanted.get(*key) != current.get(*key) || is_set_again(key);
    let keys: Vec<&String> = keys.into_iter().filter(changes).collect();
    if draft.len() + keys.len() > RECORDS_MAX {
        return Err(too_many());
    }
    for key in keys {
        draft.push(MetadataRecord::Config {
            resource: request.resource.clone(),
            key: key.clone(),
            value: wanted.get(key).cloned(),
        });
        changed.push(key.clone());
    }
    Ok(())
}

fn check_shape(request: &AlterConfig) -> Result<(), Outcome> {
    if !repeated(request.changes.iter().map(|(key, _, _)| key.as_str())).is_empty() {
        return Err(Outcome::failed(
            ErrorCode::InvalidRequest,
            "Error due to duplicate config keys",
        ));
    }
    let nulls = request
        .changes
        .iter()
        .filter(|(_, op, value)| *op != ConfigOp::Delete && value.is_none());
    let nulls: Vec<&str> = nulls.map(|(key, _, _)| key.as_str()).collect();
    if nulls.is_empty() {
        return Ok(());
    }
    let message = format!("Null value not supported for : {}", nulls.join(","));
    Err(Outcome::failed(ErrorCode::InvalidRequest, message))
}

/// All values that the resource will have.
fn wanted(request: &AlterConfig, current: &Values) -> Result<Values, Outcome> {
    let mut values = if request.replace_all {
        Values::new()
    } else {
        current.clone()
    };
    for (key, op, value) in &request.changes {
        let value = value.as_deref().unwrap_or_default();
        match op {
            ConfigOp::Set => {
                values.insert(key.clone(), value.to_owned());
            }
            ConfigOp::Delete => {
                values.remove(key);
            }
            ConfigOp::Append | ConfigOp::Subtract => {
                let list = edit_list(&request.resource, key, *op, current.get(key), value)?;
                values.insert(key.clone(), list);
            }
        }
    }
    Ok(values)
}

fn edit_list(
    resource: &ConfigResource,
    key: &str,
    op: ConfigOp,
    current: Option<&String>,
    value: &str,
) -> Result<String, Outcome> {
    let found = list_default(resource, key);
    let Some(default) = found else {
        let op = if op == ConfigOp::Append {
            "APPEND"
        } else {
            "SUBTRACT"
        };
        let message = format!("Can't {op} to key {key} because its type is not LIST.");
        return Err(Outcome::failed(ErrorCode::InvalidConfig, message));
    };
    let current = current.map_or(default, String::as_str);
    let mut items: Vec<&str> = current.split(',').filter(|item| !item.is_empty()).collect();
    match op {
        ConfigOp::Subtract => take_once_each(&mut items, value.split(',')),
        _ => {
            let mut known: HashSet<&str> = items.iter().copied().collect();
            items.extend(value.split(',').filter(|item| known.insert(*item)));
        }
    }
    Ok(items.join(","))
}

/// Takes the first occurrence away of each item that is named, the second when it is named twice.
fn take_once_each<'a>(items: &mut Vec<&str>, named: impl Iterator<Item = &'a str>) {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for item in named {
        *left.entry(item).or_default() += 1;
    }
    items.retain(|item| match left.get_mut(item) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
}

/// The default of a key whose type is a list; `None` when it is not.
fn list_default(resource: &ConfigResource, key: &str) -> Option<&'static str> {
    let is_list = |k: &&config::ConfigKey| k.kind == config::ConfigType::List;
    match resource {
        ConfigResource::Topic(_) => config::topic_key(key).filter(is_list).map(|k| k.default),
        ConfigResource::Broker(_) => config::broker::list_default(key),
        ConfigResource::ClientMetrics(_) => matches!(key, "metrics" | "match").then_some(""),
        ConfigResource::Group(_) => None,
    }
}

fn check_exists(image: &MetadataImage, resource: &ConfigResource) -> Result<(), Outcome> {
    match resource {
        ConfigResource::Topic(name) if image.topic_by_name(name.as_str()).is_none() => Err(Outcome::failed(
            ErrorCode::UnknownTopicOrPartition,
            format!("The topic '{name}' does not exist."),
        )),
        ConfigResource::Broker(Some(id)) if image.broker(*id).is_none() => Err(Outcome::failed(
            ErrorCode::BrokerIdNotRegistered,
            format!("No node with id {id} found."),
        )),
        ConfigResource::Group(name) if name.is_empty() => Err(Outcome::failed(
            ErrorCode::InvalidRequest,
            "Default group resources are not allowed.",
        )),
        _ => Ok(()),
    }
}

/// The ELR is the same for all brokers, so `min.insync.replicas` must be, too (KIP-966).
fn check_min_isr(image: &MetadataImage, request: &AlterConfig, wanted: &Values) -> Result<(), Outcome> {
    if !image.elr_enabled() {
        return Ok(());
    }
    let message = match &request.resource {
        ConfigResource::Broker(Some(_)) if wanted.contains_key(MIN_ISR) => {
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled."
        }
        ConfigResource::Broker(None) if !wanted.contains_key(MIN_ISR) => {
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
        }
        _ => return Ok(()),
    };
    let had = image.config(&request.resource, MIN_ISR).is_some();
    if matches!(request.resource, ConfigResource::Broker(None)) && !had {
        return Ok(());
    }
    Err(Outcome::failed(ErrorCode::InvalidConfig, message))
}

/// What a killed broker may lack is judged by one value, so that it must be the same for all brokers.
fn check_durability(request: &AlterConfig, current: &Values, wanted: &Values) -> Result<(), Outcome> {
    let value = wanted.get(DURABILITY);
    let of_one_broker = matches!(request.resource, ConfigResource::Broker(Some(_)));
    if !of_one_broker || value.is_none() || value == current.get(DURABILITY) {
        return Ok(());
    }
    Err(Outcome::failed(
        ErrorCode::InvalidConfig,
        "Broker-level ack.durability cannot be altered: set it for the cluster (--entity-default), or for a topic.",
    ))
}

/// Fewer replicas needed means that the ISR alone may acknowledge from now on: who is only eligible falls behind.
fn bring_min_isr_to_elrs(draft: &mut Draft<'_>) {
    let image = draft.image.clone();
    for (topic, id, state) in image.partitions().filter(|(_, _, state)| !state.elr.is_empty()) {
        draft.change_partition(topic, id, state, &active, |change| change);
    }
}

#[cfg(test)]
#[path = "alter_configs_test.rs"]
mod tests;
