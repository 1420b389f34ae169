//! A provider that lists its tools otherwise: without some, or in other words.

use std::{collections::HashSet, sync::Arc};

use futures::future::BoxFuture;

use super::{Call, CallError, CallOutput, Definition, Provider, ProviderId, Tool};

/// The provider with these tools, each of which has the name of one of its own. The others are not there.
#[must_use]
pub fn relisted(inner: Arc<dyn Provider>, tools: Vec<Arc<Tool>>) -> Arc<dyn Provider> {
    let names = tools.iter().map(|tool| tool.name.to_string()).collect();
    Arc::new(Relisted { inner, tools, names })
}

struct Relisted {
    inner: Arc<dyn Provider>,
    tools: Vec<Arc<Tool>>,
    names: HashSet<String>,
}

impl Provider for Relisted {
    fn inner(&self) -> Option<&dyn Provider> {
        Some(&*self.inner)
    }

    fn id(&self) -> &ProviderId {
        self.inner.id()
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn definitions(&self) -> Vec<(String, Definition)> {
        let all = self.inner.definitions().into_iter().zip(self.inner.tools());
        all.filter(|(_, tool)| self.names.contains(tool.name.as_str())).map(|(said, _)| said).collect()
    }

    fn prompt_definitions(&self) -> Vec<(String, Definition)> {
        self.inner.prompt_definitions()
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        if self.names.contains(call.tool) {
            return self.inner.call(call);
        }
        Box::pin(async move { Err(CallError::UnknownTool(call.tool.to_owned())) })
    }

    fn default_tool(&self) -> Option<&str> {
        self.inner.default_tool().filter(|name| self.names.contains(*name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ToolName;

    /// Says something of everything that does not go by its tools.
    struct Whole(ProviderId);

    impl Provider for Whole {
        fn id(&self) -> &ProviderId {
            &self.0
        }

        fn tools(&self) -> &[Arc<Tool>] {
            &[]
        }

        fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
            Box::pin(async move { Err(CallError::UnknownTool(call.tool.to_owned())) })
        }

        fn code(&self) -> Option<String> {
            Some("code".to_owned())
        }

        fn calls_through(&self) -> &'static str {
            "pipeline"
        }

        fn own_instructions(&self) -> Option<&str> {
            Some("own")
        }

        fn instructions(&self) -> Option<&str> {
            Some("words")
        }

        fn reads_unlisted(&self) -> bool {
            true
        }
    }

    #[test]
    fn what_one_that_stands_before_another_does_not_change_is_as_that_one_says_it() {
        let whole: Arc<dyn Provider> = Arc::new(Whole(ProviderId::new("p").unwrap()));
        let listed = relisted(whole, vec![Arc::new(Tool::new(ToolName::new("t").unwrap(), serde_json::Map::new()))]);
        assert_eq!((listed.code().as_deref(), listed.calls_through()), (Some("code"), "pipeline"));
        assert_eq!((listed.instructions(), listed.own_instructions(), listed.reads_unlisted()), (Some("words"), Some("own"), true));
        assert_eq!((listed.calls(), listed.unread(), listed.tools().len()), (None, &[][..], 1));
    }
}
