//! Implements a cache with a limited size. Each entry has an expiry time.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard};

use events::Moment;

/// The size limits of one cache.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Maximum number of entries.
    pub entries: usize,
    /// Maximum total weight of all entries. The caller chooses the unit of the weight, for example
    /// bytes.
    pub weight: usize,
}

impl Bounds {
    /// Returns limits for the number of entries only, without a limit for the weight.
    pub const fn entries(entries: usize) -> Self {
        Self {
            entries,
            weight: usize::MAX,
        }
    }
}

/// This expiry time means that an entry never expires.
pub const NEVER: Moment = Moment(i64::MAX);

struct Entry<V> {
    until: Moment,
    weight: usize,
    value: V,
}

/// The two maps that contain the entries of a cache. New entries are put into `young`. When `young`
/// is full, the cache drops all entries in `old`, and `young` becomes the new `old`. When an entry
/// in `old` is read, the entry moves to `young`.
struct Generations<K, V> {
    young: HashMap<K, Entry<V>>,
    old: HashMap<K, Entry<V>>,
    /// Total weight of the entries in the map `young`.
    young_weight: usize,
}

/// A cache of values by key. Each value has an expiry time. If the cache is full, the entries that
/// were not used for the longest time are dropped first.
///
/// The entries are in two maps. Each map contains at most half of the allowed entries and weight,
/// so both maps together never exceed the limits.
pub struct Cache<K, V> {
    bounds: Bounds,
    generations: Mutex<Generations<K, V>>,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn empty() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_weight: 0,
        }
    }

    fn remove<Q>(&mut self, key: &Q) -> Option<(K, Entry<V>)>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let old = self.old.remove_entry(key);
        let young = self.young.remove_entry(key);
        self.young_weight -= young.as_ref().map_or(0, |(_, entry)| entry.weight);
        young.or(old)
    }

    fn insert(&mut self, bounds: Bounds, key: K, entry: Entry<V>) {
        self.remove(&key);
        if entry.weight > bounds.weight / 2 {
            return;
        }
        if self.young.len() >= bounds.entries / 2
            || self.young_weight + entry.weight > bounds.weight / 2
        {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight += entry.weight;
        self.young.insert(key, entry);
    }
}

impl<K: Eq + Hash, V> Cache<K, V> {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            generations: Mutex::new(Generations::empty()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.generations.lock().expect("no holder panics")
    }

