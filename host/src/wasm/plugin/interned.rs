//! What many plugins have in common is kept once: what is made of equal texts is one thing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Fewer entries than this are not worth a look for those that nobody holds any more.
const LEAST: usize = 256;

/// Things by the texts that they were made of, for as long as somebody holds them.
pub(super) struct Interned<T: ?Sized> {
    kept: Mutex<Kept<T>>,
}

struct Kept<T: ?Sized> {
    by_text: HashMap<blake3::Hash, Weak<T>>,
    /// With so many entries it is looked for those that nobody holds.
    full: usize,
}

impl<T: ?Sized> Default for Interned<T> {
    fn default() -> Self {
        Self { kept: Mutex::new(Kept { by_text: HashMap::new(), full: LEAST }) }
    }
}

impl<T: ?Sized> Interned<T> {
    /// What was made of this text, or is made of it now. None: nothing can be made of it.
    pub(super) fn get(&self, text: &[u8], make: impl FnOnce() -> Option<Arc<T>>) -> Option<Arc<T>> {
        let digest = blake3::hash(text);
        if let Some(known) = self.known(&digest) {
            return Some(known);
        }
        let made = make()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have made it meanwhile.
        if let Some(known) = kept.by_text.get(&digest).and_then(Weak::upgrade) {
            return Some(known);
        }
        if kept.by_text.len() >= kept.full {
            kept.by_text.retain(|_, known| known.strong_count() > 0);
            kept.full = (kept.by_text.len() * 2).max(LEAST);
        }
        kept.by_text.insert(digest, Arc::downgrade(&made));
        Some(made)
    }

    /// What was made of this text, if somebody holds it.
    pub(super) fn find(&self, text: &[u8]) -> Option<Arc<T>> {
        self.known(&blake3::hash(text))
    }

    fn known(&self, digest: &blake3::Hash) -> Option<Arc<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).by_text.get(digest).and_then(Weak::upgrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_thing_for_as_long_as_somebody_holds_it() {
        let all = Interned::<String>::default();
        let make = |text: &str| all.get(text.as_bytes(), || Some(Arc::new(text.to_uppercase()))).unwrap();
        let (one, other) = (make("a"), make("b"));
        assert_eq!((one.as_str(), other.as_str()), ("A", "B"));
        assert!(Arc::ptr_eq(&one, &make("a")) && !Arc::ptr_eq(&one, &other));
        assert!(all.get(b"c", || None).is_none());
        for n in 0..10 * LEAST {
            make(&n.to_string());
        }
        let kept = all.kept.lock().unwrap();
        assert!(kept.by_text.len() <= LEAST && kept.by_text.contains_key(&blake3::hash(b"a")), "{}", kept.by_text.len());
    }
}
