//! `pattern` of a JSON Schema: matched in linear time, within a budget of memory, and so that a match for which nobody waits any more ends.
//!
//! Linear in the text is not cheap: a pattern can have thousands of states, and each letter can cost a visit to all of them. Short texts are matched where
//! they are; long ones by an automaton that is walked letter by letter here, beside the async workers, and looks up now and then whether it is still wanted.

use std::{
    cell::RefCell,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use jsonschema::{Keyword, ValidationError};
use regex::bytes::Regex;
use regex_automata::{
    Input,
    hybrid::dfa::{Cache, DFA},
    nfa::thompson,
};
use serde_json::Value;

use crate::offload;

/// Bytes of one compiled pattern, as the library counts them.
const ONE: usize = 1 << 20;

/// Bytes of what one pattern keeps of the texts that it has seen.
const KEPT: usize = 32 << 10;

/// The same for a match beside the workers, which is gone with it.
const WIDE: usize = 4 << 20;

/// Letters times states up to which a match is over at once.
const SHORT: usize = 50_000;

/// Letters between two looks at whether somebody still waits. Each can cost 0.2 ms where a pattern is as large as it may be.
const LOOK: usize = 64;

/// Memory for the compiled patterns of one provider. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// For all tools of a plugin: some hundreds of usual patterns, or a few that are as large as one may be.
    pub(crate) const PLUGIN: usize = 32 << 20;

    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes as much, if it is there.
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// The patterns of one schema.
pub(super) struct Patterns {
    budget: Budget,
    compiled: Mutex<HashMap<String, Arc<Pattern>>>,
    /// Of all of them together.
    states: AtomicUsize,
    /// Why the first one that was refused was.
    refused: Mutex<Option<String>>,
}

impl Patterns {
    pub(super) fn new(budget: Budget) -> Arc<Self> {
        Arc::new(Self { budget, compiled: Mutex::default(), states: AtomicUsize::new(0), refused: Mutex::default() })
    }

    /// The keyword `pattern` with this value.
    pub(super) fn keyword<'a>(&self, value: &Value) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
        let source = value.as_str().ok_or_else(|| Refusal::invalid("has a `pattern` that is not text".to_owned()));
        match source.and_then(|source| self.get(source)) {
            Ok(pattern) => Ok(Box::new(Matches(pattern))),
            Err(Refusal { why, .. }) => {
                let error = ValidationError::custom(why.clone());
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                Err(error)
            }
        }
    }

    /// Makes room for the names of `patternProperties` anywhere in a schema, which the validator compiles by itself.
    ///
    /// # Errors
    ///
    /// Why there is none, as the end of a sentence.
    pub(super) fn count_names(&self, schema: &Value) -> Result<(), String> {
        match schema {
            Value::Object(members) => {
                if let Some(Value::Object(named)) = members.get("patternProperties") {
                    // What is no pattern at all is told by the validator, if it is one of its own and no property of that name.
                    named.keys().try_for_each(|source| match self.get(source) {
                        Err(Refusal { why, is_large: true }) => Err(why),
                        _ => Ok(()),
                    })?;
                }
                members.values().try_for_each(|part| self.count_names(part))
            }
            Value::Array(parts) => parts.iter().try_for_each(|part| self.count_names(part)),
            _ => Ok(()),
        }
    }

    /// States of all patterns: what one letter can cost at most.
    pub(super) fn states(&self) -> usize {
        self.states.load(Ordering::Relaxed)
    }

    /// Why a pattern was refused, if one was.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn get(&self, source: &str) -> Result<Arc<Pattern>, Refusal> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = compiled.get(source) {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Arc::new(Pattern::new(source, &self.budget)?);
        self.states.fetch_add(pattern.states, Ordering::Relaxed);
        compiled.insert(source.to_owned(), Arc::clone(&pattern));
        Ok(pattern)
    }
}

/// Patterns are matched in linear time, which not all of them can be.
const INVALID: &str = "which is not a regular expression, or needs look-around or back-references, which are not matched here";

/// Why a pattern is not used, as the end of a sentence.
struct Refusal {
    why: String,
    /// It is one, and takes too much.
    is_large: bool,
}

impl Refusal {
    fn invalid(why: String) -> Self {
        Self { why, is_large: false }
    }

    fn large(why: String) -> Self {
        Self { why, is_large: true }
    }
}

/// One pattern, compiled.
struct Pattern {
    source: String,
    regex: Regex,
    /// For long texts. Made when the first one comes.
    nfa: thompson::NFA,
    states: usize,
}

