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
    let mut crowd: Vec<_> = (0..60)
        .map(|_| {
            Box::pin(async {
                encoder.compute(&many, text(&many, &[5; 200])).await.unwrap();
                done.fetch_add(1, Relaxed);
            })
        })
        .collect();
    for compute in &mut crowd {
        assert!(futures::poll!(compute).is_pending());
    }
    // Behind sixty of the other, one by one: each has its turn after at most one or two of them.
    let crowd = futures::future::join_all(crowd);
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
    assert!(before <= 30, "{before} computes of the crowd came before ten of the visitor");
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
