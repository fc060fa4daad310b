//! The part of a compose file that a process needs.

use saphyr::{LoadableYamlNode, Yaml};
use std::collections::BTreeMap;

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name, by which the others reach it.
    pub name: String,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Ports of the host and the ports of the container behind them.
    pub ports: BTreeMap<u16, u16>,
    /// Paths in the container that outlive it.
    pub volumes: Vec<String>,
    /// The command of its health check, without `CMD`.
    pub health_check: Vec<String>,
}

/// Reads the services of a compose file, in order of their names.
///
/// # Errors
/// What is missing or malformed.
pub fn parse(text: &str) -> Result<Vec<Service>, String> {
    let documents = Yaml::load_from_str(text).map_err(|e| e.to_string())?;
    let services = documents.first().and_then(|d| d.as_mapping_get("services"));
    let services = services.and_then(Yaml::as_mapping).ok_or("no services")?;
    let mut parsed = Vec::new();
    for (name, service) in services {
        let name = text_of(name).ok_or("a service without a name")?;
        parsed.push(service_of(&name, service).map_err(|e| format!("{name}: {e}"))?);
    }
    parsed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(parsed)
}

fn service_of(name: &str, yaml: &Yaml<'_>) -> Result<Service, String> {
    let mut service = Service {
        name: name.to_owned(),
        ..Service::default()
    };
    let environment = yaml.as_mapping_get("environment").and_then(Yaml::as_mapping);
    for (key, value) in environment.ok_or("no environment")? {
        let key = text_of(key).ok_or("an environment variable without a name")?;
        let value = text_of(value).ok_or_else(|| format!("{key} has no value"))?;
        service.environment.insert(key, value);
    }
    for port in items(yaml, "ports") {
        let (host, container) = port.split_once(':').ok_or_else(|| format!("port {port}"))?;
        let number = |text: &str| text.parse::<u16>().map_err(|e| format!("port {port}: {e}"));
        service.ports.insert(number(host)?, number(container)?);
    }
    for volume in items(yaml, "volumes") {
        let (_, path) = volume.split_once(':').ok_or_else(|| format!("volume {volume}"))?;
        service.volumes.push(path.to_owned());
    }
    if let Some(check) = yaml.as_mapping_get("healthcheck") {
        service.health_check = items(check, "test").into_iter().skip(1).collect();
    }
    Ok(service)
}

fn items(yaml: &Yaml<'_>, key: &str) -> Vec<String> {
    let sequence = yaml.as_mapping_get(key).and_then(Yaml::as_sequence);
    sequence.into_iter().flatten().filter_map(text_of).collect()
}

fn text_of(yaml: &Yaml<'_>) -> Option<String> {
    let integer = || yaml.as_integer().map(|n| n.to_string());
    let boolean = || yaml.as_bool().map(|b| b.to_string());
    yaml.as_str().map(str::to_owned).or_else(integer).or_else(boolean)
}