impl Pattern {
    fn new(source: &str, budget: &Budget) -> Result<Self, Refusal> {
        let shown: String = source.chars().take(80).collect();
        let says = |what: &str| format!("has the pattern {shown:?}, {what}");
        let rust = jsonschema_regex::to_rust_regex(source).map_err(|()| Refusal::invalid(says(INVALID)))?;
        let rust = ascii_boundaries(&rust);
        let no_room = || Refusal::large(says("for which there is no room: all patterns of its plugin take too much memory"));
        // Measured before anything larger is made: forwards here, and the library does it forwards and backwards.
        let most = ONE.min(budget.left().saturating_sub(KEPT) / 3);
        let syntax = regex_automata::util::syntax::Config::new().utf8(false);
        let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(most));
        let nfa = match thompson::Compiler::new().syntax(syntax).configure(config).build(&rust) {
            Ok(nfa) => nfa,
            Err(error) if error.size_limit().is_none() => return Err(Refusal::invalid(says(INVALID))),
            Err(_) if most < ONE => return Err(no_room()),
            Err(_) => {
                let what = format!("which takes more than {} KiB of memory: repeat less, and bound the length by maxLength", ONE >> 10);
                return Err(Refusal::large(says(&what)));
            }
        };
        if !budget.take(3 * nfa.memory_usage() + KEPT) {
            return Err(no_room());
        }
        // Of bytes: one of text refuses ASCII's `\B`, which may hold within a letter.
        let regex = regex::bytes::RegexBuilder::new(&rust)
            .size_limit(2 * ONE)
            .dfa_size_limit(KEPT / 2)
            .build()
            .map_err(|error| Refusal::large(says(&format!("which cannot be used: {error}"))))?;
        Ok(Self { source: source.to_owned(), regex, states: nfa.states().len(), nfa })
    }

    fn matches(self: &Arc<Self>, text: &str) -> bool {
        if text.len().saturating_mul(self.states) > SHORT && offload::is_beside() {
            return self.walk(text.as_bytes()).unwrap_or_else(|| self.matches_at_once(text));
        }
        self.matches_at_once(text)
    }

    /// The library is known to panic on some patterns (rust-lang/regex#1344): such a text does not match.
    fn matches_at_once(&self, text: &str) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.regex.is_match(text.as_bytes()))).unwrap_or(false)
    }

    /// Letter by letter, until it is clear or nobody wants to know. None: this way cannot tell.
    fn walk(self: &Arc<Self>, text: &[u8]) -> Option<bool> {
        thread_local! {
            /// The automata of the work in hand. A thread beside the workers ends with its work, and they with it.
            static AUTOMATA: RefCell<HashMap<*const Pattern, Automaton>> = RefCell::default();
        }
        AUTOMATA.with_borrow_mut(|automata| {
            let automaton = match automata.entry(Arc::as_ptr(self)) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(free) => free.insert(Automaton::new(self)?),
            };
            automaton.walk(text)
        })
    }
}

struct Automaton {
    dfa: DFA,
    cache: Cache,
    /// So that its address means this pattern and no other.
    _pattern: Arc<Pattern>,
}

impl Automaton {
    fn new(pattern: &Arc<Pattern>) -> Option<Self> {
        let config = DFA::config().cache_capacity(WIDE).skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(pattern.nfa.clone()).ok()?;
        Some(Self { cache: dfa.create_cache(), dfa, _pattern: Arc::clone(pattern) })
    }

    fn walk(&mut self, text: &[u8]) -> Option<bool> {
        let Self { dfa, cache, .. } = self;
        let mut state = dfa.start_state_forward(cache, &Input::new(text)).ok()?;
        for piece in text.chunks(LOOK) {
            if offload::is_given_up() {
                return Some(false);
            }
            for &letter in piece {
                state = dfa.next_state(cache, state, letter).ok()?;
                if state.is_match() {
                    return Some(true);
                }
                if state.is_dead() {
                    return Some(false);
                }
                if state.is_quit() {
                    return None;
                }
            }
        }
        Some(dfa.next_eoi_state(cache, state).ok()?.is_match())
    }
}

/// `\b` and `\B` mean ASCII words in JSON Schema's dialect, and an automaton that is walked by the letter knows no others.
fn ascii_boundaries(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let (mut letters, mut classes) = (pattern.chars(), 0_usize);
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(boundary @ ('b' | 'B')) if classes == 0 => {
                    text.push_str("(?-u:\\");
                    text.push(boundary);
                    text.push(')');
                }
                escaped => {
                    text.push('\\');
                    text.extend(escaped);
                }
            },
            '[' => {
                classes += 1;
                text.push('[');
            }
            ']' => {
                classes = classes.saturating_sub(1);
                text.push(']');
            }
            other => text.push(other),
        }
    }
    text
}

/// The names of `patternProperties` anywhere in a schema so that their `\b` means ASCII words too: the validator compiles them by itself, and takes them
/// for Unicode's. (`\B` stays as it is: a pattern for texts may not hold within a letter.)
pub(super) fn ascii_names(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(named)) = members.get_mut("patternProperties")
                && named.keys().any(|name| name.contains("\\b"))
            {
                *named = std::mem::take(named).into_iter().map(|(name, part)| (ascii_name(name), part)).collect();
            }
            members.values_mut().for_each(ascii_names);
        }
        Value::Array(parts) => parts.iter_mut().for_each(ascii_names),
        _ => {}
    }
}

