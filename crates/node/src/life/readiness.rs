//! The roles as they come and go, and whether every one of them serves, for `/ready`.

use crate::admin::Readiness;
use milena_broker::BrokerHandle;
use milena_broker::controller::BrokerState;
use milena_controller::ControllerHandle;
use milena_metrics::Metric;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The running roles; shared with the admin endpoint, which listens before them.
///
/// Handles are lent as `Arc` and given back at once, so that the one who takes a role out is its only owner.
#[derive(Default)]
pub(super) struct Roles {
    controller: Mutex<Option<Arc<ControllerHandle>>>,
    broker: Mutex<Option<Arc<BrokerHandle>>>,
}

impl Roles {
    /// The controller serves.
    pub(super) fn set_controller(&self, handle: ControllerHandle) {
        *lock(&self.controller) = Some(Arc::new(handle));
    }

    /// The broker runs.
    pub(super) fn set_broker(&self, handle: BrokerHandle) {
        *lock(&self.broker) = Some(Arc::new(handle));
    }

    /// The controller, when it serves.
    pub(super) fn controller(&self) -> Option<Arc<ControllerHandle>> {
        lock(&self.controller).clone()
    }

    /// The broker, when it runs.
    pub(super) fn broker(&self) -> Option<Arc<BrokerHandle>> {
        lock(&self.broker).clone()
    }

    /// The controller's figures; empty while it does not run.
    pub(super) fn controller_metrics(&self) -> Vec<Metric> {
        self.controller()
            .iter()
            .flat_map(|controller| controller.metrics())
            .collect()
    }

    /// Takes the controller out, to stop it.
    pub(super) fn take_controller(&self) -> Option<ControllerHandle> {
        lock(&self.controller).take().and_then(Arc::into_inner)
    }

    /// Takes the broker out, to stop it.
    pub(super) fn take_broker(&self) -> Option<BrokerHandle> {
        lock(&self.broker).take().and_then(Arc::into_inner)
    }

    /// What is still waited for, given the roles that this node is to have.
    pub(super) fn readiness(&self, wanted: crate::config::Roles) -> Readiness {
        let mut waiting = Vec::new();
        if wanted.controller {
            match self.controller() {
                None => waiting.push(("controller", "not running")),
                Some(controller) if controller.active().is_none() => {
                    waiting.push((
                        "controller",
                        "no controller leads: a majority of the voters must run",
                    ));
                }
                Some(controller) if !controller.may_vote() => {
                    waiting.push((
                        "controller",
                        "its disk is new: no vote before its log is restored",
                    ));
                }
                Some(_) => {}
            }
        }
        if wanted.broker {
            match self.broker() {
                None => waiting.push(("broker", "not running")),
                Some(broker) if *broker.state().borrow() != BrokerState::Active => {
                    waiting.push(("broker", "not admitted to the cluster yet"));
                }
                Some(_) => {}
            }
        }
        Readiness {
            waiting: waiting
                .into_iter()
                .map(|(role, what)| (role, what.to_owned()))
                .collect(),
        }
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
