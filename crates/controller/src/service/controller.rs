//! `milena.v1.Controller`.

use super::quorum::{Quorum, observers};
use super::subscribe;
use crate::planner::{PlannerHandle, Prober, Refusal, Terms, View};
use futures::StreamExt;
use futures::stream::BoxStream;
use milena_metadata::plan::{self, Planned};
use milena_metadata::request::{
    AdminRequest, AlterPartition, Heartbeat, Outcome, RegisterBroker, ReplicaStates,
};
use milena_rpc::dial::Dialled;
use milena_rpc::{ConvertError, proto};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, MetadataVersion};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// After so long a caller gets DEADLINE_EXCEEDED: no quorum commits.
const DECISION_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves brokers and tools.
#[derive(Clone)]
pub(crate) struct ControllerService {
    planner: PlannerHandle,
    quorum: Quorum,
    prober: Prober,
}

impl ControllerService {
    pub(crate) fn new(planner: PlannerHandle, quorum: Quorum, prober: Prober) -> Self {
        Self {
            planner,
            quorum,
            prober,
        }
    }

    fn refused(&self, refusal: Refusal) -> Status {
        match refusal {
            Refusal::NotActive => self.quorum.not_leader().to_status(),
            Refusal::Stopped => Status::unavailable("the controller is stopping"),
            Refusal::TooLarge => Status::resource_exhausted("the change is larger than one batch may be"),
        }
    }

    async fn decide<R: Send + 'static>(
        &self,
        terms: Terms,
        plan: impl FnMut(&View<'_>) -> Planned<R> + Send + 'static,
    ) -> Result<(R, MetadataVersion), Status> {
        self.within(self.planner.submit(terms, plan, |_, _, _, _| {}))
            .await
    }

    async fn within<T>(&self, decision: impl Future<Output = Result<T, Refusal>>) -> Result<T, Status> {
        match tokio::time::timeout(DECISION_TIMEOUT, decision).await {
            Ok(decided) => decided.map_err(|refusal| self.refused(refusal)),
            Err(_) => Err(Status::deadline_exceeded("the quorum did not commit in time")),
        }
    }
}

