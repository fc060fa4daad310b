//! `deploy/compose.yaml`: its three services, as processes with exactly its environment, are one healthy cluster.

use milena_cluster_tests::{Load, admin, check, until};
use milena_deploy_tests::{Stage, parse, repository};
use std::time::Duration;

#[test]
fn the_services_of_the_compose_file_are_one_cluster() {
    let text =
        std::fs::read_to_string(repository().join("deploy/compose.yaml")).expect("read the compose file");
    let services = parse(&text).expect("the compose file");
    let names: Vec<_> = services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["kafka1", "kafka2", "kafka3"]);
    for service in &services {
        assert_eq!(service.volumes.len(), 1, "{}", service.name);
        assert!(
            service.environment["KAFKA_LOG_DIRS"].starts_with(&service.volumes[0]),
            "{}",
            service.name
        );
    }

    let mut stage = Stage::new(services);
    stage.up();
    for service in stage.services() {
        until("a healthy service", Duration::from_secs(30), || {
            let healthy = stage.is_healthy(service);
            assert!(
                !stage.log(service).contains("node failed"),
                "{}",
                stage.log(service)
            );
            healthy.then_some(())
        });
    }
    for listener in ["INTERNAL", "EXTERNAL"] {
        let bootstrap = stage.bootstrap(listener);
        assert_eq!(bootstrap.split(',').count(), 3, "{bootstrap}");
        until("three live brokers", Duration::from_secs(20), || {
            (admin::live_brokers(&bootstrap) == 3).then_some(())
        });
    }
    let bootstrap = stage.bootstrap("EXTERNAL");
    admin::create_topic(&bootstrap, "compose", 3, 3, &[]);
    let load = Load::start(&bootstrap, "compose", 3, 500);
    until("500 acknowledged records", Duration::from_secs(20), || {
        (load.acked() >= 500).then_some(())
    });
    let report = load.finish();
    check::assert_nothing_lost(&bootstrap, "compose", 3, &report);
}
