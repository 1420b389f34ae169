//! `reuse`: whose calls an instance serves, how many, and what ends it before.

use super::*;
use crate::{
    config::{Grants, ReuseAcross},
    provider::{AskError, Asker, Principal, Question},
};

/// Of a call: long enough for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Counts its calls, and does what is asked of it otherwise.
const COUNTER: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (global $n (mut i32) (i32.const 0))
        (func (export "run") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
        (func (export "trap") unreachable)
        (func (export "spin") (loop $l (br $l)))
        (func (export "grow") (result i32) (memory.grow (i32.const 208))))
    (core instance $i (instantiate $m))
    (func (export "run") (result u32) (canon lift (core func $i "run")))
    (func (export "trap") (canon lift (core func $i "trap")))
    (func (export "spin") (canon lift (core func $i "spin")))
    (func (export "grow") (result s32) (canon lift (core func $i "grow"))))"#;

/// A host for each compiler.
fn hosts(instances: u32, reuse: u32, across: ReuseAcross) -> [Host; 2] {
    COMPILERS.map(|compiler| {
        let limits = PluginLimits { reuse, concurrency: 4, timeout: TIMEOUT, ..limits() };
        let grants = Grants { reuse_across: across, ..Grants::default() };
        Host::with(compiler, instances, PluginConfig { limits, grants, ..PluginConfig::default() })
    })
}

/// Calls a tool as somebody, or as nobody in particular.
async fn call_as(provider: &Arc<dyn Provider>, who: Option<&str>, tool: &str) -> String {
    let context = CallContext { principal: who.map(Principal::new), ..CallContext::default() };
    text(&provider.call(Call { tool, arguments: "{}", context: context.into() }).await.unwrap())
}

#[tokio::test]
async fn an_instance_serves_as_many_calls_of_one_caller_as_it_may() {
    for host in hosts(8, 3, ReuseAcross::Principal) {
        let provider = host.load(COUNTER).await.unwrap();
        let mut counted = Vec::new();
        for _ in 0..7 {
            counted.push(call_as(&provider, Some("ann"), "run").await);
        }
        assert_eq!(counted, ["1", "2", "3", "1", "2", "3", "1"]);
    }
}

#[tokio::test]
async fn nobody_meets_what_another_left_unless_that_was_chosen() {
    for apart in hosts(8, 1000, ReuseAcross::Principal) {
        let provider = apart.load(COUNTER).await.unwrap();
        for turn in 1..=5 {
            for who in ["ann", "bob"] {
                assert_eq!(call_as(&provider, Some(who), "run").await, turn.to_string(), "{who}");
            }
            // Callers that nobody tells apart are not one caller.
            assert_eq!(call_as(&provider, None, "run").await, "1");
        }
    }
    for together in hosts(8, 1000, ReuseAcross::All) {
        let provider = together.load(COUNTER).await.unwrap();
        for (who, turn) in [(Some("ann"), "1"), (Some("bob"), "2"), (None, "3")] {
            assert_eq!(call_as(&provider, who, "run").await, turn);
        }
    }
}

#[tokio::test]
async fn two_calls_at_once_are_never_in_one_instance() {
    for host in hosts(64, 1000, ReuseAcross::All) {
        let provider = host.load(COUNTER).await.unwrap();
        let calls = (0..200).map(|_| {
            let provider = Arc::clone(&provider);
            tokio::spawn(async move { call_as(&provider, None, "run").await.parse::<usize>().unwrap() })
        });
        let counts = futures::future::join_all(calls).await;
        let mut counts: Vec<usize> = counts.into_iter().map(Result::unwrap).collect();
        counts.sort_unstable();
        // Each instance counts 1, 2, 3 without a gap: how often a number comes never rises with the number.
        let times = |number: usize| counts.iter().filter(|count| **count == number).count();
        assert!((1..200).all(|number| times(number) >= times(number + 1)), "{counts:?}");
    }
}

#[tokio::test]
async fn what_goes_wrong_or_hoards_ends_the_instance() {
    for host in hosts(8, 1000, ReuseAcross::All) {
        let provider = host.load(COUNTER).await.unwrap();
        // 13 of 16 MiB.
        for wrong in ["trap", "spin", "grow"] {
            call_as(&provider, None, "run").await;
            assert_ne!(call_as(&provider, None, "run").await, "1", "before {wrong}");
            call_as(&provider, None, wrong).await;
            assert_eq!(call_as(&provider, None, "run").await, "1", "after {wrong}");
        }
        // A call that is dropped takes its instance along.
        assert_eq!(call_as(&provider, None, "run").await, "2");
        let spin = call_as(&provider, None, "spin");
        assert!(tokio::time::timeout(Duration::from_millis(20), spin).await.is_err());
        assert_eq!(call_as(&provider, None, "run").await, "1");
    }
}

#[tokio::test]
async fn each_call_has_its_own_time() {
    for host in hosts(8, 1000, ReuseAcross::All) {
        let provider = host.load(COUNTER).await.unwrap();
        let begun = std::time::Instant::now();
        let mut last = String::new();
        while begun.elapsed() < TIMEOUT + Duration::from_millis(200) {
            last = call_as(&provider, None, "run").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(last.parse::<u32>().unwrap() > 1, "{last}");
    }
}

/// Instances that wait for a call give their places to those who need one.
#[tokio::test]
async fn what_waits_keeps_nobody_waiting() {
    for host in hosts(2, 1000, ReuseAcross::Principal) {
        let provider = host.load(COUNTER).await.unwrap();
        for turn in 0..20 {
            let who = format!("caller {turn}");
            assert_eq!(call_as(&provider, Some(&who), "run").await, "1");
        }
        let used = host.host.pool().used;
        assert!(used <= 2, "{used}");
    }
}

/// Somebody who can be asked.
struct Able;

impl Asker for Able {
    fn capabilities(&self) -> &str {
        r#"{"elicitation":{}}"#
    }

    fn ask(&self, _: Vec<Question>) -> BoxFuture<'_, Result<Vec<crate::provider::JsonText>, AskError>> {
        Box::pin(async { Err(AskError::Suspended) })
    }
}

/// A call that asks may be made again, and has to find what it found before.
#[tokio::test]
async fn a_plugin_that_may_ask_has_fresh_instances_for_callers_that_can_be_asked() {
    for host in hosts(8, 1000, ReuseAcross::All) {
        let asking = COUNTER.replacen("(component", "(component (import \"toolbay:plugin/client@0.1.0\" (instance))", 1);
        for (text, counted) in [(COUNTER, ["1", "2", "3"]), (asking.as_str(), ["1", "1", "1"])] {
            let provider = host.load(text).await.unwrap();
            for turn in counted {
                let context = CallContext { asker: Some(Arc::new(Able)), ..CallContext::default() };
                let output = provider.call(Call { tool: "run", arguments: "{}", context: context.into() }).await.unwrap();
                assert_eq!(super::text(&output), turn);
            }
        }
    }
}
