//! What follows from several settings together: node id, roles, listeners, voters, directories.
//!
//! Defaults where Kafka has none, so that an empty configuration is a single combined node: `process.roles` follows
//! from the voters, listeners from the advertised ones (host 0.0.0.0), the controller's listener from this node's
//! entry among the voters.

use super::address::{Address, LISTENER_FORM, Listener, VOTER_FORM, Voter};
use super::finding::Problem;
use super::settings::Settings;
use crate::telemetry;
use milena_types::BrokerId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The listener name that stands for controllers when `controller.listener.names` is not set.
const DEFAULT_CONTROLLER_LISTENER: &str = "CONTROLLER";
/// Where the only controller of a single node listens when nothing says so.
const DEFAULT_CONTROLLER_PORT: u16 = 9093;

/// `process.roles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Serves clients and keeps partitions.
    pub broker: bool,
    /// Votes on metadata.
    pub controller: bool,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// `node.id`.
    pub node_id: BrokerId,
    /// `process.roles`.
    pub roles: Roles,
    /// Where clients and brokers are served; empty without the broker role.
    pub broker_listeners: Vec<Listener>,
    /// How those listeners are reached by others: same names.
    pub advertised_listeners: Vec<Listener>,
    /// The name of the listener that brokers use among themselves.
    pub inter_broker_listener: String,
    /// Where the controller serves; empty without the controller role.
    pub controller_listeners: Vec<Listener>,
    /// All voters; on a node without the controller role it may be empty.
    pub voters: Vec<Voter>,
    /// Where controllers are reached: the voters, or `controller.quorum.bootstrap.servers`.
    pub controller_addresses: Vec<Address>,
    /// `log.dirs`, at least one.
    pub log_dirs: Vec<PathBuf>,
    /// `metadata.log.dir`, or the first log dir.
    pub metadata_log_dir: PathBuf,
    /// `milena.admin.listen`.
    pub admin_listen: Option<Address>,
    /// Every other setting.
    pub settings: Settings,
}

/// Derives the topology; every problem found is added, and then the result is `None`.
pub(super) fn derive(
    settings: Settings,
    hostname: &str,
    is_missing_roles_a_problem: bool,
    problems: &mut Vec<Problem>,
) -> Option<NodeConfig> {
    let before = problems.len();
    let mut draft = Draft {
        settings: &settings,
        problems,
        hostname,
        unreadable: BTreeSet::new(),
    };
    let voters = draft.voters();
    let node_id = draft.node_id(&voters);
    let roles = draft.roles(&voters, node_id);
    let controller_names = draft.controller_names();
    let protocols = draft.protocols(&controller_names);
    let bootstrap = draft.bootstrap_servers();
    let all = draft.listeners(roles, &controller_names, &voters, node_id, &bootstrap);
    let (controllers, brokers): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|listener| controller_names.contains(&listener.name));
    draft.check_roles_of_listeners(roles, &controllers, &controller_names);
    let advertised = if roles.broker {
        draft.advertised(&brokers, &controller_names)
    } else {
        Vec::new()
    };
    draft.check_protocols(&protocols, brokers.iter().chain(&controllers));
    let inter_broker_listener = if roles.broker {
        draft.inter_broker(&advertised, &protocols)
    } else {
        // A controller need not know it; where it does not, it looks at every endpoint of a broker.
        settings.text("inter.broker.listener.name").unwrap_or_default()
    };
    let voters = draft.check_voters(voters, roles, node_id, &controllers, &bootstrap);
    let controller_addresses = match voters.is_empty() {
        false => voters.iter().map(|voter| voter.address.clone()).collect(),
        true => bootstrap,
    };
    let log_dirs = draft.log_dirs();
    let metadata_log_dir = settings.text("metadata.log.dir").map(PathBuf::from);
    let admin_listen = draft.admin_listen();
    draft.check_log_level();
    if draft.problems.len() > before || is_missing_roles_a_problem {
        return None;
    }
    Some(NodeConfig {
        node_id: BrokerId(node_id),
        roles,
        broker_listeners: if roles.broker { brokers } else { Vec::new() },
        advertised_listeners: advertised,
        inter_broker_listener,
        controller_listeners: if roles.controller { controllers } else { Vec::new() },
        voters,
        controller_addresses,
        metadata_log_dir: metadata_log_dir.or_else(|| log_dirs.first().cloned())?,
        log_dirs,
        admin_listen,
        settings,
    })
}

struct Draft<'a> {
    settings: &'a Settings,
    problems: &'a mut Vec<Problem>,
    hostname: &'a str,
    /// Keys of which some item could not be read: what is missing may be just that item.
    unreadable: BTreeSet<&'static str>,
}

