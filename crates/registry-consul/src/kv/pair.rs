//! What is stored for a key. Pure.

use bytes::{BufMut, Bytes, BytesMut};

/// Version of the form in the store.
const VERSION: u8 = 1;
/// Version, flags, lock index and length of the session.
const HEAD: usize = 1 + 8 + 8 + 1;

/// What is stored for a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pair {
    /// The value.
    pub(crate) value: Bytes,
    /// Whatever the client means by it.
    pub(crate) flags: u64,
    /// How often the lock was taken.
    pub(crate) lock_index: u64,
    /// Session that holds the lock.
    pub(crate) session: Option<String>,
}

impl Pair {
    /// The form in the store: the value last, so that reading shares it.
    pub(crate) fn encode(&self) -> Bytes {
        let session = self.session.as_deref().unwrap_or_default().as_bytes();
        let mut bytes = BytesMut::with_capacity(HEAD + session.len() + self.value.len());
        bytes.put_u8(VERSION);
        bytes.put_u64(self.flags);
        bytes.put_u64(self.lock_index);
        // Ids of sessions are UUIDs.
        bytes.put_u8(u8::try_from(session.len()).expect("ids of sessions are short"));
        bytes.put_slice(session);
        bytes.put_slice(&self.value);
        bytes.freeze()
    }

    /// Reads the form in the store; `None` if it is none.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let (length, end) = (usize::from(head[HEAD - 1]), HEAD + usize::from(head[HEAD - 1]));
        if head[0] != VERSION || bytes.len() < end {
            return None;
        }
        let number = |at: usize| head[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        let session = std::str::from_utf8(&bytes[HEAD..end]).ok()?;
        Some(Self {
            flags: number(1)?,
            lock_index: number(9)?,
            session: (length > 0).then(|| session.to_owned()),
            value: bytes.slice(end..),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pairs_come_back_as_they_were(value: Vec<u8>, flags: u64, lock_index: u64, session in proptest::option::of("[a-z0-9-]{1,36}")) {
            let pair = Pair { value: value.into(), flags, lock_index, session };
            prop_assert_eq!(Pair::decode(&pair.encode()), Some(pair));
        }

        #[test]
        fn damaged_bytes_are_refused_or_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Pair::decode(&bytes.into());
        }
    }
}
