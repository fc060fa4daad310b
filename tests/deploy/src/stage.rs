//! Services of a compose file as processes of this machine.

use crate::compose::Service;
use crate::program::milena;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const SIGKILL: i32 = 9;

/// Running services; dropping it kills them.
pub struct Stage {
    dir: tempfile::TempDir,
    services: Vec<Service>,
    /// (service, port in its container) to a port of loopback.
    ports: BTreeMap<(String, u16), u16>,
    children: Vec<Child>,
}

impl Stage {
    /// Gives every port of every service a free one of loopback, below the ephemeral range.
    ///
    /// # Panics
    /// When there is no temporary directory or no free port.
    #[must_use]
    pub fn new(services: Vec<Service>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("milena-compose")
            .tempdir()
            .expect("temporary directory");
        let mut stage = Self {
            dir,
            services,
            ports: BTreeMap::new(),
            children: Vec::new(),
        };
        let mut held = Vec::new();
        for (service, port) in stage.mentioned() {
            let listener = (23_000..32_000).find_map(|p| TcpListener::bind(("127.0.0.1", p)).ok());
            let listener = listener.expect("a free port");
            let free = listener.local_addr().expect("its number").port();
            stage.ports.insert((service, port), free);
            held.push(listener);
        }
        stage
    }

    /// Every (service, container port) that some environment or health check names.
    fn mentioned(&self) -> Vec<(String, u16)> {
        let mut found = Vec::new();
        for service in &self.services {
            for value in service.environment.values().chain(&service.health_check) {
                found.extend(
                    value
                        .split(',')
                        .filter_map(|item| self.target(service, item))
                        .map(|(_, t)| t),
                );
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// The address at the end of an item, and which port of which container it means there.
    fn target<'i>(&self, own: &Service, item: &'i str) -> Option<(&'i str, (String, u16))> {
        let start = item.rfind(['@', '/']).map_or(0, |at| at + 1);
        let address = &item[start..];
        let (host, port) = address.split_once(':')?;
        let port: u16 = port.parse().ok()?;
        let meant = match host {
            "127.0.0.1" => Some((own.name.clone(), port)),
            "localhost" => {
                let published = |s: &Service| s.ports.get(&port).map(|inner| (s.name.clone(), *inner));
                self.services.iter().find_map(published)
            }
            name => self
                .services
                .iter()
                .any(|s| s.name == name)
                .then(|| (name.to_owned(), port)),
        };
        meant.map(|target| (address, target))
    }

    /// A value as this machine must read it: addresses on loopback, volumes in the temporary directory.
    #[must_use]
    pub fn translated(&self, own: &Service, value: &str) -> String {
        let item = |item: &str| match self.target(own, item) {
            Some((address, target)) => {
                let port = self.ports.get(&target).copied().unwrap_or(target.1);
                format!(
                    "{}127.0.0.1:{port}",
                    item.strip_suffix(address).unwrap_or_default()
                )
            }
            None => item.to_owned(),
        };
        let mut value = value.split(',').map(item).collect::<Vec<_>>().join(",");
        for volume in &own.volumes {
            value = value.replace(volume, &self.volume(own).display().to_string());
        }
        value
    }

    fn volume(&self, service: &Service) -> PathBuf {
        self.dir.path().join(&service.name)
    }

    /// The services.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Starts every service with its environment and nothing else.
    ///
    /// # Panics
    /// When a process cannot be spawned.
    pub fn up(&mut self) {
        for service in &self.services {
            std::fs::create_dir_all(self.volume(service)).expect("make the volume");
            let log =
                File::create(self.dir.path().join(format!("{}.log", service.name))).expect("make the log");
            let variables = service
                .environment
                .iter()
                .map(|(k, v)| (k, self.translated(service, v)));
            let child = Command::new(milena())
                .arg("server")
                .env_clear()
                .envs(variables)
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("share the log"))
                .stderr(log)
                .spawn();
            self.children.push(child.expect("start milena"));
        }
    }

    /// True when the service's health check succeeds.
    #[must_use]
    pub fn is_healthy(&self, service: &Service) -> bool {
        let mut words = service
            .health_check
            .iter()
            .skip(1)
            .map(|word| self.translated(service, word));
        let status = Command::new(milena())
            .args(&mut words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        !service.health_check.is_empty() && status.is_ok_and(|status| status.success())
    }

    /// What a service has logged.
    #[must_use]
    pub fn log(&self, service: &Service) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("{}.log", service.name))).unwrap_or_default()
    }

    /// The addresses of all services under one listener name, as a bootstrap string.
    #[must_use]
    pub fn bootstrap(&self, listener: &str) -> String {
        let prefix = format!("{listener}://");
        let of = |service: &Service| {
            let advertised = service.environment.get("KAFKA_ADVERTISED_LISTENERS")?;
            let translated = self.translated(service, advertised);
            translated
                .split(',')
                .find_map(|item| item.strip_prefix(&prefix))
                .map(str::to_owned)
        };
        self.services.iter().filter_map(of).collect::<Vec<_>>().join(",")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mut wrong = Vec::new();
        for (service, child) in self.services.iter().zip(&mut self.children) {
            let before = child.try_wait();
            let killed = child.kill().and_then(|()| child.wait());
            let is_mine =
                matches!((&before, &killed), (Ok(None), Ok(status)) if status.signal() == Some(SIGKILL));
            if !is_mine {
                wrong.push(format!(
                    "{} had ended by itself: {before:?} {killed:?}",
                    service.name
                ));
            }
        }
        assert!(wrong.is_empty() || std::thread::panicking(), "{wrong:?}");
    }
}