impl Draft<'_> {
    /// True when all of these keys say what they mean. What contradicts one that does not is no news: its own problem
    /// is reported, and when it is mended the contradiction may be gone.
    fn are_readable(&self, keys: &[&str]) -> bool {
        !keys
            .iter()
            .any(|key| self.settings.is_refused(key) || self.unreadable.contains(key))
    }

    /// Adds a problem, unless it is there already or the key's value is refused anyway.
    fn problem(&mut self, key: &str, text: impl Into<String>) {
        if self.settings.is_refused(key) {
            return;
        }
        let value = (self.settings.is_given(key) || self.settings.is_blank(key))
            .then(|| self.settings.written(key))
            .flatten();
        let origin = self.settings.origin(key);
        let problem = Problem {
            key: key.to_owned(),
            value,
            origin,
            text: text.into(),
        };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Parses every item of a list; one that does not parse is a problem.
    fn parsed<T>(&mut self, key: &'static str, parse: fn(&str) -> Option<T>, form: &str) -> Vec<T> {
        let mut items = Vec::new();
        for text in self.settings.list(key) {
            match parse(&text) {
                Some(item) => items.push(item),
                None => {
                    self.unreadable.insert(key);
                    self.problem(key, format!("'{text}' is not allowed; allowed: {form}"));
                }
            }
        }
        items
    }

    fn voters(&mut self) -> Vec<Voter> {
        let voters = self.parsed("controller.quorum.voters", Voter::parse, VOTER_FORM);
        for (at, voter) in voters.iter().enumerate() {
            for earlier in &voters[..at] {
                if earlier.id == voter.id {
                    let text = format!("id {} is given twice; allowed: each id once", voter.id);
                    self.problem("controller.quorum.voters", text);
                } else if earlier.address == voter.address {
                    let text = format!("address {} is given twice; allowed: each once", voter.address);
                    self.problem("controller.quorum.voters", text);
                }
            }
        }
        voters
    }

    fn node_id(&mut self, voters: &[Voter]) -> i32 {
        let given = self.settings.integer_if_any("node.id");
        let old = self.settings.integer_if_any("broker.id").filter(|id| *id >= 0);
        if let (Some(new), Some(old)) = (given, old)
            && new != old
        {
            self.problem(
                "broker.id",
                format!("contradicts node.id = {new}; allowed: leave broker.id out"),
            );
        }
        match (given.or(old), voters) {
            (Some(id), _) => i32::try_from(id).unwrap_or_default(),
            (None, [only]) => only.id,
            (None, []) => 1,
            (None, _) if !self.are_readable(&["node.id", "broker.id"]) => 0,
            (None, _) => {
                self.problem(
                    "node.id",
                    "required when there are several voters; allowed: an integer from 0",
                );
                0
            }
        }
    }

    fn roles(&mut self, voters: &[Voter], node_id: i32) -> Roles {
        let roles = self.settings.list("process.roles");
        if roles.is_empty() {
            let votes = voters.iter().any(|voter| voter.id == node_id);
            let is_alone =
                voters.is_empty() && !self.settings.is_given("controller.quorum.bootstrap.servers");
            return Roles {
                broker: true,
                controller: votes || is_alone,
            };
        }
        let has = |role: &str| roles.iter().any(|r| r == role);
        Roles {
            broker: has("broker"),
            controller: has("controller"),
        }
    }

    fn controller_names(&mut self) -> Vec<String> {
        let names = self.settings.list("controller.listener.names");
        match names.is_empty() {
            true => vec![DEFAULT_CONTROLLER_LISTENER.to_owned()],
            false => names.into_iter().map(|name| name.to_ascii_uppercase()).collect(),
        }
    }

    /// Listener name to security protocol; controller listeners that are not in the map are PLAINTEXT.
    fn protocols(&mut self, controller_names: &[String]) -> BTreeMap<String, String> {
        const KEY: &str = "listener.security.protocol.map";
        let mut protocols = BTreeMap::new();
        let written = self.settings.written(KEY).unwrap_or_default();
        for item in written.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let Some((name, protocol)) = item.split_once(':') else {
                self.unreadable.insert(KEY);
                self.problem(
                    KEY,
                    format!("'{item}' is not allowed; allowed: items of the form NAME:PROTOCOL"),
                );
                continue;
            };
            let (name, protocol) = (
                name.trim().to_ascii_uppercase(),
                protocol.trim().to_ascii_uppercase(),
            );
            if !matches!(
                protocol.as_str(),
                "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL"
            ) {
                self.unreadable.insert(KEY);
                let allowed = "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL";
                self.problem(
                    KEY,
                    format!("'{protocol}' of {name} is no protocol; allowed: {allowed}"),
                );
                continue;
            }
            if protocols.insert(name.clone(), protocol).is_some() {
                self.problem(KEY, format!("{name} is given twice; allowed: each listener once"));
            }
        }
        for name in controller_names {
            protocols
                .entry(name.clone())
                .or_insert_with(|| "PLAINTEXT".to_owned());
        }
        protocols
    }

    fn bootstrap_servers(&mut self) -> Vec<Address> {
        let form = "items of the form host:port";
        self.parsed("controller.quorum.bootstrap.servers", Address::parse, form)
    }

    fn listeners(
        &mut self,
        roles: Roles,
        controller_names: &[String],
        voters: &[Voter],
        node_id: i32,
        bootstrap: &[Address],
    ) -> Vec<Listener> {
        let mut listeners = self.parsed("listeners", Listener::parse, LISTENER_FORM);
        let is_given = self.settings.is_given("listeners");
        if !is_given {
            if roles.broker {
                listeners = self.derived_broker_listeners(controller_names);
            }
            if roles.controller {
                let own = voters
                    .iter()
                    .find(|voter| voter.id == node_id)
                    .map(|voter| voter.address.port);
                let port = own.or(bootstrap.first().map(|address| address.port));
                let host = if voters.len() > 1 { "0.0.0.0" } else { "127.0.0.1" };
                let host = if own.is_some() { "0.0.0.0" } else { host };
                let address = Address {
                    host: host.to_owned(),
                    port: port.unwrap_or(DEFAULT_CONTROLLER_PORT),
                };
                let name = controller_names.first().cloned().unwrap_or_default();
                listeners.push(Listener { name, address });
            }
        }
        self.check_distinct(&listeners);
        listeners
    }

    /// From the advertised listeners, with the host 0.0.0.0, or Kafka's PLAINTEXT://:9092.
    fn derived_broker_listeners(&mut self, controller_names: &[String]) -> Vec<Listener> {
        let advertised = self.settings.list("advertised.listeners");
        let parsed = advertised.iter().filter_map(|text| Listener::parse(text));
        let mut listeners: Vec<_> = parsed.filter(|l| !controller_names.contains(&l.name)).collect();
        for listener in &mut listeners {
            "0.0.0.0".clone_into(&mut listener.address.host);
        }
        if advertised.is_empty() {
            let address = Address {
                host: String::new(),
                port: 9092,
            };
            listeners.push(Listener {
                name: "PLAINTEXT".to_owned(),
                address,
            });
        }
        listeners
    }

    fn check_distinct(&mut self, listeners: &[Listener]) {
        let is_given = self.settings.is_given("listeners");
        for (at, listener) in listeners.iter().enumerate() {
            for earlier in &listeners[..at] {
                if earlier.name == listener.name && is_given {
                    let name = &listener.name;
                    let text = format!("the name {name} is given twice; allowed: each name once");
                    self.problem("listeners", text);
                } else if earlier.name != listener.name && earlier.address.collides_with(&listener.address) {
                    let text = match is_given {
                        true => format!("{earlier} and {listener} share a port; allowed: each port once"),
                        false => format!(
                            "{earlier} and {listener}, which follow from other settings, share a port; \
                             allowed: listeners with each port once"
                        ),
                    };
                    self.problem("listeners", text);
                }
            }
        }
    }

    /// Listeners that are derived stand for what they are derived from.
    fn are_listeners_readable(&self) -> bool {
        let sources = [
            "listeners",
            "advertised.listeners",
            "controller.listener.names",
            "process.roles",
        ];
        match self.settings.is_given("listeners") {
            true => self.are_readable(&["listeners", "controller.listener.names", "process.roles"]),
            false => self.are_readable(&sources),
        }
    }

    fn check_roles_of_listeners(&mut self, roles: Roles, controllers: &[Listener], names: &[String]) {
        if !self.are_listeners_readable() {
            return;
        }
        let name = names.first().map_or("", String::as_str);
        if roles.controller && controllers.is_empty() {
            let text = format!(
                "the controller role needs a listener of controller.listener.names; allowed: for example add {name}://:9093"
            );
            self.problem("listeners", text);
        }
        if !roles.controller && !controllers.is_empty() {
            let text = format!(
                "{} is in controller.listener.names, but process.roles has no controller; allowed: broker listeners only",
                controllers[0].name
            );
            self.problem("listeners", text);
        }
    }

    fn advertised(&mut self, brokers: &[Listener], controller_names: &[String]) -> Vec<Listener> {
        const KEY: &str = "advertised.listeners";
        let mut advertised = self.parsed(KEY, Listener::parse, LISTENER_FORM);
        advertised.retain(|listener| !controller_names.contains(&listener.name));
        let is_readable = self.are_listeners_readable();
        if advertised.is_empty() && self.settings.is_given(KEY) && self.are_readable(&[KEY]) && is_readable {
            let (name, port) = brokers
                .first()
                .map_or(("PLAINTEXT", 9092), |own| (own.name.as_str(), own.address.port));
            let text = format!(
                "only controllers' listeners are named; allowed: at least one that clients use, for example \
                 {name}://<host>:{port}"
            );
            self.problem(KEY, text);
        } else if brokers.is_empty() && is_readable {
            let text = "the broker role needs a listener; allowed: for example PLAINTEXT://:9092";
            self.problem("listeners", text);
        }
        if advertised.is_empty() && !self.settings.is_given(KEY) {
            advertised = brokers.to_vec();
        }
        for listener in &mut advertised {
            if listener.address.host.is_empty() {
                self.hostname.clone_into(&mut listener.address.host);
            } else if listener.address.is_wildcard() {
                let text = format!(
                    "{listener} can not be reached by others; allowed: a host that clients can reach"
                );
                self.problem(KEY, text);
            }
            let is_known = brokers.iter().any(|broker| broker.name == listener.name);
            if !is_known && !brokers.is_empty() && is_readable {
                let names: Vec<_> = brokers.iter().map(|broker| broker.name.as_str()).collect();
                let text = format!(
                    "{} is not in listeners; allowed: {}",
                    listener.name,
                    names.join(", ")
                );
                self.problem(KEY, text);
            }
        }
        for (at, listener) in advertised.iter().enumerate() {
            let is_twice = advertised[..at]
                .iter()
                .any(|earlier| earlier.name == listener.name);
            if is_twice && self.settings.is_given(KEY) {
                let name = &listener.name;
                self.problem(
                    KEY,
                    format!("the name {name} is given twice; allowed: each name once"),
                );
            }
        }
        advertised
    }

    fn check_protocols<'l>(
        &mut self,
        protocols: &BTreeMap<String, String>,
        listeners: impl Iterator<Item = &'l Listener>,
    ) {
        const KEY: &str = "listener.security.protocol.map";
        let is_complete = self.are_readable(&[KEY, "controller.listener.names"]);
        for listener in listeners {
            let name = &listener.name;
            match protocols.get(name).map(String::as_str) {
                Some("PLAINTEXT") => {}
                Some(protocol) => {
                    let text =
                        format!("{name} uses {protocol}, which is not supported yet; allowed: PLAINTEXT");
                    self.problem(KEY, text);
                }
                None if !is_complete => {}
                None => {
                    let text =
                        format!("listener {name} has no entry; allowed: for example add {name}:PLAINTEXT");
                    self.problem(KEY, text);
                }
            }
        }
    }

    fn inter_broker(&mut self, advertised: &[Listener], protocols: &BTreeMap<String, String>) -> String {
        const KEY: &str = "inter.broker.listener.name";
        const OTHER: &str = "security.inter.broker.protocol";
        let is_readable = self.are_listeners_readable()
            && self.are_readable(&["advertised.listeners", "listener.security.protocol.map", OTHER]);
        let names: Vec<_> = advertised.iter().map(|listener| listener.name.as_str()).collect();
        if let Some(name) = self.settings.text(KEY) {
            if self.settings.is_given(OTHER) {
                let text = "contradicts security.inter.broker.protocol; allowed: one of the two";
                self.problem(KEY, text);
            }
            let name = name.to_ascii_uppercase();
            if !names.contains(&name.as_str()) && !names.is_empty() && is_readable {
                self.problem(
                    KEY,
                    format!("is not an advertised listener; allowed: {}", names.join(", ")),
                );
            }
            return name;
        }
        let protocol = self.settings.text(OTHER).unwrap_or_default();
        let has_protocol = |name: &&&str| protocols.get(**name).is_some_and(|p| *p == protocol);
        let by_name = names.iter().find(|name| **name == protocol);
        let meant = by_name.or_else(|| names.iter().find(has_protocol));
        if meant.is_none() && !names.is_empty() && is_readable && self.settings.is_given(OTHER) {
            let used: BTreeSet<&str> = names
                .iter()
                .filter_map(|name| protocols.get(*name))
                .map(String::as_str)
                .collect();
            if !used.is_empty() {
                let used = used.into_iter().collect::<Vec<_>>().join(", ");
                let text = format!("no advertised listener uses it; allowed: {used}");
                self.problem(OTHER, text);
            }
        }
        match meant.or(names.first()) {
            Some(name) => (*name).to_owned(),
            None => String::new(),
        }
    }

    /// Completes the voters of a single node, and checks this node's place among them.
    fn check_voters(
        &mut self,
        voters: Vec<Voter>,
        roles: Roles,
        node_id: i32,
        controllers: &[Listener],
        bootstrap: &[Address],
    ) -> Vec<Voter> {
        const KEY: &str = "controller.quorum.voters";
        let own = controllers.first().map(|listener| listener.address.clone());
        let sources = [
            KEY,
            "node.id",
            "broker.id",
            "process.roles",
            "controller.quorum.bootstrap.servers",
        ];
        if !self.are_readable(&sources) {
            return voters;
        }
        if voters.is_empty() {
            return match (roles.controller, own) {
                // Perhaps a variable that somebody forgot to set: each of three nodes would found a cluster of its own.
                (true, _) if bootstrap.is_empty() && self.settings.is_blank(KEY) => {
                    let text = "allowed: id@host:port of each controller, separated by commas; left out, the node is alone";
                    self.problem(KEY, text);
                    voters
                }
                (true, Some(mut address)) => {
                    let is_self = bootstrap.iter().all(|server| server.port == address.port);
                    if bootstrap.len() > 1 || !is_self {
                        let text = "required with several controllers; allowed: id@host:port of each, separated by commas";
                        self.problem(KEY, text);
                    }
                    if address.is_wildcard() {
                        "127.0.0.1".clone_into(&mut address.host);
                    }
                    vec![Voter { id: node_id, address }]
                }
                (false, _) if bootstrap.is_empty() => {
                    let text = "a broker without the controller role needs it; allowed: id@host:port of each controller";
                    self.problem(KEY, text);
                    voters
                }
                _ => voters,
            };
        }
        self.check_place(&voters, roles, node_id, controllers);
        voters
    }

    /// This node is among the voters exactly when it is a controller.
    fn check_place(&mut self, voters: &[Voter], roles: Roles, node_id: i32, controllers: &[Listener]) {
        const KEY: &str = "controller.quorum.voters";
        let entry = voters.iter().find(|voter| voter.id == node_id);
        match (roles.controller, entry) {
            (true, None) => {
                let port = controllers
                    .first()
                    .map_or(DEFAULT_CONTROLLER_PORT, |own| own.address.port);
                let text =
                    format!("node {node_id} is a controller; allowed: add {node_id}@<its host>:{port}");
                self.problem(KEY, text);
            }
            (false, Some(entry)) => {
                let text = format!(
                    "{entry} is this node, but process.roles has no controller; allowed: the controllers only"
                );
                self.problem(KEY, text);
            }
            (true, Some(entry)) => {
                let port = entry.address.port;
                let is_known = !controllers.is_empty() && self.are_listeners_readable();
                if is_known && controllers.iter().all(|c| c.address.port != port) {
                    let own = controllers
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(", ");
                    let text =
                        format!("{entry} is this node; allowed: the port of its controller listener, {own}");
                    self.problem(KEY, text);
                }
            }
            (false, None) => {}
        }
    }

    fn log_dirs(&mut self) -> Vec<PathBuf> {
        let dirs = self.settings.list("log.dirs");
        let is_given = self.settings.is_given("log.dirs");
        let dirs = if is_given {
            dirs
        } else {
            self.settings.list("log.dir")
        };
        let key = if is_given { "log.dirs" } else { "log.dir" };
        let mut paths: Vec<PathBuf> = Vec::new();
        for dir in dirs {
            let path = PathBuf::from(&dir);
            if paths.contains(&path) {
                self.problem(
                    key,
                    format!("'{dir}' is given twice; allowed: each directory once"),
                );
            }
            paths.push(path);
        }
        paths
    }

    fn admin_listen(&mut self) -> Option<Address> {
        let text = self.settings.text("milena.admin.listen")?;
        let address = Address::parse(&text);
        if address.is_none() {
            self.problem("milena.admin.listen", "allowed: host:port, or empty for none");
        }
        address
    }

    fn check_log_level(&mut self) {
        const KEY: &str = "milena.log.level";
        let level = self.settings.text(KEY).map(|text| telemetry::check_level(&text));
        if let Some(Err(error)) = level {
            self.problem(KEY, error.to_string());
        }
    }
}
