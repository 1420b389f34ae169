//! The threads that run computes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Instant,
};

use super::{
    backend::{BackendError, Cancel, Session},
    batch::{self, Inputs, Outputs},
    error::{Code, NnError},
    graph_state::GraphState as Graph,
    queue::{Batch, Job, Queue},
};

/// The threads of one device. They end, when what they are at is done, with this.
pub(super) struct Workers(Arc<Queue>);

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Workers {
    /// Starts `count` threads.
    pub(super) fn start(device: &str, count: usize, queue: &Arc<Queue>) -> std::io::Result<Self> {
        let workers = Self(queue.clone());
        for _ in 0..count {
            let queue = queue.clone();
            thread::Builder::new().name(format!("nn {device}")).spawn(move || {
                while let Some(batch) = queue.wait() {
                    work(&queue, *batch);
                }
            })?;
        }
        Ok(workers)
    }
}

fn work(queue: &Queue, batch: Batch) {
    let charged = batch.charged();
    let Batch { graph, mut session, jobs, run, .. } = batch;
    let begin = Instant::now();
    let waited = jobs.iter().map(|job| begin.saturating_duration_since(job.arrived)).sum();
    let inputs: Vec<&Inputs> = jobs.iter().map(|job| &job.inputs).collect();
    let together = guarded(&graph, &mut *session, &inputs, &run.cancel);
    let answers: Vec<Result<Outputs, BackendError>> = match together {
        Ok(outputs) => outputs.into_iter().map(Ok).collect(),
        // One that is wrong must not fail the others.
        Err(_) if jobs.len() > 1 && !run.cancel.is_cancelled() => {
            let alone = |input: &&Inputs| {
                let outputs = guarded(&graph, &mut *session, &[input], &run.cancel)?;
                outputs.into_iter().next().ok_or_else(|| BackendError("it gave nothing".to_owned()))
            };
            inputs.iter().map(alone).collect()
        }
        Err(error) => inputs.iter().map(|_| Err(error.clone())).collect(),
    };
    let took = begin.elapsed();
    graph.metrics.ran(jobs.len(), took, waited);
    let rows: usize = jobs.iter().map(|job| job.rows).sum();
    // Before the answers: who computes again at once finds a session, and whoever ran with it.
    queue.done(&graph, session, &jobs, charged, took);
    for (job, answer) in jobs.into_iter().zip(answers) {
        let Job { account, reply, rows: own, .. } = job;
        account.spend(took.mul_f64(own as f64 / rows.max(1) as f64));
        let answer = answer.map_err(|error| NnError::new(Code::Runtime, format!("{} did not compute: {}", graph.name(), error.0)));
        // The caller may be gone.
        let _ = reply.send(answer);
    }
}

/// A fault of ours, or of a binding, costs the batch and not the thread.
fn guarded(graph: &Graph, session: &mut dyn Session, inputs: &[&Inputs], cancel: &Cancel) -> Result<Vec<Outputs>, BackendError> {
    let ran = catch_unwind(AssertUnwindSafe(|| batch::run(session, &graph.layout, inputs, cancel)));
    ran.unwrap_or_else(|_| {
        tracing::error!(graph = graph.name(), "internal error in a compute");
        Err(BackendError("internal error; please report it".to_owned()))
    })
}
