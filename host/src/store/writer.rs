//! The thread that writes: what has come together is one transaction.

use std::{sync::Arc, thread};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    engine::Engine,
    types::{Space, StoreError, Write, Written},
};

/// Writes of one transaction.
const TOGETHER: usize = 256;

/// One write, and who waits for it.
pub(super) struct Job {
    pub(super) space: Space,
    pub(super) key: String,
    pub(super) write: Write,
    pub(super) answer: oneshot::Sender<Result<Written, StoreError>>,
    /// Its share of what may wait.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Starts it. It ends when nobody can send it anything any more.
pub(super) fn start(engine: Arc<Engine>, mut queue: mpsc::Receiver<Job>) -> Result<(), StoreError> {
    let run = move || {
        let mut jobs = Vec::with_capacity(TOGETHER);
        while queue.blocking_recv_many(&mut jobs, TOGETHER) > 0 {
            run(&engine, std::mem::take(&mut jobs));
        }
    };
    let started = thread::Builder::new().name("toolbay-store".to_owned()).spawn(run);
    started.map(drop).map_err(|error| StoreError::Unavailable(format!("the store got no thread: {error}")))
}

/// Does all of it in one transaction, and answers when that is on disk.
fn run(engine: &Engine, jobs: Vec<Job>) {
    let done = engine.write(|tables| {
        let mut done = Vec::with_capacity(jobs.len());
        for job in &jobs {
            done.push(match tables.apply(&job.space, &job.key, &job.write) {
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                done => done,
            });
        }
        Ok(done)
    });
    match done {
        Ok(done) => {
            for (job, done) in jobs.into_iter().zip(done) {
                // Whoever does not wait any more has given the call up.
                let _ = job.answer.send(done);
            }
        }
        Err(error) => {
            tracing::error!("{error}");
            for job in jobs {
                let _ = job.answer.send(Err(error.clone()));
            }
        }
    }
}
