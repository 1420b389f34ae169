//! A span that is made when the first line is logged inside of it.
//!
//! Most calls log nothing, and a span costs more than a microsecond: its place in the registry, and its fields
//! as text. So only what the span would be made of is kept, and a line that is about to be written makes it.
//! Where a filter looks at spans, each is made at once: it decides which lines are written at all.

use std::{
    cell::Cell,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tracing::Span;

/// Somebody looks at spans before lines are logged in them.
static EAGER: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static INSIDE: Cell<Vec<Inside>> = const { Cell::new(Vec::new()) };
}

/// What knows the fields of a span.
pub(crate) trait MakeSpan: Send + Sync + 'static {
    /// Makes it, as a child of the current one.
    fn make(&self) -> Span;
}

/// A span, made or not.
pub(crate) struct LazySpan<M: MakeSpan>(Arc<Known<M>>);

/// The same, of whatever it is made.
#[derive(Clone)]
struct AnySpan(Arc<Known<dyn MakeSpan>>);

struct Known<M: ?Sized> {
    span: OnceLock<Span>,
    maker: M,
}

/// A span that a thread is in.
struct Inside {
    span: AnySpan,
    /// The subscriber has been told.
    entered: bool,
}

/// The span is left when this is dropped.
pub(crate) struct Entered(());

/// From now on spans are made at once.
pub(super) fn make_at_once() {
    EAGER.store(true, Relaxed);
}

impl<M: MakeSpan> LazySpan<M> {
    pub(crate) fn new(maker: M) -> Self {
        let span = Self(Arc::new(Known { span: OnceLock::new(), maker }));
        if EAGER.load(Relaxed) {
            span.any().made();
        }
        span
    }

    /// What it is made of.
    pub(crate) fn maker(&self) -> &M {
        &self.0.maker
    }

    fn any(&self) -> AnySpan {
        AnySpan(Arc::clone(&self.0) as _)
    }

    /// Does what follows inside of the span, until the result is dropped: on the same thread, and in the
    /// order in which spans were entered.
    pub(crate) fn enter(&self) -> Entered {
        self.any().enter()
    }
}

impl AnySpan {
    fn made(&self) -> &Span {
        self.0.span.get_or_init(|| self.0.maker.make())
    }

    fn is_made(&self) -> bool {
        self.0.span.get().is_some()
    }

    fn enter(self) -> Entered {
        let is_made = self.is_made();
        let mut inside = INSIDE.take();
        inside.push(Inside { span: self, entered: false });
        INSIDE.set(inside);
        if is_made {
            make_all();
        }
        Entered(())
    }
}

/// The same work on another task: inside of the spans that this thread is in now, made or not.
pub(crate) fn carried<F: Future>(work: F) -> Carried<F> {
    let inside = INSIDE.take();
    let spans = inside.iter().map(|inside| inside.span.clone()).collect();
    INSIDE.set(inside);
    Carried { work: Some(work), spans }
}

pin_project! {
    /// Work that is done, and dropped, inside of spans.
    pub(crate) struct Carried<F> {
        #[pin]
        work: Option<F>,
        spans: Vec<AnySpan>,
    }

    impl<F> PinnedDrop for Carried<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            within(this.spans, || this.work.set(None));
        }
    }
}

impl<F: Future> Future for Carried<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(work) = this.work.as_pin_mut() else { return Poll::Pending };
        within(this.spans, || work.poll(context))
    }
}

/// Does something inside of these spans, the outermost first.
fn within<T>(spans: &[AnySpan], work: impl FnOnce() -> T) -> T {
    let mut entered: Vec<Entered> = spans.iter().map(|span| span.clone().enter()).collect();
    let done = work();
    // The innermost is left first.
    while entered.pop().is_some() {}
    done
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut inside = INSIDE.take();
        let left = inside.pop();
        INSIDE.set(inside);
        if let Some(Inside { span, entered: true }) = left {
            span.made().with_subscriber(|(id, subscriber)| subscriber.exit(id));
        }
    }
}

/// Makes the spans that this thread is in, for a line that is about to be logged.
pub(super) fn make_all() {
    let mut inside = INSIDE.take();
    for Inside { span, entered } in inside.iter_mut().filter(|inside| !inside.entered) {
        // Each is a child of the one before, which is the current one by now.
        span.made().with_subscriber(|(id, subscriber)| subscriber.enter(id));
        *entered = true;
    }
    INSIDE.set(inside);
}

#[cfg(test)]
mod tests {
    use std::{
        process::Command,
        sync::{Arc, atomic::AtomicUsize},
    };

    use super::*;
    use crate::{
        config::{LogFormat, TelemetryConfig},
        telemetry::{LOG_VARIABLE, init},
    };

    struct Counted(&'static str, Arc<AtomicUsize>);

    impl MakeSpan for Counted {
        fn make(&self) -> Span {
            self.1.fetch_add(1, Relaxed);
            tracing::info_span!("call", tool = self.0)
        }
    }

    /// Not a test of its own: the process that the next test looks at. A subscriber of one thread does not
    /// hear of spans that are made while a line is logged; that of a process does.
    #[test]
    #[ignore = "started by others"]
    fn child() {
        let _guard = init(&TelemetryConfig { format: LogFormat::Text, log: "info".to_owned() }).unwrap();
        let made = Arc::<AtomicUsize>::default();
        let span = |name| LazySpan::new(Counted(name, Arc::clone(&made)));
        let silent = span("silent");
        drop(silent.enter());
        let (outer, inner) = (span("outer"), span("inner"));
        {
            let _outer = outer.enter();
            tracing::debug!("not written");
            {
                let _inner = inner.enter();
                tracing::info!("one");
                tracing::info!("two");
            }
            tracing::info!("three");
        }
        tracing::info!("four");
        {
            // As the next poll of a call does, on whatever thread.
            let _again = inner.enter();
            tracing::info!("five");
        }
        // As a call within a call does, on a task of its own, whose caller has logged nothing.
        let work = {
            let _outer = outer.enter();
            let _middle = span("middle").enter();
            let inmost = span("inmost");
            carried(async move {
                let _inmost = inmost.enter();
                tracing::info!("other task");
            })
        };
        std::thread::spawn(move || futures::executor::block_on(work)).join().unwrap();
        tracing::info!(made = made.load(Relaxed), "six");
    }

    fn lines(filter: &str) -> Vec<String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "telemetry::lazy_span::tests::child", "--ignored"]).env(LOG_VARIABLE, filter);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        text.lines().map(|line| line.split_once("INFO ").unwrap().1.replace("toolbay::telemetry::lazy_span::tests: ", "")).collect()
    }

    const OUTER: &str = r#"call{tool="outer"}: "#;
    const INNER: &str = r#"call{tool="inner"}: "#;

    #[test]
    fn a_line_makes_the_spans_that_it_is_in_and_none_else() {
        let both = format!("{OUTER}{INNER}").replace(": call", ":call");
        let wanted = [format!("{both}one"), format!("{both}two"), format!("{OUTER}three"), "four".to_owned(), format!("{both}five")];
        let mut lines = lines("info");
        assert_eq!(lines.pop().unwrap(), "six made=4");
        let carried = r#"call{tool="outer"}:call{tool="middle"}:call{tool="inmost"}: other task"#;
        assert_eq!(lines.pop().unwrap(), carried);
        assert_eq!(lines, wanted);
    }

    #[test]
    fn a_filter_that_looks_at_spans_has_them_all() {
        let lines = lines("toolbay[call]=info,toolbay=info");
        assert_eq!(lines.last().unwrap(), "six made=5", "{lines:?}");
    }
}
