//! Processes of this machine, and what a snapshot of one would cost.

use std::sync::Arc;

use axum::extract::{Query, State};
use heapsight_capture::{
    process::{self, Process, Status},
    take::{Plan, SnapshotOptions, Taker, TakerOptions},
    target::Target,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    reply::{Json, Refusal, Reply},
    server::App,
};

fn brief(process: &Process) -> Value {
    let methods: Vec<Value> = process
        .methods
        .iter()
        .map(|m| json!({"method": m.method.name(), "works": m.works, "reason": m.reason}))
        .collect();
    json!({"pid": process.status.pid, "runtime": process.runtime.label(), "version": process.runtime.version,
        "command": process.command.join(" "), "heap_size": process.heap_bytes,
        "resident_size": process.status.vm_rss, "workers": process.workers,
        "inspector": process.facts.inspector.map(|inspector| inspector.addr.to_string()), "methods": methods})
}

/// Which there are. They are only looked at.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Reply {
    app.blocking(|| {
        let list = process::list()?;
        let rows: Vec<Value> = list.processes.iter().map(brief).collect();
        let root = Status::read(std::process::id()).is_ok_and(|own| own.euid == 0);
        Ok(Json(json!({"processes": rows, "unreadable": list.unreadable, "root": root})))
    })
    .await
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ask {
    target: String,
}

/// What a snapshot would cost by each method. A process is not touched for it; of an inspector that is open already the
/// size of the heap is asked.
pub(crate) async fn plan(State(app): State<Arc<App>>, Query(ask): Query<Ask>) -> Reply {
    if app.read_only {
        return Err(super::jobs::read_only());
    }
    app.blocking(move || {
        let mut taker = Taker::new(Target::parse(&ask.target)?, TakerOptions::default())?;
        let process = taker.process().map(brief);
        let plan = taker.plan(&SnapshotOptions::default())?;
        taker.close()?;
        let mut value = planned(&plan);
        value["process"] = process.into();
        Ok::<_, Refusal>(Json(value))
    })
    .await
}

fn planned(plan: &Plan) -> Value {
    let methods: Vec<Value> = plan
        .methods
        .iter()
        .map(|planned| {
            let mut value = json!({"method": planned.method.name(), "obstacle": planned.obstacle});
            if let Some(p) = &planned.prediction {
                value["pause_ms"] = (p.pause.as_secs_f64() * 1e3).into();
                value["memory"] = p.memory.into();
                value["file"] = p.file.into();
                value["verdict"] = p.verdict.name().into();
                value["reasons"] = p.reasons.clone().into();
            }
            value
        })
        .collect();
    json!({"nodes": plan.nodes, "chosen": plan.chosen.map(process::methods::Method::name), "methods": methods})
}
