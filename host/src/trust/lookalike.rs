//! Names of two providers that a reader takes for one: `pay_bill` and `pay-bill`, `add` and `аdd`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use unicode_security::skeleton;

use super::visible;
use crate::provider::{Provider, ProviderId};

/// Sentences that are told of one provider.
const SENTENCES: usize = 20;

/// The names of all providers and of their tools, by how they look.
#[derive(Default)]
pub(super) struct Lookalikes {
    /// Who has which of the names that look like this. Thousands may have the same one, which says nothing of any of them.
    looks: HashMap<Arc<str>, BTreeMap<Name, BTreeSet<ProviderId>>>,
    of: BTreeMap<ProviderId, Vec<(Arc<str>, Name)>>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Provider,
    Tool(Arc<str>),
}

impl Lookalikes {
    /// What a provider offers now.
    pub(super) fn put(&mut self, provider: &dyn Provider) {
        let id = provider.id();
        self.remove(id);
        // Of a provider and of a tool one is not taken for the other.
        let mut names = vec![(format!("provider {}", look(id.as_str())), Name::Provider)];
        let tools = provider.tools().iter().map(|tool| &tool.name);
        names.extend(tools.map(|name| (look(name.as_str()), Name::Tool(name.into()))));
        let kept = |(look, name): (String, Name)| {
            let look = self.looks.get_key_value(look.as_str()).map_or_else(|| look.into(), |(look, _)| Arc::clone(look));
            self.looks.entry(Arc::clone(&look)).or_default().entry(name.clone()).or_default().insert(id.clone());
            (look, name)
        };
        let names = names.into_iter().map(kept).collect();
        self.of.insert(id.clone(), names);
    }

    pub(super) fn remove(&mut self, id: &ProviderId) {
        for (look, name) in self.of.remove(id).into_iter().flatten() {
            let Some(all) = self.looks.get_mut(&look) else { continue };
            if let Some(owners) = all.get_mut(&name) {
                owners.remove(id);
                if owners.is_empty() {
                    all.remove(&name);
                }
            }
            if all.is_empty() {
                self.looks.remove(&look);
            }
        }
    }

    /// What looks like something of another provider and is called otherwise, in sentences.
    pub(super) fn of(&self, id: &ProviderId) -> Vec<String> {
        let mut told = Vec::new();
        for (look, name) in self.of.get(id).into_iter().flatten() {
            // The same name is told where names are given out.
            let others = self.looks.get(look).into_iter().flatten().filter(|(other, _)| *name == Name::Provider || *other != name);
            for (other, other_name) in others.flat_map(|(name, owners)| owners.iter().map(move |owner| (owner, name))) {
                if other == id {
                    continue;
                }
                let sentence = match (name, other_name) {
                    (Name::Provider, _) => {
                        format!("its name {} looks like {}, which is another plugin or server", shown(id.as_str()), shown(other.as_str()))
                    }
                    (Name::Tool(name), Name::Tool(other_name)) => {
                        format!(
                            "its tool {} looks like {} of {other}: a model or a person can take one for the other",
                            shown(name),
                            shown(other_name)
                        )
                    }
                    _ => continue,
                };
                if told.len() == SENTENCES {
                    told.push("more of its tools look like those of others".to_owned());
                    return told;
                }
                told.push(sentence);
            }
        }
        told
    }
}

/// How a name looks: without case, without what stands between its words, and with one character for all that look the same (UTS 39).
fn look(name: &str) -> String {
    let plain: String = name.chars().flat_map(char::to_lowercase).filter(|c| !matches!(c, '-' | '_' | '.' | ' ' | '/')).collect();
    skeleton(&plain).flat_map(char::to_lowercase).collect()
}

/// A name in quotes, with the numbers of its characters that are not ASCII.
fn shown(name: &str) -> String {
    let mut foreign: Vec<String> = name.chars().filter(|c| !c.is_ascii()).map(|c| format!("U+{:04X}", u32::from(c))).collect();
    foreign.dedup();
    let name = visible(name);
    if foreign.is_empty() { format!("{name:?}") } else { format!("{name:?} (with {})", foreign.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::BoxFuture;

    use super::*;
    use crate::provider::{Call, CallError, CallOutput, Tool, ToolName};

    struct Named {
        id: ProviderId,
        tools: Vec<Arc<Tool>>,
    }

    impl Provider for Named {
        fn id(&self) -> &ProviderId {
            &self.id
        }
        fn tools(&self) -> &[Arc<Tool>] {
            &self.tools
        }
        fn call<'a>(&'a self, _: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
            Box::pin(async { Ok(CallOutput::default()) })
        }
    }

    fn named(id: &str, tools: &[&str]) -> Named {
        let tools = tools.iter().map(|name| Arc::new(Tool::new(ToolName::new(*name).unwrap(), serde_json::Map::new()))).collect();
        Named { id: ProviderId::new(id).unwrap(), tools }
    }

    #[test]
    fn names_that_look_alike_are_told_on_both_sides_until_one_is_gone() {
        let mut all = Lookalikes::default();
        all.put(&named("bank", &["pay_bill", "list", "add", "read.file", "same"]));
        let other = named("shop", &["pay-bill", "List", "\u{430}dd", "readfile", "same", "unlike"]);
        all.put(&other);
        let told = all.of(&other.id);
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told.iter().any(|one| one.starts_with("its tool \"pay-bill\" looks like \"pay_bill\" of bank")), "{told:?}");
        assert!(told.iter().any(|one| one.contains("(with U+0430) looks like \"add\" of bank")), "{told:?}");
        assert_eq!(all.of(&ProviderId::new("bank").unwrap()).len(), 4);
        all.put(&named("shop", &["unlike"]));
        assert!(all.of(&other.id).is_empty() && all.of(&ProviderId::new("bank").unwrap()).is_empty());
        all.put(&named("ban-k", &[]));
        assert!(all.of(&ProviderId::new("ban-k").unwrap())[0].contains("\"ban-k\" looks like \"bank\""));
        all.remove(&ProviderId::new("bank").unwrap());
        assert!(all.of(&ProviderId::new("ban-k").unwrap()).is_empty());
    }

    #[test]
    fn one_provider_may_have_what_looks_alike() {
        let mut all = Lookalikes::default();
        let own = named("a", &["getItem", "get_item"]);
        all.put(&own);
        assert!(all.of(&own.id).is_empty());
    }

    #[test]
    fn a_provider_that_looks_like_all_of_another_is_told_of_in_a_few_sentences() {
        let mut all = Lookalikes::default();
        let names: Vec<String> = (0..1000).map(|number| format!("tool_{number}")).collect();
        let others: Vec<String> = (0..1000).map(|number| format!("tool-{number}")).collect();
        all.put(&named("a", &names.iter().map(String::as_str).collect::<Vec<_>>()));
        all.put(&named("b", &others.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(all.of(&ProviderId::new("b").unwrap()).len(), SENTENCES + 1);
    }
}
