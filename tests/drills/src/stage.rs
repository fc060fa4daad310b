//! Where a drill takes place: cluster, clients, clock, and what is noted for the report.

use crate::Outcome;
use crate::client::{Consumers, Ledger, Load, Shown, Watch, is_unknown, written_under};
use crate::clock::Clock;
use crate::node::{Cluster, Layout};
use crate::oracle::{Invariant, Spread, judge};
use crate::report::{ClientOf, ClusterOf, Fault, Report};
use milena_cluster_tests::{admin, gap_in, replicas_difference, wait};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

/// The topic of the load.
pub const TOPIC: &str = "drill";
/// Its partitions; each has three replicas, their leaders are spread over the brokers.
const PARTITIONS: i32 = 6;
const UNCLEAN: &str = "kafka_controller_controllerstats_uncleanleaderelections_total";
/// All heals within this time.
const HEAL: Duration = Duration::from_secs(90);

/// What differs between stages.
#[derive(Clone, Debug)]
pub struct StageSettings {
    /// The nodes.
    pub layout: Layout,
    /// min.insync.replicas of the topic.
    pub min_isr: u32,
}

impl StageSettings {
    /// min.insync.replicas 2.
    #[must_use]
    pub fn of(layout: Layout) -> Self {
        Self { layout, min_isr: 2 }
    }
}

/// A time in which partitions may have been unavailable because of a fault.
struct Window {
    kind: String,
    partitions: Vec<i32>,
    from: Duration,
    to: Duration,
}

/// A running cluster under load.
pub struct Stage {
    /// The run's time.
    pub clock: Clock,
    /// The nodes.
    pub cluster: Cluster,
    /// What producers and consumers were told.
    pub ledger: Ledger,
    /// What brokers show of the topic.
    pub watch: Watch,
    /// What it was made as.
    pub settings: StageSettings,
    load: Option<Load>,
    consumers: Option<Consumers>,
    windows: Vec<Window>,
    report: Report,
}

