//! Turns: a caller that goes away leaves no work behind, and nobody is crowded out.

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::Poll,
};

use super::*;

/// A text that takes the encoder a while.
fn long(account: &Arc<Account>) -> Vec<(String, Tensor)> {
    text(account, &[5; 2000])
}

fn large(plugin: &str) -> Arc<Account> {
    Account::new(plugin, 1 << 30, 1 << 30, Duration::from_secs(600))
}

#[tokio::test]
async fn computes_whose_callers_are_gone_leave_the_queue() {
    if !has_library() {
        return;
    }
    let registry = registry(|model| model.max_batch = 1);
    let encoder = graph(&registry, "t5/encoder_model");
    let account = large("p");
    {
        // All are asked once, so that they are in the queue, and then dropped: one that runs, and those that wait.
        let mut computes: Vec<_> = (0..20).map(|_| Box::pin(encoder.compute(&account, long(&account)))).collect();
        for compute in &mut computes {
            assert!(futures::poll!(compute).is_pending());
        }
        assert!(registry.statuses()[0].queued >= 19);
    }
    assert_eq!(registry.statuses()[0].queued, 0);
    // The one that ran was ended: the next one has its session.
    encoder.compute(&account, text(&account, &[5, 1])).await.unwrap();
    let counts = registry.statuses()[0].counts.clone();
    assert_eq!(counts.cancelled, 20);
    assert!(counts.runs <= 2, "what was dropped was not run: {counts:?}");
    assert_eq!(account.memory(), 0);
}

#[tokio::test]
async fn a_plugin_with_many_calls_does_not_crowd_out_one_with_few() {
    if !has_library() {
        return;
    }
    let registry = registry(|model| model.max_batch = 1);
    let encoder = graph(&registry, "t5/encoder_model");
    let (many, few) = (large("p"), large("q"));
    let done = AtomicUsize::new(0);
    let crowd: Vec<_> = (0..60)
        .map(|_| {
            Box::pin(async {
                encoder.compute(&many, text(&many, &[5; 200])).await.unwrap();
                done.fetch_add(1, Relaxed);
            })
        })
        .collect();
    // On a busy machine the first of them may be done before they are all asked.
    let mut waiting = Vec::new();
    for mut compute in crowd {
        if futures::poll!(&mut compute).is_pending() {
            waiting.push(compute);
        }
    }
    let early = 60 - waiting.len();
    // Behind sixty of the other, one by one: each has its turn after at most one or two of them.
    let crowd = futures::future::join_all(waiting);
    let visitor = async {
        for _ in 0..10 {
            encoder.compute(&few, text(&few, &[5; 200])).await.unwrap();
        }
        done.load(Relaxed)
    };
    let (mut crowd, mut visitor) = (pin!(crowd), pin!(visitor));
    let before = std::future::poll_fn(|context| {
        let _ = crowd.as_mut().poll(context);
        match visitor.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => Poll::Pending,
        }
    });
    let before = before.await;
    let before = before - early;
    assert!(before <= 30, "{before} computes of the crowd came before ten of the visitor");
}

/// A graph on a queue that nobody works off.
fn idle(queue: &Arc<queue::Queue>, model: &str, weight: f64, max_batch: usize) -> Graph {
    let backend = onnx::Onnx::new(library::load(None).unwrap());
    let options = backend::Options { device: crate::config::Device::Cpu, threads: 1, memory: None };
    let session = backend::Backend::open(&backend, backend::Source::File(&t5().join("encoder_model.onnx")), &options).unwrap();
    let window = Duration::from_secs(3600);
    let settings = graph_state::Settings { model: model.into(), name: model.to_owned(), max_batch, window, weight };
    Graph::new(settings, vec![session], Arc::default(), queue.clone()).unwrap()
}

/// Ends a run that has taken so long.
fn end(queue: &queue::Queue, batch: queue::Batch, took: Duration) {
    let charged = batch.charged();
    let queue::Batch { graph, session, jobs, .. } = batch;
    queue.done(&graph, session, &jobs, charged, took);
}

#[tokio::test]
async fn a_model_of_more_weight_gets_more_of_the_time() {
    if !has_library() {
        return;
    }
    let queue = queue::Queue::new();
    let (heavy, light, account) = (idle(&queue, "heavy", 3.0, 1), idle(&queue, "light", 1.0, 1), account("p"));
    let mut computes: Vec<_> = (0..100)
        .map(|number| {
            let graph = if number % 2 == 0 { &heavy } else { &light };
            Box::pin(graph.compute(&account, text(&account, &[5, 1])))
        })
        .collect();
    for compute in &mut computes {
        assert!(futures::poll!(compute).is_pending());
    }
    // One run after the other, which all take the same time.
    let mut runs = 0;
    for _ in 0..40 {
        let batch = *queue.wait().unwrap();
        runs += usize::from(*batch.graph.settings.model == *"heavy");
        end(&queue, batch, Duration::from_millis(10));
    }
    assert!((29..=31).contains(&runs), "{runs} of 40");
}

#[tokio::test]
async fn who_was_in_a_run_is_waited_for_so_that_two_groups_become_one() {
    if !has_library() {
        return;
    }
    let queue = queue::Queue::new();
    let encoder = idle(&queue, "m", 1.0, 32);
    let mut callers: Vec<Vec<Arc<Account>>> = (0..2).map(|_| (0..4).map(|_| account("p")).collect()).collect();
    let ask = |callers: &[Arc<Account>]| {
        let compute = |account: &Arc<Account>| {
            let (encoder, account) = (encoder.clone(), account.clone());
            Box::pin(async move { encoder.compute(&account, text(&account, &[5, 1])).await.map(drop) })
        };
        let mut computes: Vec<_> = callers.iter().map(compute).collect();
        for compute in &mut computes {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(compute.as_mut().poll(&mut context).is_pending());
        }
        computes
    };
    let mut asked = vec![ask(&callers[0])];
    let queue::Next::Run(run) = queue.next() else { panic!("nobody else is expected") };
    assert_eq!(run.jobs.len(), 4);
    asked.push(ask(&callers[1]));
    assert!(matches!(queue.next(), queue::Next::Nothing), "the graph runs");
    end(&queue, *run, Duration::from_millis(10));
    assert!(matches!(queue.next(), queue::Next::At(_)), "the first four are expected");
    asked.push(ask(&callers[0][..3]));
    assert!(matches!(queue.next(), queue::Next::At(_)), "one of them is away");
    asked[0].pop();
    callers[0].pop();
    let queue::Next::Run(run) = queue.next() else { panic!("its call is over") };
    assert_eq!(run.jobs.len(), 7);
}

#[tokio::test]
async fn the_last_caller_of_a_run_ends_it() {
    if !has_library() {
        return;
    }
    let registry = registry(|model| model.max_batch = 1);
    let encoder = graph(&registry, "t5/encoder_model");
    let account = large("p");
    // On two cores this takes seconds, if nobody ends it.
    let endless = || text(&account, &[5; 6000]);
    for _ in 0..3 {
        let mut compute = Box::pin(encoder.compute(&account, endless()));
        assert!(futures::poll!(&mut compute).is_pending());
        while registry.statuses()[0].queued > 0 {
            tokio::task::yield_now().await;
        }
    }
    encoder.compute(&account, text(&account, &[5, 1])).await.unwrap();
    let counts = registry.statuses()[0].counts.clone();
    assert_eq!((counts.cancelled, counts.computes), (3, 1), "{counts:?}");
}
