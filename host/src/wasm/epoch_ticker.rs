//! The clock that interrupts guests: it moves the engines' epoch on while instances live, and rests when there are none.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    },
    thread::{JoinHandle, Thread},
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

/// How often a running guest is interrupted so that it yields to others. A guest that spins takes a worker for this long at a time.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Ticks without an instance after which the clock rests: one second, so that a caller who comes back soon does not have to wake it.
const QUIET_TICKS: u32 = 200;

/// A resting clock looks up this often by itself.
const REST: Duration = Duration::from_secs(1);

/// Holders of the state beside instances: the clock and its thread.
const OWN: usize = 2;

/// Owns the thread.
pub(crate) struct Clock {
    state: Arc<State>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    engines: Mutex<Vec<EngineWeak>>,
    stop: AtomicBool,
    resting: AtomicBool,
    /// How often the clock has ticked.
    ticks: AtomicU64,
}

/// An instance that lives. The clock ticks as long as there is one.
pub(crate) struct TickGuard {
    _state: Arc<State>,
}

impl Clock {
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let state = Arc::new(State { engines: Mutex::new(vec![engine.weak()]), ..State::default() });
        // A thread and no task: guests that spin on every worker would keep a task from being run.
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn({
            let state = state.clone();
            move || state.run()
        })?;
        Ok(Self { state, thread })
    }

    /// Moves this engine's epoch on too.
    pub(crate) fn add(&self, engine: &Engine) {
        let mut engines = self.state.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.retain(|engine| engine.upgrade().is_some());
        engines.push(engine.weak());
    }

    /// Ticks so far: a time that costs nothing to read. It stands still while no instance lives.
    pub(crate) fn ticks(&self) -> u64 {
        self.state.ticks.load(Ordering::Relaxed)
    }

    /// Says that an instance lives, until the answer is dropped.
    pub(crate) fn beat(&self) -> TickGuard {
        let beat = TickGuard { _state: self.state.clone() };
        // The instance is counted before it is looked whether the clock rests, and the clock says that it rests before it counts: one of the two sees the other.
        fence(Ordering::SeqCst);
        if self.state.resting.load(Ordering::Relaxed) {
            self.thread().unpark();
        }
        beat
    }

    fn thread(&self) -> &Thread {
        self.thread.thread()
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        self.thread().unpark();
    }
}

impl State {
    fn run(self: Arc<Self>) {
        let mut quiet = 0;
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(TICK);
            self.ticks.fetch_add(1, Ordering::Relaxed);
            for engine in self.engines.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(EngineWeak::upgrade) {
                engine.increment_epoch();
            }
            quiet = if Arc::strong_count(&self) > OWN { 0 } else { quiet + 1 };
            if quiet >= QUIET_TICKS {
                self.resting.store(true, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                if Arc::strong_count(&self) <= OWN && !self.stop.load(Ordering::Relaxed) {
                    std::thread::park_timeout(REST);
                }
                self.resting.store(false, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use wasmtime::{Config, Instance, Module, Store};

    /// A guest that ends after some ticks, or never.
    fn spin(engine: &Engine, ticks: u64) -> wasmtime::Result<()> {
        let module = Module::new(engine, r#"(module (func (export "run") (loop $l (br $l))))"#)?;
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(ticks);
        let instance = Instance::new(&mut store, &module, &[])?;
        instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())
    }

    fn engine() -> Engine {
        Engine::new(Config::new().epoch_interruption(true)).unwrap()
    }

    #[test]
    fn a_clock_that_rests_wakes_for_an_instance() {
        let engine = engine();
        let clock = Clock::start(&engine).unwrap();
        let rests = || clock.state.resting.load(Ordering::Relaxed);
        let start = Instant::now();
        while !rests() {
            assert!(start.elapsed() < Duration::from_secs(60), "it never rests");
            std::thread::sleep(TICK);
        }
        let beat = clock.beat();
        assert!(spin(&engine, 3).is_err());
        // It goes on for as long as the instance lives, however long that is.
        std::thread::sleep(TICK * QUIET_TICKS * 2);
        assert!(!rests());
        assert!(spin(&engine, 3).is_err());
        drop(beat);
    }

    #[test]
    fn an_engine_that_was_added_is_interrupted_too() {
        let (first, second) = (engine(), engine());
        let clock = Clock::start(&first).unwrap();
        clock.add(&second);
        let _beat = clock.beat();
        assert!(spin(&second, 2).is_err());
    }
}