impl Stage {
    /// Starts cluster, topic, producers and a consumer; returns once records are acknowledged in every partition. The nodes have that
    /// environment.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn open(settings: StageSettings, environment: Vec<(String, String)>) -> Outcome<Self> {
        let clock = Clock::start();
        let cluster = Cluster::start(settings.layout.clone(), environment)?;
        let bootstrap = cluster.bootstrap();
        wait("all brokers in the metadata", HEAL, || {
            (admin::live_brokers(&bootstrap) == settings.layout.brokers.len()).then_some(())
        })?;
        let min_isr = settings.min_isr.to_string();
        create_topic(&cluster, TOPIC, PARTITIONS, &[("min.insync.replicas", &min_isr)])?;
        let watch = Watch::start(&addresses(&cluster, &cluster.brokers()), TOPIC, clock);
        let ledger = Ledger::new(clock);
        let load = Load::start(&bootstrap, TOPIC, PARTITIONS, &ledger)?;
        let consumers = Consumers::start(&bootstrap, TOPIC, PARTITIONS, &ledger)?;
        let stage = Self {
            clock,
            cluster,
            ledger,
            watch,
            settings,
            load: Some(load),
            consumers: Some(consumers),
            windows: Vec::new(),
            report: Report::default(),
        };
        stage.wait_whole()?;
        stage.wait_progress(&stage.all(), Duration::ZERO, HEAL)?;
        Ok(stage)
    }

    /// All partitions of the topic.
    #[must_use]
    pub fn all(&self) -> Vec<i32> {
        (0..PARTITIONS).collect()
    }

    /// The partitions that this broker leads, as far as anybody knows.
    #[must_use]
    pub fn led_by(&self, broker: i32) -> Vec<i32> {
        let leads = |shown: Shown| shown.leader == broker;
        let is_led = |partition: &i32| self.watch.newest(*partition).is_some_and(leads);
        self.all().into_iter().filter(is_led).collect()
    }

    /// Lets rounds of faults happen for about that time, and at least so many.
    ///
    /// # Errors
    /// When a round cannot go on.
    pub fn rounds(
        &mut self,
        least: usize,
        time: Duration,
        mut act: impl FnMut(&mut Self, usize) -> Outcome<()>,
    ) -> Outcome<()> {
        let (begun, mut round) = (self.clock.now(), 0);
        while round < least || self.clock.now() - begun < time {
            act(self, round)?;
            round += 1;
        }
        Ok(())
    }

    /// Notes a fault, done by `inject`.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn fault<T>(
        &mut self,
        kind: &str,
        target: &str,
        inject: impl FnOnce(&mut Self) -> Outcome<T>,
    ) -> Outcome<T> {
        let t = self.clock.now().as_millis();
        let done = inject(self);
        eprintln!("  {:>6} ms {kind}: {target}", t);
        self.report.faults.push(Fault {
            t,
            kind: kind.to_owned(),
            target: target.to_owned(),
            ok: done.is_ok(),
        });
        self.cover(kind);
        done
    }

    /// Notes that something happened.
    pub fn cover(&mut self, what: &str) {
        *self.report.coverage.entry(what.to_owned()).or_default() += 1;
    }

    /// Notes that something must have happened so often by the end.
    pub fn need(&mut self, what: &str, count: usize) {
        let happened = match what {
            "failovers" => self.watch.failovers(),
            "elections" => self.watch.elections(),
            other => self.report.coverage.get(other).copied().unwrap_or(0),
        };
        self.report.coverage.insert(what.to_owned(), happened);
        if happened < count {
            self.report.missing.push(format!("{what}: {happened} of {count}"));
        }
    }

    /// Notes whether an expectation of this drill held.
    pub fn expect(&mut self, id: &str, pass: bool, evidence: impl Into<String>) {
        let evidence = evidence.into();
        if !pass {
            eprintln!("  FAILED {id}: {evidence}");
        }
        self.report.invariants.push(Invariant {
            id: id.to_owned(),
            pass,
            evidence,
        });
    }

    /// Notes a time in which these partitions may have been unavailable.
    pub fn outage(&mut self, kind: &str, partitions: &[i32], from: Duration) {
        self.windows.push(Window {
            kind: kind.to_owned(),
            partitions: partitions.to_vec(),
            from,
            to: self.clock.now(),
        });
    }

    /// The outages of one kind so far.
    #[must_use]
    pub fn spread(&self, kind: &str) -> Spread {
        let history = self.ledger.history();
        let of = self.windows.iter().filter(|window| window.kind == kind);
        let gap = |window: &Window, p: &i32| gap_in(history.acknowledged_at(*p), window.from, window.to);
        let gaps: Vec<Duration> = of
            .flat_map(|window| window.partitions.iter().map(move |p| gap(window, p)))
            .collect();
        Spread::of(&gaps)
    }

    /// Notes whether 99 of 100 partitions could be written again within this time, for each of these kinds of fault.
    pub fn bound(&mut self, kinds: &[&str], bound: Duration) {
        for kind in kinds {
            let (spread, most) = (self.spread(kind), bound.as_millis());
            let evidence = format!("p99 {} ms of {}, bound {most} ms", spread.p99, spread.count);
            self.expect(
                &format!("unavailability: {kind}"),
                spread.count > 0 && u128::from(spread.p99) < most,
                evidence,
            );
        }
    }

    /// Waits until records that were sent after `since` are acknowledged in each of these partitions.
    ///
    /// # Errors
    /// When they are not within `deadline`.
    pub fn wait_progress(&self, partitions: &[i32], since: Duration, deadline: Duration) -> Outcome<()> {
        let mut waiting = partitions.to_vec();
        wait("acknowledgements in every partition", deadline, || {
            if let Some(reason) = self.ledger.why_fatal() {
                return Some(Err(format!("a producer has given up for good: {reason}")));
            }
            waiting.retain(|partition| self.ledger.acknowledged_of(&[*partition], since) == 0);
            waiting.is_empty().then_some(Ok(()))
        })
        .map_err(|error| format!("{error}: not in {waiting:?}"))?
    }

    /// Waits until every partition has a leader and all of its replicas in sync, and all brokers show it.
    ///
    /// # Errors
    /// When that takes longer than a minute and a half.
    pub fn wait_whole(&self) -> Outcome<()> {
        let brokers = self.cluster.brokers();
        let all = brokers.len();
        let is_whole = |partition: i32| {
            let newest = self.watch.newest(partition);
            newest.is_some_and(|newest| {
                let shown = |id: &i32| self.watch.shown_by(*id, partition);
                let told = |one: Shown| one.epoch == newest.epoch && one.isr.len() == all;
                newest.leader >= 0 && brokers.iter().all(|id| shown(id).is_some_and(told))
            })
        };
        wait(
            "all partitions with a leader and all replicas in sync",
            HEAL,
            || self.all().into_iter().all(is_whole).then_some(()),
        )
        .map_err(|error| {
            let view: Vec<_> = self.all().into_iter().map(|p| self.watch.newest(p)).collect();
            format!("{error}: {view:?}")
        })
    }

    /// Waits until what is newest of each of these partitions is right.
    ///
    /// # Errors
    /// When it is not within `deadline`.
    pub fn wait_shown(
        &self,
        what: &str,
        deadline: Duration,
        partitions: &[i32],
        is_right: impl Fn(&Shown) -> bool,
    ) -> Outcome<()> {
        let right = |partition: &i32| {
            let newest = self.watch.newest(*partition);
            newest.is_some_and(|shown| is_right(&shown))
        };
        wait(what, deadline, || partitions.iter().all(right).then_some(()))
    }

    /// Sleeps: for faults that last a time.
    pub fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Heals everything, starts what is down, reads everything back and judges.
    #[must_use]
    pub fn close(mut self, outcome: Outcome<()>) -> Report {
        let whole = outcome.and(self.heal()).and_then(|()| self.settle());
        let came = whole
            .clone()
            .err()
            .unwrap_or_else(|| "all partitions are whole".to_owned());
        self.expect("L the drill comes to its end, and all heals", whole.is_ok(), came);
        self.windows_to_report();
        self.judge_nodes();
        self.stop_clients();
        self.judge_history();
        let mut report = std::mem::take(&mut self.report);
        report.elections = self.watch.elections();
        report.failovers = self.watch.failovers();
        report.seconds = self.clock.now().as_secs_f64();
        report.cluster = ClusterOf {
            nodes: self.settings.layout.nodes().len(),
            rf: 3,
            min_isr: self.settings.min_isr,
            durability: "flushed",
            session_ms: Layout::SESSION.as_millis(),
            lag_ms: Layout::LAG.as_millis(),
        };
        report.clients = vec![ClientOf {
            lib: "librdkafka",
            version: rdkafka::util::get_rdkafka_version().1,
        }];
        report.conclude();
        if let Some(folder) = std::env::var_os("DRILL_LOGS") {
            self.cluster.keep(std::path::Path::new(&folder), TOPIC);
        }
        report
    }

    fn heal(&mut self) -> Outcome<()> {
        self.cluster.net.heal()?;
        if let Some(proxies) = &self.cluster.proxies {
            proxies.release();
        }
        for id in self.cluster.down() {
            self.cluster.start_node(id)?;
        }
        self.cluster.wait_ready(&self.cluster.layout().nodes())?;
        self.wait_whole()
    }

    fn settle(&mut self) -> Outcome<()> {
        let healed = self.clock.now();
        self.wait_progress(&self.all(), healed, HEAL)?;
        match self.load.take() {
            Some(load) => load.finish(),
            None => Ok(()),
        }
    }

    /// Those that a drill has left running which did not come to its end, too.
    fn stop_clients(&mut self) {
        if let Some(Err(error)) = self.load.take().map(Load::finish) {
            eprintln!("  {error}");
        }
        if let Some(consumers) = self.consumers.take() {
            consumers.finish();
        }
    }

    fn windows_to_report(&mut self) {
        let kinds: BTreeSet<String> = self.windows.iter().map(|window| window.kind.clone()).collect();
        for kind in kinds {
            let spread = self.spread(&kind);
            self.report.unavailable_ms.insert(kind, spread);
        }
    }

    fn judge_history(&mut self) {
        let bootstrap = self.cluster.bootstrap();
        let read = catch_unwind(AssertUnwindSafe(|| {
            Consumers::read_all(&bootstrap, TOPIC, PARTITIONS)
        }));
        let Ok(in_the_end) = read else {
            self.expect(
                "I1 acked-never-lost",
                false,
                "the topic cannot be read to its end",
            );
            return;
        };
        let mut history = self.ledger.history();
        history.in_the_end = in_the_end;
        history.written_under = self.written_under();
        let (counts, invariants) = judge(&history);
        let ends = history.ops.iter().filter_map(|op| op.end.as_ref());
        self.report.unknown_server_errors = ends.filter(|(_, end)| is_unknown(end)).count();
        self.report.ops = counts;
        self.report.invariants.extend(invariants);
        let pending = history.pending();
        let told = format!("(producer, partition): (records, first): {pending:?}");
        self.expect("L1 every pending op resolves", pending.is_empty(), told);
        let acknowledged = counts.ok > 0;
        self.expect("records were acknowledged", acknowledged, counts.ok.to_string());
        let unknown = self.report.unknown_server_errors;
        self.expect("I38 no UNKNOWN_SERVER_ERROR", unknown == 0, unknown.to_string());
        let mut differences = Vec::new();
        let same = wait("identical replicas", Duration::from_secs(20), || {
            differences = self
                .all()
                .into_iter()
                .filter_map(|p| self.difference(p))
                .collect();
            differences.is_empty().then_some(())
        });
        self.expect("I5 prefix-agreement", same.is_ok(), differences.join("; "));
    }

    /// Where a broker keeps a partition of the topic.
    fn partition_dir(&self, broker: i32, partition: i32) -> Option<PathBuf> {
        let name = format!("{TOPIC}-{partition}");
        let mut dirs = self
            .cluster
            .log_dirs(broker)
            .into_iter()
            .map(|dir| dir.join(&name));
        dirs.find(|dir| dir.is_dir())
    }

    /// From the leaders' disks; what cannot be read there is left out, so that a duplicate counts as one.
    fn written_under(&self) -> HashMap<(i32, i64), (i64, i16)> {
        let mut all = HashMap::new();
        for partition in self.all() {
            let leader = self.watch.newest(partition).map_or(-1, |shown| shown.leader);
            let dir = self.partition_dir(leader, partition);
            let found = dir.and_then(|dir| written_under(&dir).ok()).unwrap_or_default();
            all.extend(
                found
                    .into_iter()
                    .map(|(offset, under)| ((partition, offset), under)),
            );
        }
        all
    }

    fn difference(&self, partition: i32) -> Option<String> {
        let dir = |id: i32| (id, self.partition_dir(id, partition));
        replicas_difference(&self.cluster.brokers().into_iter().map(dir).collect::<Vec<_>>())
    }

    fn judge_nodes(&mut self) {
        let ended = self.cluster.ended();
        let what = ended.clone().unwrap_or_else(|| "all nodes run".to_owned());
        self.expect("I36 no-crash", ended.is_none(), what);
        let nodes = self.cluster.layout().nodes();
        self.report.panics = nodes
            .iter()
            .map(|id| self.cluster.said(*id, &["panicked at"]).len())
            .sum();
        let panics = self.report.panics;
        self.expect("I36 no-panic", panics == 0, panics.to_string());
        let twice: Vec<_> = self
            .watch
            .leaders()
            .into_iter()
            .filter(|(_, who)| who.len() > 1)
            .collect();
        self.expect("I24 epoch-uniqueness", twice.is_empty(), format!("{twice:?}"));
        // A controller that was killed has forgotten its count, but not what it has written.
        let told = |id: &i32| self.cluster.said(*id, &["unclean election"]).len();
        let unclean = nodes.iter().map(told).sum();
        let count = |id: &i32| self.cluster.metric(*id, UNCLEAN);
        let counted: Option<f64> = self.cluster.layout().controllers.iter().map(count).sum();
        self.report.unclean = unclean;
        self.expect(
            "no unclean election",
            unclean == 0 && counted == Some(0.0),
            format!("{unclean} told, {counted:?} counted"),
        );
        let figures = self.cluster.figures();
        (self.report.rss_max, self.report.fd_max) = (figures.rss_bytes, figures.descriptors);
    }
}

