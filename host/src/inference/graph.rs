//! A graph that is open: what it takes is checked here, before it gets into the queue.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;

use super::{
    backend::{Dim, Session, Slot},
    batch::{self, Inputs, Outputs},
    call_budget::Account,
    error::{Code, NnError},
    graph_state::{GraphState, Settings},
    metrics::{GraphStatus, Metrics},
    queue::{Job, Queue, Ticket},
    reorder::{self, Orders},
    tensor::{Data, Tensor, View},
};

/// A graph, for any number of callers at once. Clones are the same graph; the files below may change, this stays what it is.
#[derive(Clone)]
pub struct Graph(pub(super) Arc<GraphState>, Arc<Queue>);

/// Takes a compute out of the queue, or ends its run, when its caller goes away.
struct Leaves<'a> {
    queue: &'a Queue,
    ticket: &'a Arc<Ticket>,
    metrics: &'a Metrics,
    answered: bool,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.metrics.cancelled();
            self.queue.cancel(self.ticket);
        }
    }
}

impl Graph {
    /// Puts sessions of one graph to use. None: there are none.
    pub(super) fn new(settings: Settings, sessions: Vec<Box<dyn Session>>, metrics: Arc<Metrics>, queue: Arc<Queue>) -> Option<Self> {
        Some(Self(Arc::new(GraphState::new(settings, sessions, metrics)?), queue))
    }

    /// What it takes.
    #[must_use]
    pub fn inputs(&self) -> &[Slot] {
        &self.0.inputs
    }

    /// Whether it is the same graph, of the same version of its file.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What it is.
    #[must_use]
    pub fn status(&self) -> GraphStatus {
        let slots = |slots: &[Slot]| slots.iter().map(ToString::to_string).collect();
        let GraphState { settings, layout, inputs, outputs, .. } = &*self.0;
        GraphStatus {
            name: settings.name.clone(),
            inputs: slots(inputs),
            outputs: slots(outputs),
            batches: layout.batches && settings.max_batch > 1,
            ragged: layout.is_ragged() && settings.max_batch > 1,
        }
    }

    /// Computes, when it is its turn. The inputs are gone afterwards; outputs stay on the device until their bytes are asked for. Dropping the future
    /// takes the compute out of the queue, or ends it.
    ///
    /// # Errors
    ///
    /// [`NnError`], where an input is not what the graph takes, a limit is reached, or the run fails.
    pub async fn compute(&self, account: &Arc<Account>, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, NnError> {
        let answer = self.compute_views(account, inputs).await;
        self.0.metrics.answered(answer.is_ok());
        answer?.into_iter().map(|(name, view)| Ok((name, Tensor::rows(account, view)?))).collect()
    }

    async fn compute_views(&self, account: &Arc<Account>, inputs: Vec<(String, Tensor)>) -> Result<Outputs, NnError> {
        let (views, more) = self.check(&inputs)?;
        let _booked = reorder::book(account, more)?;
        let left = account.time_left();
        if left.is_zero() {
            return Err(NnError::new(Code::Timeout, account.out_of_time()));
        }
        let (reply, answer) = oneshot::channel();
        let (ticket, started) = Ticket::new();
        let inner = &*self.0;
        let key = (inner.settings.max_batch > 1).then(|| batch::key(&inner.layout, &views)).flatten();
        let job = Job {
            graph: self.0.clone(),
            plugin: account.plugin().clone(),
            account: account.clone(),
            rows: views.first().map_or(1, |view| view.dim(0)).max(1),
            advance: batch::advance(&views),
            inputs: views,
            key,
            arrived: Instant::now(),
            ticket: ticket.clone(),
            reply,
        };
        let mut leaves = Leaves { queue: &self.1, ticket: &ticket, metrics: &inner.metrics, answered: false };
        account.is_now_at(0);
        self.1.submit(job);
        let out_of_time = async {
            // Waiting for a turn is no computing. A job that is never begun is answered all the same.
            if started.await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(left).await;
        };
        tokio::select! {
            biased;
            answer = answer => {
                leaves.answered = true;
                answer.unwrap_or_else(|_| Err(NnError::new(Code::Runtime, "the host is shutting down")))
            }
            () = out_of_time => {
                account.spend(left);
                Err(NnError::new(Code::Timeout, account.out_of_time()))
            }
        }
    }

    /// The tensors in the order of the graph's inputs, when each is what the graph takes; and the bytes of what is given in another order of its rows.
    fn check(&self, given: &[(String, Tensor)]) -> Result<(Inputs, u64), NnError> {
        let GraphState { inputs, layout, settings, .. } = &*self.0;
        let graph = &settings.name;
        let known = || inputs.iter().map(|slot| slot.name.as_str()).collect::<Vec<_>>().join(", ");
        let mut orders = Orders::default();
        for (name, tensor) in given.iter().filter(|(name, _)| inputs.iter().all(|slot| slot.name != *name)) {
            if !Orders::takes(name, layout, inputs) {
                let name: String = name.chars().take(100).collect();
                return Err(NnError::invalid(format!("{graph} has no input {name:?}; it has {}", known())));
            }
            orders.read(graph, name, tensor)?;
        }
        let mut views = Vec::with_capacity(inputs.len());
        for slot in inputs {
            let mut named = given.iter().filter(|(name, _)| *name == slot.name);
            let Some((_, tensor)) = named.next() else {
                return Err(NnError::invalid(format!("{graph} needs an input {:?}; it has {}", slot.name, known())));
            };
            if named.next().is_some() {
                return Err(NnError::invalid(format!("the input {:?} of {graph} is given twice", slot.name)));
            }
            views.push(fit(graph, slot, tensor)?);
        }
        let more = orders.apply(graph, layout, inputs, &mut views)?;
        // The graph gives that dimension one name in all of them. Rows that differ would be stretched by some operators, and mean nothing.
        if layout.batches && views.iter().any(|view| view.dim(0) != views.first().map_or(0, |first| first.dim(0))) {
            let rows: Vec<String> = inputs.iter().zip(&views).map(|(slot, view)| format!("{} {}", slot.name, view.dim(0))).collect();
            return Err(NnError::invalid(format!("{graph} takes as many rows in each input, and was given: {}", rows.join(", "))));
        }
        Ok((views, more))
    }
}

/// Whether a tensor is what an input takes.
fn fit(graph: &str, slot: &Slot, tensor: &Tensor) -> Result<View, NnError> {
    if let Data::Bad(fault) = &tensor.data {
        return Err(NnError::new(fault.code, format!("the input {:?} of {graph}: {}", slot.name, fault.message)));
    }
    let wrong = || Err(NnError::invalid(format!("{graph} takes {slot} and was given {}{:?}", tensor.ty, tensor.dims)));
    if slot.ty.carrier() != Some(tensor.ty) {
        return wrong();
    }
    let fits = |(dim, given): (&Dim, &u32)| match dim {
        Dim::Fixed(size) => u32::try_from(*size) == Ok(*given),
        // A dimension is an i64 to the runtime, so that a u32 always fits.
        Dim::Any(_) => true,
    };
    // Without a shape it is a scalar, or the graph does not say: the runtime checks then.
    let shaped = slot.dims.is_empty() || (slot.dims.len() == tensor.dims.len() && slot.dims.iter().zip(&tensor.dims).all(fits));
    if shaped { Ok(tensor.view()) } else { wrong() }
}
