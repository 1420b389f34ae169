//! A token that is kept and renewed before it ends, by one at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::sync::Mutex;

use super::token_endpoint::Granted;

/// The part of its life after which a token is renewed.
const RENEW: f64 = 0.8;
/// A token that ends so soon is not used any more: it has to live until the server has looked at it.
const LAST: Duration = Duration::from_secs(2);
/// The least time between two tokens where the server accepts none.
const GAP: Duration = Duration::from_secs(5);
/// The longest time between two tries that fail.
const LONGEST_GAP: Duration = Duration::from_secs(30);

/// A token that was put on a request.
#[derive(Debug, Default)]
pub struct Shown {
    pub(super) token: Option<HeaderValue>,
    /// It was had before: the server may know by now that it is not good any more.
    pub(super) is_kept: bool,
}

/// A token, or none yet.
#[derive(Default)]
pub(super) struct TokenCell {
    held: ArcSwapOption<Held>,
    /// Held by whoever asks for the next one.
    asking: Mutex<Failed>,
}

struct Held {
    /// `Bearer …`.
    value: HeaderValue,
    since: Instant,
    renew: Instant,
    ends: Instant,
}

/// What came of the last tries, as long as none went well.
#[derive(Default)]
struct Failed {
    last: Option<(Instant, String)>,
    times: u32,
}

impl TokenCell {
    /// The token. Where there is none that is good for a while, it is asked for: who waits for the same gets
    /// the same, and who has one that is good goes on with that.
    ///
    /// # Errors
    ///
    /// A sentence: there is none to be had. Nobody is asked again at once.
    pub(super) async fn get<F: Future<Output = Result<Granted, String>>>(&self, ask: impl FnOnce() -> F) -> Result<Shown, String> {
        let now = Instant::now();
        let kept = |held: &Held| Shown { token: Some(held.value.clone()), is_kept: true };
        let before = self.held.load_full().filter(|held| now < held.ends);
        if let Some(held) = before.as_ref().filter(|held| now < held.renew) {
            return Ok(kept(held));
        }
        let mut failed = match &before {
            None => self.asking.lock().await,
            Some(held) => match self.asking.try_lock() {
                Ok(failed) => failed,
                Err(_) => return Ok(kept(held)),
            },
        };
        let now = Instant::now();
        if let Some(held) = self.held.load_full().filter(|held| now < held.renew) {
            return Ok(kept(&held));
        }
        let gap = Duration::from_secs(1 << failed.times.min(8)).min(LONGEST_GAP);
        if let Some((_, why)) = failed.last.as_ref().filter(|(at, _)| at.elapsed() < gap && failed.times > 0) {
            return before.as_ref().map(|held| kept(held)).ok_or_else(|| why.clone());
        }
        match ask().await {
            Ok(Granted { token, lifetime }) => {
                let now = Instant::now();
                *failed = Failed::default();
                let held = Held {
                    value: token.clone(),
                    since: now,
                    renew: now + lifetime.mul_f64(RENEW),
                    ends: now + lifetime.saturating_sub(LAST),
                };
                self.held.store(Some(Arc::new(held)));
                Ok(Shown { token: Some(token), is_kept: false })
            }
            Err(why) => {
                failed.times += 1;
                failed.last = Some((Instant::now(), why.clone()));
                before.as_ref().map(|held| kept(held)).ok_or(why)
            }
        }
    }

    /// The server does not accept this one. True: it is got again the next time.
    pub(super) fn forget(&self, token: &HeaderValue) -> bool {
        let Some(held) = self.held.load_full() else { return true };
        if held.value != token {
            // Somebody else has another one by now.
            return true;
        }
        if held.since.elapsed() < GAP {
            return false;
        }
        let gone = self.held.compare_and_swap(&held, None);
        drop(gone);
        true
    }

    /// Whether there is one that is good.
    pub(super) fn is_good(&self) -> bool {
        self.held.load().as_ref().is_some_and(|held| Instant::now() < held.ends)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    fn granted(number: u32, lifetime: u64) -> Granted {
        Granted { token: HeaderValue::try_from(format!("Bearer {number}")).unwrap(), lifetime: Duration::from_secs(lifetime) }
    }

    #[tokio::test]
    async fn many_who_wait_ask_once_and_have_the_same() {
        let (cell, asked) = (TokenCell::default(), AtomicU32::new(0));
        let ask = || async {
            let number = asked.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            Ok(granted(number, 600))
        };
        let all = futures::future::join_all((0..50).map(|_| cell.get(ask))).await;
        assert_eq!(asked.load(SeqCst), 1);
        assert!(all.iter().all(|shown| shown.as_ref().unwrap().token == Some(granted(0, 0).token)));
        assert_eq!(all.iter().filter(|shown| !shown.as_ref().unwrap().is_kept).count(), 1);
        // It is fresh, so that getting another one would not help.
        assert!(!cell.forget(&granted(0, 0).token) && cell.is_good());
        assert!(cell.forget(&granted(7, 0).token), "somebody else's");
    }

    #[tokio::test]
    async fn one_that_has_to_be_renewed_is_used_until_there_is_another() {
        let cell = TokenCell::default();
        cell.get(|| async { Ok(granted(1, 600)) }).await.unwrap();
        let now = Instant::now();
        let old = Held { value: granted(1, 0).token, since: now, renew: now, ends: now + Duration::from_secs(60) };
        cell.held.store(Some(Arc::new(old)));
        let (first, second) = tokio::join!(
            cell.get(|| async {
                tokio::task::yield_now().await;
                Ok(granted(2, 600))
            }),
            cell.get(|| async { panic!("one asks at a time") }),
        );
        assert_eq!((first.unwrap().token, second.unwrap().token), (Some(granted(2, 0).token), Some(granted(1, 0).token)));
        assert_eq!(cell.get(|| async { panic!("there is one") }).await.unwrap().token, Some(granted(2, 0).token));
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_and_nobody_asks_again_at_once() {
        let cell = TokenCell::default();
        let first = cell.get(|| async { Err("away".to_owned()) }).await;
        let second = cell.get(|| async { panic!("it was asked just now") }).await;
        assert_eq!((first.unwrap_err(), second.unwrap_err()), ("away".to_owned(), "away".to_owned()));
        // One that is good is used meanwhile.
        let now = Instant::now();
        cell.held.store(Some(Arc::new(Held { value: granted(1, 0).token, since: now, renew: now, ends: now + Duration::from_secs(60) })));
        assert_eq!(cell.get(|| async { panic!("it was asked just now") }).await.unwrap().token, Some(granted(1, 0).token));
    }
}
