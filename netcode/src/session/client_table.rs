//! A map from client numbers to values, in the order of the numbers.

use super::ClientId;

/// A map from client number to a value, iterated by rising number. Numbers rise and are never
/// reused, so a value is usually found directly by its number's distance from the first.
#[derive(Debug)]
pub struct ClientTable<T> {
    clients: Vec<ClientId>,
    /// Boxed, so that a removal moves pointers only.
    values: Vec<Box<T>>,
}

impl<T> Default for ClientTable<T> {
    fn default() -> Self {
        Self {
            clients: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<T> ClientTable<T> {
    fn find(&self, client: ClientId) -> Result<usize, usize> {
        let first = self.clients.first().map_or(0, |first| first.0);
        // The guess is right if no client between the first and this one has left.
        let guess = client.0.wrapping_sub(first) as usize;
        match self.clients.get(guess) {
            Some(found) if *found == client => Ok(guess),
            _ => self.clients.binary_search(&client),
        }
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Returns whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Returns whether a client has an entry.
    pub fn contains(&self, client: ClientId) -> bool {
        self.find(client).is_ok()
    }

    /// Returns a client's value.
    pub fn get(&self, client: ClientId) -> Option<&T> {
        self.find(client).ok().map(|at| &*self.values[at])
    }

    /// Returns a client's value for modification.
    pub fn get_mut(&mut self, client: ClientId) -> Option<&mut T> {
        self.find(client).ok().map(|at| &mut *self.values[at])
    }

    /// Inserts a client's value and returns the previous one.
    pub fn insert(&mut self, client: ClientId, value: T) -> Option<T> {
        match self.find(client) {
            Ok(at) => Some(std::mem::replace(&mut self.values[at], value)),
            Err(at) => {
                self.clients.insert(at, client);
                self.values.insert(at, Box::new(value));
                None
            }
        }
    }

    /// Removes a client's value and returns it.
    pub fn remove(&mut self, client: ClientId) -> Option<T> {
        let at = self.find(client).ok()?;
        self.clients.remove(at);
        Some(*self.values.remove(at))
    }

    /// Iterates over all entries by rising number.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ClientId, &T)> {
        self.clients
            .iter()
            .copied()
            .zip(self.values.iter().map(|value| &**value))
    }

    /// Iterates over all values by rising number, for modification.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.values.iter_mut().map(|value| &mut **value)
    }

    /// Iterates over all entries by rising number, starting at position `place` (from 0) and
    /// continuing with those before it. A `place` past the end starts at the first entry.
    pub fn iter_mut_from(&mut self, place: usize) -> impl Iterator<Item = (ClientId, &mut T)> {
        let place = place.min(self.clients.len());
        let (before, after) = self.values.split_at_mut(place);
        let (first, then) = (
            self.clients[place..].iter().zip(after),
            self.clients[..place].iter().zip(before),
        );
        first
            .chain(then)
            .map(|(client, value)| (*client, &mut **value))
    }

    /// Iterates over all entries by rising number, for modification of the values.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (ClientId, &mut T)> {
        self.clients
            .iter()
            .copied()
            .zip(self.values.iter_mut().map(|value| &mut **value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0u32..40, 0u8..3, any::<u8>()), 0..200), first in 0u32..1_000) {
            let (mut table, mut map) = (ClientTable::default(), BTreeMap::new());
            for (client, step, value) in steps {
                let client = ClientId(first + client);
                match step {
                    0 => prop_assert_eq!(table.insert(client, value), map.insert(client, value)),
                    1 => prop_assert_eq!(table.remove(client), map.remove(&client)),
                    _ => prop_assert_eq!(table.get(client), map.get(&client)),
                }
                prop_assert_eq!((table.contains(client), table.len()), (map.contains_key(&client), map.len()));
                prop_assert!(table.iter().eq(map.iter().map(|(client, value)| (*client, value))));
            }
        }
    }
}
