//! A hash map that cannot be iterated, so that nothing can ever depend on hash order.

use core::borrow::Borrow;
use core::hash::Hash;

use siphasher::sip::SipHasher13;

/// The keys of the stack's hash tables, drawn from its seed: a peer chooses what is hashed here, and must not be
/// able to choose what collides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HashKey(pub(crate) u64, pub(crate) u64);

impl core::hash::BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map<K, V>(hashbrown::HashMap<K, V, HashKey>);

impl<K: Hash + Eq, V> Map<K, V> {
    pub(crate) fn new(key: HashKey) -> Self {
        Self(hashbrown::HashMap::with_hasher(key))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    pub(crate) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    pub(crate) fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let value = self.0.remove(key);
        // A table that once was large gives its memory back when it has emptied.
        if self.0.is_empty() && self.0.capacity() > 64 {
            self.0.shrink_to_fit();
        }
        value
    }

    pub(crate) fn or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        self.0.entry(key).or_insert_with(value)
    }
}
