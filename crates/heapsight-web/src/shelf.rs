//! What was computed for a file and may be asked for again: sorted orders, sets that pass a filter, lists of groups.
//!
//! Bounded in bytes: what was used longest ago goes, and what does not fit alone is given out and not kept. Two requests
//! that miss at once both compute, and the second finds its result replaced by an equal one.

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};

type Kept = (String, Arc<dyn Any + Send + Sync>, usize);

/// The results of one file.
pub(crate) struct Shelf {
    /// Bytes that may be kept.
    most: usize,
    /// Last used last.
    items: Mutex<Vec<Kept>>,
}

impl Shelf {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, items: Mutex::default() }
    }

    /// The value of a key; made where it is not there. `bytes` says how large it is.
    pub(crate) fn get<T: Any + Send + Sync>(
        &self,
        key: &str,
        bytes: impl FnOnce(&T) -> usize,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let made: Result<Arc<T>, std::convert::Infallible> = self.try_get(key, bytes, || Ok(make()));
        match made {
            Ok(value) => value,
        }
    }

    /// The same for what can fail; a failure is not kept.
    pub(crate) fn try_get<T: Any + Send + Sync, E>(
        &self,
        key: &str,
        bytes: impl FnOnce(&T) -> usize,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        if let Some(found) = self.find(key).and_then(|value| value.downcast::<T>().ok()) {
            return Ok(found);
        }
        let value = Arc::new(make()?);
        let size = bytes(&value).saturating_add(key.len() + 64);
        if size <= self.most {
            let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
            items.retain(|item| item.0 != key);
            let mut sum: usize = size + items.iter().map(|item| item.2).sum::<usize>();
            while sum > self.most && !items.is_empty() {
                sum -= items.remove(0).2;
            }
            items.push((key.to_owned(), Arc::<T>::clone(&value), size));
        }
        Ok(value)
    }

    fn find(&self, key: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let at = items.iter().position(|item| item.0 == key)?;
        let item = items.remove(at);
        let value = Arc::clone(&item.1);
        items.push(item);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let shelf = Shelf::new(1000);
        let make = |key: &str| *shelf.get(key, |_: &u32| 300, || 1);
        let (_, _) = (make("a"), make("b"));
        make("a");
        make("c");
        let mut made = false;
        shelf.get(
            "a",
            |_: &u32| 300,
            || {
                made = true;
                1
            },
        );
        assert!(!made);
        shelf.get(
            "b",
            |_: &u32| 300,
            || {
                made = true;
                1
            },
        );
        assert!(made);
    }

    #[test]
    fn what_does_not_fit_is_given_out_and_not_kept() {
        let shelf = Shelf::new(100);
        assert_eq!(*shelf.get("a", |_: &u32| 300, || 1), 1);
        assert_eq!(*shelf.get("a", |_: &u32| 300, || 2), 2);
    }
}
