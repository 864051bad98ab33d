//! What belongs to each client, by its number.

use super::ClientId;

/// A table by client number. Numbers rise and are never used again, so that a client mostly stands
/// where its number says; it is looked through in their order.
#[derive(Debug)]
pub struct ClientTable<T> {
    clients: Vec<ClientId>,
    /// Each in its own place: who leaves moves pointers and nothing else.
    values: Vec<Box<T>>,
}

impl<T> Default for ClientTable<T> {
    fn default() -> Self {
        Self { clients: Vec::new(), values: Vec::new() }
    }
}

impl<T> ClientTable<T> {
    fn find(&self, client: ClientId) -> Result<usize, usize> {
        let first = self.clients.first().map_or(0, |first| first.0);
        // Nobody between the first and this one left: it is where the numbers say.
        let guess = client.0.wrapping_sub(first) as usize;
        match self.clients.get(guess) {
            Some(found) if *found == client => Ok(guess),
            _ => self.clients.binary_search(&client),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Whether a client has an entry.
    pub fn contains(&self, client: ClientId) -> bool {
        self.find(client).is_ok()
    }

    /// A client's entry.
    pub fn get(&self, client: ClientId) -> Option<&T> {
        self.find(client).ok().map(|at| &*self.values[at])
    }

    /// A client's entry.
    pub fn get_mut(&mut self, client: ClientId) -> Option<&mut T> {
        self.find(client).ok().map(|at| &mut *self.values[at])
    }

    /// Puts a client's entry in; gives back the one before.
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

    /// Takes a client's entry out.
    pub fn remove(&mut self, client: ClientId) -> Option<T> {
        let at = self.find(client).ok()?;
        self.clients.remove(at);
        Some(*self.values.remove(at))
    }

    /// All, by rising number.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ClientId, &T)> {
        self.clients.iter().copied().zip(self.values.iter().map(|value| &**value))
    }

    /// The entries, by rising number.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.values.iter_mut().map(|value| &mut **value)
    }

    /// All, by rising number from the one at `place` on (counted from 0), and then those before it.
    pub fn iter_mut_from(&mut self, place: usize) -> impl Iterator<Item = (ClientId, &mut T)> {
        let place = place.min(self.clients.len());
        let (before, after) = self.values.split_at_mut(place);
        let (first, then) =
            (self.clients[place..].iter().zip(after), self.clients[..place].iter().zip(before));
        first.chain(then).map(|(client, value)| (*client, &mut **value))
    }

    /// All, by rising number.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (ClientId, &mut T)> {
        self.clients.iter().copied().zip(self.values.iter_mut().map(|value| &mut **value))
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