    /// Removes the value of `key` from the cache and returns this value. Returns `None` if the
    /// cache does not contain the value, or if the value expired at or before `now`.
    pub fn take<Q>(&self, key: &Q, now: Moment) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (_, entry) = self.lock().remove(key)?;
        (entry.until > now).then_some(entry.value)
    }

    /// Stores `value` for `key` until the time `until`, and replaces an existing value of `key`.
    /// The value is not stored if its weight is more than half of the maximum weight.
    pub fn put(&self, key: K, value: V, weight: usize, until: Moment) {
        let entry = Entry {
            until,
            weight,
            value,
        };
        self.lock().insert(self.bounds, key, entry);
    }

    pub fn remove<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.lock().remove(key);
    }

    pub fn clear(&self) {
        *self.lock() = Generations::empty();
    }

    /// Passes the cached value of `key` to the function `read`, and returns the result. Returns
    /// `None` if the cache does not contain the value, or if the value expired at or before `now`.
    pub fn read<Q, R>(&self, key: &Q, now: Moment, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut generations = self.lock();
        if let Some(entry) = generations.young.get(key) {
            return (entry.until > now).then(|| read(&entry.value));
        }
        // An entry in the map `old` moves to the map `young` when it is read. Otherwise, the cache
        // would drop the entry together with the map `old`.
        let (key, entry) = generations.old.remove_entry(key)?;
        if entry.until <= now {
            return None;
        }
        let result = read(&entry.value);
        generations.insert(self.bounds, key, entry);
        Some(result)
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// Returns the cached value of `key`. Returns `None` if the cache does not contain the value,
    /// or if the value expired at or before `now`.
    pub fn get<Q>(&self, key: &Q, now: Moment) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.read(key, now, V::clone)
    }

    /// Returns the cached value of a key. If no valid value is cached, the function `new` creates a
    /// value. The new value is returned, and it stays in the cache until the time `until`. The
    /// value is stored with the weight 0.
    pub fn get_or_put(&self, key: K, now: Moment, until: Moment, new: impl FnOnce() -> V) -> V {
        let mut generations = self.lock();
        let value = match generations.remove(&key) {
            Some((key, entry)) if entry.until > now => {
                let value = entry.value.clone();
                generations.insert(self.bounds, key, entry);
                return value;
            }
            _ => new(),
        };
        let entry = Entry {
            until,
            weight: 0,
            value: value.clone(),
        };
        generations.insert(self.bounds, key, entry);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_000);

    fn filled(bounds: Bounds, weights: &[usize]) -> Cache<usize, usize> {
        let cache = Cache::new(bounds);
        for (number, weight) in weights.iter().enumerate() {
            cache.put(number, number, *weight, NEVER);
        }
        cache
    }

    fn kept(cache: &Cache<usize, usize>, count: usize) -> Vec<usize> {
        (0..count)
            .filter(|number| cache.take(number, NOW).is_some())
            .collect()
    }

    #[test]
    fn the_number_of_entries_is_bounded_and_the_oldest_are_dropped() {
        let cache = filled(Bounds::entries(8), &[0; 20]);
        let kept = kept(&cache, 20);
        assert!(kept.len() <= 8 && kept.len() >= 4, "{kept:?}");
        assert_eq!(kept.last(), Some(&19));
        assert!(kept[0] >= 12, "{kept:?}");
    }

    #[test]
    fn the_weight_is_bounded_and_a_heavy_value_is_not_stored() {
        let bounds = Bounds {
            entries: 1_000,
            weight: 80,
        };
        let cache = filled(bounds, &[10; 20]);
        let kept = kept(&cache, 20);
        assert!(kept.len() <= 8 && kept.last() == Some(&19), "{kept:?}");
        assert_eq!(cache.lock().young_weight, 0, "every entry was taken");
        cache.put(0, 0, 41, NEVER);
        assert_eq!(cache.get(&0, NOW), None);
        cache.put(0, 0, 40, NEVER);
        assert_eq!(cache.get(&0, NOW), Some(0));
    }

    #[test]
    fn a_used_entry_outlives_unused_ones() {
        let cache = filled(Bounds::entries(8), &[0; 4]);
        for number in 4..100 {
            cache.put(number, number, 0, NEVER);
            assert_eq!(cache.get(&0, NOW), Some(0), "after {number}");
        }
        assert_eq!(cache.get(&1, NOW), None);
    }

    #[test]
    fn an_entry_expires_at_its_instant() {
        let cache = Cache::new(Bounds::entries(8));
        cache.put("a", 1, 0, NOW);
        assert_eq!(cache.get("a", Moment(999)), Some(1));
        assert_eq!(cache.get("a", NOW), None);
        cache.put("a", 2, 0, NOW);
        assert_eq!(cache.take("a", NOW), None);
        assert_eq!(cache.get_or_put("a", NOW, Moment(2_000), || 3), 3);
        assert_eq!(cache.get_or_put("a", NOW, Moment(2_000), || 4), 3);
        assert_eq!(cache.get_or_put("a", Moment(2_000), NEVER, || 5), 5);
        cache.remove("a");
        assert_eq!(cache.get("a", NOW), None);
    }

    #[test]
    fn a_cleared_cache_is_empty() {
        let cache = filled(Bounds::entries(8), &[1; 8]);
        cache.clear();
        assert_eq!(kept(&cache, 8), Vec::<usize>::new());
    }
}