/// The broker that a partition of any topic prefers: the partition number `p` the broker number `p`, and so on in turn.
#[must_use]
pub fn preferred_leader(cluster: &Cluster, partition: i32) -> i32 {
    replicas(cluster, partition)[0]
}

fn replicas(cluster: &Cluster, partition: i32) -> Vec<i32> {
    let mut replicas = cluster.brokers();
    let by = usize::try_from(partition).unwrap_or(0) % replicas.len();
    replicas.rotate_left(by);
    replicas
}

/// Creates a topic whose partitions prefer the brokers in turn.
///
/// # Errors
/// When the cluster refuses.
pub fn create_topic(cluster: &Cluster, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Outcome<()> {
    let assignment: Vec<Vec<i32>> = (0..partitions).map(|p| replicas(cluster, p)).collect();
    let assignment: Vec<&[i32]> = assignment.iter().map(Vec::as_slice).collect();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Variable(&assignment));
    for (key, value) in configs {
        topic = topic.set(key, value);
    }
    let told = |error: rdkafka::error::KafkaError| format!("create {name}: {error}");
    let client: AdminClient<DefaultClientContext> =
        admin::client(&cluster.bootstrap()).create().map_err(told)?;
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(20)));
    let results = admin::block_on(client.create_topics([&topic], &options)).map_err(told)?;
    for result in results {
        result.map_err(|(name, code)| format!("create {name}: {code}"))?;
    }
    Ok(())
}

/// The addresses of brokers, for what asks each of them.
#[must_use]
pub fn addresses(cluster: &Cluster, ids: &[i32]) -> Vec<(i32, String)> {
    ids.iter().map(|id| (*id, cluster.address(*id))).collect()
}