fn ascii_name(name: String) -> String {
    if !name.contains("\\b") || name.contains("\\B") {
        return name;
    }
    jsonschema_regex::to_rust_regex(&name).map_or_else(|()| name.clone(), |rust| ascii_boundaries(&rust))
}

/// A text as it stands in an error. The pattern, which comes after it, is not to be cut off.
fn shown(instance: &Value) -> String {
    const SHOWN: usize = 100;
    match instance {
        Value::String(text) if text.len() > SHOWN => format!("\"{}…\"", text.chars().take(SHOWN).collect::<String>()),
        other => other.to_string(),
    }
}

/// The keyword.
struct Matches(Arc<Pattern>);

impl<'i> Keyword<'i> for Matches {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) {
            Ok(())
        } else {
            Err(ValidationError::custom(format!("{} does not match {:?}", shown(instance), self.0.source)))
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        instance.as_str().is_none_or(|text| self.0.matches(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(source: &str) -> Arc<Pattern> {
        Arc::new(Pattern::new(source, &Budget::new(Budget::PLUGIN)).map_err(|refusal| refusal.why).unwrap())
    }

    #[test]
    fn a_pattern_that_takes_too_much_is_refused_with_the_reason() {
        let why = |source: &str, bytes| Pattern::new(source, &Budget::new(bytes)).err().unwrap().why;
        assert!(why("a[ab]{200000}", Budget::PLUGIN).contains("takes more than 1024 KiB"));
        assert!(why("a[ab]{12000}[^ab]", 1 << 20).contains("no room"));
        assert!(why("(?=a)b", Budget::PLUGIN).contains("look-around"));
    }

    #[test]
    fn patterns_of_one_budget_share_it() {
        let budget = Budget::new(4 << 20);
        let served = (0..100).filter(|number| Pattern::new(&format!("a[ab]{{6000}}{number}"), &budget).is_ok()).count();
        assert!((1..20).contains(&served), "{served}");
    }

    #[test]
    fn a_match_that_is_given_up_ends() {
        let pattern = pattern("a[ab]{12000}[^ab]");
        let text = "ab".repeat(2 << 20);
        let (ended, end) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let work = move || {
            let matches = pattern.matches(&text);
            ended.send(matches).unwrap();
        };
        let offload = offload::Offload::default();
        let wait = async { tokio::time::timeout(std::time::Duration::from_millis(50), offload.run(work)).await };
        assert!(runtime.block_on(wait).is_err(), "it takes minutes to its end");
        assert!(!end.recv_timeout(std::time::Duration::from_secs(60)).unwrap());
    }

    #[test]
    fn boundaries_are_those_of_ascii_words() {
        assert_eq!(ascii_boundaries(r"\bx\\b[\b]"), r"(?-u:\b)x\\b[\b]");
        assert_eq!(pattern(r"\bfoo\b").walk("a foo.".as_bytes()), Some(true));
        assert_eq!(pattern(r"\bfoo\b").walk("afoo ü".as_bytes()), Some(false));
        // `ü` is a letter, and none of an ASCII word.
        for (source, text, matches) in
            [(r"\bab", "üab", true), (r"\Bab", "üab", false), (r"a\B.", "aü", false), (r"^\Bü", "ü", true), (r"\bü", "aü", true)]
        {
            let pattern = pattern(source);
            assert_eq!(pattern.matches_at_once(text), matches, "{source} {text}");
            assert_eq!(pattern.walk(text.as_bytes()), Some(matches), "{source} {text}");
        }
    }

    #[test]
    fn boundaries_in_the_names_of_properties_are_those_of_ascii_words() {
        let schema = serde_json::json!({
            "type": "object",
            "patternProperties": { r"^\bname\b": { "type": "integer" }, r"^\wx\\b": true },
            "additionalProperties": false,
            "properties": { "in": { "items": { "patternProperties": { r"\bid\b": { "type": "integer" } } } } },
        });
        let schema = crate::schema::Schema::new(schema.as_object().unwrap()).unwrap();
        for (value, fits) in [
            (r#"{"name": 1}"#, true),
            // `é` is a letter, and none of an ASCII word.
            (r#"{"nameé": 1}"#, true),
            (r#"{"nameé": "one"}"#, false),
            (r#"{"names": 1}"#, false),
            (r#"{"in": [{"éid": 1}]}"#, true),
            (r#"{"in": [{"éid": "one"}]}"#, false),
            (r#"{"in": [{"aid": "one"}]}"#, true),
        ] {
            assert_eq!(schema.check(value).is_ok(), fits, "{value}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_say_the_same(
            source in prop::sample::select(vec![
                "^[a-c]{2,5}$", "a+b|c", "^$", "", "[^ab]c", r"^\d+(\.\d{1,2})?$", "^(a|b)*c?$", "ü.b", r"\bab", r"\Bc", r"a\b", r"\B.\B", "^a.*b$", r"\S+\s\S+", "(ab){3}",
            ]),
            text in "[abcü1. ]{0,12}",
        ) {
            let pattern = pattern(source);
            prop_assert_eq!(pattern.walk(text.as_bytes()), Some(pattern.matches_at_once(&text)));
        }
    }
}
