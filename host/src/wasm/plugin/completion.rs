//! The interface `completion`: values for an argument that somebody types.

use super::{Plugin, dynamic_tools::protocol_error, run::Failure};
use crate::{
    provider::{CallContext, CallError, Completion, Completions, Reference},
    wasm::imports::bindings::exports::toolbay::plugin::completion as wit,
};

/// Values in one answer: MCP allows no more.
const MAX_VALUES: usize = 100;

/// What is sent of what a plugin knows: as many values as may be, and what is said of the rest made true.
fn capped(found: wit::Completions) -> Completions {
    let wit::Completions { mut values, total, has_more } = found;
    let count = values.len();
    let at_least = u32::try_from(count).unwrap_or(u32::MAX);
    values.truncate(MAX_VALUES);
    // A total below what is there is wrong. Where the plugin gave all that it has, their number is the total.
    let total = match total {
        Some(total) if total >= at_least => Some(total),
        _ if count > MAX_VALUES && !has_more => Some(at_least),
        _ => None,
    };
    Completions { values, total, has_more: has_more || count > MAX_VALUES }
}

impl Plugin {
    /// Asks for values. None, where the plugin completes nothing.
    pub(super) async fn values(&self, completion: Completion, context: Box<CallContext>) -> Result<Completions, CallError> {
        let Completion { reference, argument, value, others } = completion;
        let (what, name) = match reference {
            Reference::Prompt(name) => {
                if !self.offers.prompts.iter().any(|prompt| prompt.key == name) {
                    return Err(CallError::UnknownPrompt(name));
                }
                (wit::Reference::Prompt(name.clone()), name)
            }
            Reference::Template(text) => {
                if !self.offers.templates.iter().any(|template| template.key == text) {
                    return Err(CallError::InvalidParams(format!("there is no resource template {text:?}")));
                }
                (wit::Reference::Template(text.clone()), text)
            }
        };
        if self.code.interfaces.completion.is_none() {
            return Ok(Completions::default());
        }
        let call_id = context.call_id;
        let found = self.code.run(context, move |code, mut store, instance| async move {
            let interface = code.interfaces.completion.as_ref();
            let guest = code.bound("completion", interface.map(|interface| interface.load(&mut store, &instance)))?;
            let found = guest.call_complete(&mut store, &what, &argument, &value, &others).await;
            let found = found
                .map_err(|error| code.explain(&store, &error))?
                .map_err(|error| Failure::Call(protocol_error(error, &store.data().refusals.messages())))?;
            let found = capped(found);
            code.within_output(found.values.iter().map(String::len).sum())?;
            Ok(found)
        });
        found.await.map_err(|failure| self.code.as_error(failure, &name, call_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(count: usize, total: Option<u32>, has_more: bool) -> (usize, Option<u32>, bool) {
        let values = (0..count).map(|value| value.to_string()).collect();
        let sent = capped(wit::Completions { values, total, has_more });
        assert!(sent.values.iter().enumerate().all(|(at, value)| *value == at.to_string()), "the first ones, in their order");
        (sent.values.len(), sent.total, sent.has_more)
    }

    #[test]
    fn few_values_pass_as_they_are() {
        assert_eq!(found(0, None, false), (0, None, false));
        assert_eq!(found(3, Some(3), false), (3, Some(3), false));
        assert_eq!(found(100, Some(150), true), (100, Some(150), true));
    }

    #[test]
    fn of_many_values_a_hundred_are_sent_and_the_rest_is_told() {
        assert_eq!(found(101, None, false), (100, Some(101), true));
        assert_eq!(found(250, None, true), (100, None, true), "how many there are is not known");
        assert_eq!(found(250, Some(1000), true), (100, Some(1000), true));
    }

    #[test]
    fn a_total_below_what_is_there_is_not_told() {
        assert_eq!(found(3, Some(1), false), (3, None, false));
        assert_eq!(found(101, Some(5), false), (100, Some(101), true));
    }
}