fn invalid(error: ConvertError) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl proto::controller_server::Controller for ControllerService {
    type SubscribeStream = BoxStream<'static, Result<proto::SubscribeEvent, Status>>;

    async fn register(
        &self,
        request: Request<proto::RegisterBrokerRequest>,
    ) -> Result<Response<proto::RegisterBrokerResponse>, Status> {
        let request: RegisterBroker = request.into_inner().try_into().map_err(invalid)?;
        let broker = request.broker;
        let plan =
            move |view: &View<'_>| plan::register_broker(view.image, &request, view.liveness, &view.context);
        let terms = Terms::life("Register").alone();
        let decision = self.planner.submit(terms, plan, move |reply, _, liveness, now| {
            if reply.outcome.error.is_none() {
                liveness.on_registered(broker, reply.epoch, now);
            }
        });
        let (reply, _) = self.within(decision).await?;
        tracing::info!(%broker, epoch = %reply.epoch, error = %reply.outcome.error, "broker registration");
        Ok(Response::new((&reply).into()))
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        let request: Heartbeat = request.into_inner().try_into().map_err(invalid)?;
        let noted = request.clone();
        let plan = move |view: &View<'_>| plan::heartbeat(view.image, &request, view.liveness, &view.context);
        let terms = Terms::life("Heartbeat");
        let decision = self.planner.submit(terms, plan, move |_, image, liveness, now| {
            liveness.on_heartbeat(image, &noted, now);
        });
        let (mut reply, _) = self.within(decision).await?;
        // Nothing was asked of the voters, and they may have elected another one.
        reply.quorum_age_ms = self.quorum.age_ms();
        Ok(Response::new((&reply).into()))
    }

    async fn alter_partition(
        &self,
        request: Request<proto::AlterPartitionRequest>,
    ) -> Result<Response<proto::AlterPartitionResponse>, Status> {
        let request: AlterPartition = request.into_inner().try_into().map_err(invalid)?;
        let plan = move |view: &View<'_>| plan::alter_partition(view.image, &request, &view.context);
        let (results, _) = self.decide(Terms::life("AlterPartition"), plan).await?;
        Ok(Response::new(results.as_slice().into()))
    }

    async fn report_replicas(
        &self,
        request: Request<proto::ReportReplicasRequest>,
    ) -> Result<Response<proto::AlterPartitionResponse>, Status> {
        let request: ReplicaStates = request.into_inner().try_into().map_err(invalid)?;
        let (broker, replicas) = (request.broker, request.replicas.len());
        let plan = move |view: &View<'_>| plan::replica_states(view.image, &request, &view.context);
        let (results, _) = self.decide(Terms::life("ReportReplicas"), plan).await?;
        tracing::info!(%broker, replicas, "a broker reports the state of replicas");
        Ok(Response::new(results.as_slice().into()))
    }

    async fn admin(
        &self,
        request: Request<proto::AdminRequest>,
    ) -> Result<Response<proto::AdminResponse>, Status> {
        let request: AdminRequest = request.into_inner().try_into().map_err(invalid)?;
        let terms = Terms::request(request.name());
        let plan = move |view: &View<'_>| plan::admin(view.image, &request, &view.context);
        let (reply, version) = self.decide(terms, plan).await?;
        Ok(Response::new((&reply, version).into()))
    }

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let active = self.planner.observed().active;
        if active.borrow().is_none() {
            return Err(self.refused(Refusal::NotActive));
        }
        let committed = std::sync::Arc::clone(&self.quorum.committed);
        if request.get_ref().from_version > committed.image().version.0 && !self.quorum.is_current().await {
            // Its successor has told the follower more than this node has: nobody is sent back.
            return Err(self.refused(Refusal::NotActive));
        }
        let stream = subscribe::stream(request.get_ref(), committed, active, self.prober.clone());
        Ok(Response::new(stream.boxed()))
    }

    async fn suspect_broker(
        &self,
        request: Request<proto::SuspectBrokerRequest>,
    ) -> Result<Response<proto::SuspectBrokerResponse>, Status> {
        let request = request.into_inner();
        if self.planner.observed().active.borrow().is_none() {
            return Err(self.refused(Refusal::NotActive));
        }
        let (broker, epoch) = (BrokerId(request.broker), BrokerEpoch(request.epoch));
        let known = self
            .quorum
            .committed
            .image()
            .broker(broker)
            .map(|found| found.epoch);
        let outcome = match known {
            Some(current) if current == epoch => Outcome::OK,
            Some(current) => Outcome::failed(
                ErrorCode::StaleBrokerEpoch,
                format!("broker {broker} is registered under {current}"),
            ),
            None => Outcome::failed(
                ErrorCode::BrokerIdNotRegistered,
                format!("broker {broker} is not registered"),
            ),
        };
        let fenced = match outcome.error.is_none() {
            true => {
                self.within(self.prober.probe(broker, epoch, Dialled::is_gone))
                    .await?
            }
            false => false,
        };
        Ok(Response::new(proto::SuspectBrokerResponse {
            outcome: Some((&outcome).into()),
            fenced,
        }))
    }

    async fn describe_quorum(
        &self,
        request: Request<proto::DescribeQuorumRequest>,
    ) -> Result<Response<proto::DescribeQuorumResponse>, Status> {
        if !request.get_ref().of_leader {
            return Ok(Response::new(self.quorum.status().into()));
        }
        // A round of the planner: whoever is not the active controller any more is found out.
        let quorum = self.quorum.clone();
        let plan = move |view: &View<'_>| {
            let mut answer = proto::DescribeQuorumResponse::from(quorum.status());
            answer.observers = observers(&quorum.voters, view, answer.high_watermark);
            Planned::reply(answer)
        };
        let (answer, _) = self.decide(Terms::life("DescribeQuorum"), plan).await?;
        match answer.leader_id {
            Some(_) => Ok(Response::new(answer)),
            None => Err(self.refused(Refusal::NotActive)),
        }
    }

    async fn find_cluster(
        &self,
        _request: Request<proto::FindClusterRequest>,
    ) -> Result<Response<proto::FindClusterResponse>, Status> {
        match self.quorum.find_cluster().await {
            Ok(answer) => Ok(Response::new(answer)),
            Err(error) => Err(Status::unavailable(error.to_string())),
        }
    }
}
