//! A controller that was deposed and does not know it: the broker that shares its machine hears it, and nobody else does.
//!
//! It answers what it need not write; what it writes is never committed.

use crate::controller;
use crate::cx::Cx;
use crate::network::call::{self, Request};
use crate::time::{MILLI, Micros};
use milena_metadata::MetadataImage;
use milena_metadata::config::BrokerDefaults;
use milena_metadata::liveness::Liveness;
use milena_metadata::plan::PlanContext;

/// What it knows.
#[derive(Debug)]
pub struct Deposed {
    /// When a majority of its voters followed it last.
    since: Micros,
    image: MetadataImage,
    liveness: Liveness,
}

impl Deposed {
    /// The active controller, from now on.
    #[must_use]
    pub fn new(since: Micros, image: &MetadataImage, liveness: &Liveness) -> Self {
        Self {
            since,
            image: image.clone(),
            liveness: liveness.clone(),
        }
    }

    /// A request arrives that comes to it, and not to its successor.
    pub fn on_request(&mut self, cx: &mut Cx, request: &Request, defaults: &BrokerDefaults) {
        let ctx = PlanContext {
            now: cx.timestamp(),
            seed: cx.random.next_u64(),
            defaults,
        };
        // A part of a millisecond has passed, too.
        let age_ms = (cx.now - self.since) / MILLI + 1;
        let planned = controller::answer(&self.image, &request.body, &self.liveness, age_ms, &ctx);
        if !planned.records.is_empty() {
            return;
        }
        cx.coverage.deposed_answered += 1;
        if let call::Body::Heartbeat(heartbeat) = &request.body {
            self.liveness.on_heartbeat(&self.image, heartbeat, ctx.now);
        }
        let class = call::class_of(&request.body);
        call::answer(cx, request.from, request.call, class, planned.reply);
    }
}
