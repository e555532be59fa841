//! Where things are in the store.

use bytes::Bytes;

use crate::Error;

/// Everything of this dialect.
pub(crate) const ROOT: &str = "/consul/";
/// Keys and values.
pub(crate) const KV: &str = "/consul/kv/";
/// Sessions by id.
pub(crate) const SESSION: &str = "/consul/session/";
/// Keys that a session holds: `session/key`. Written together with the pair.
pub(crate) const LOCK: &str = "/consul/lock/";
/// Until when a key cannot be locked, in milliseconds since 1970.
pub(crate) const DELAY: &str = "/consul/delay/";

fn join(area: &str, rest: &str) -> Bytes {
    let mut key = String::with_capacity(area.len() + rest.len());
    key.push_str(area);
    key.push_str(rest);
    key.into()
}

/// Where the value of a key is.
pub(crate) fn kv(key: &str) -> Bytes {
    join(KV, key)
}

/// Where a session is.
pub(crate) fn session(id: &str) -> Bytes {
    join(SESSION, id)
}

/// Where it says that a session holds a key.
pub(crate) fn lock(session: &str, key: &str) -> Bytes {
    format!("{LOCK}{session}/{key}").into()
}

/// Where all keys are that a session holds.
pub(crate) fn locks_of(session: &str) -> Bytes {
    format!("{LOCK}{session}/").into()
}

/// Where it says until when a key cannot be locked.
pub(crate) fn delay(key: &str) -> Bytes {
    join(DELAY, key)
}

/// The area that a key of the store belongs to: the first part behind the root, with both slashes.
pub(crate) fn area(key: &[u8]) -> &[u8] {
    let rest = &key[ROOT.len().min(key.len())..];
    let end = rest.iter().position(|&byte| byte == b'/').map_or(key.len(), |at| ROOT.len() + at + 1);
    &key[..end]
}

/// The key that a client means by a key of the store.
pub(crate) fn kv_key(stored: &[u8]) -> Result<String, Error> {
    without(KV, stored)
}

/// What stands behind an area.
pub(crate) fn without(area: &str, stored: &[u8]) -> Result<String, Error> {
    let rest = stored.strip_prefix(area.as_bytes()).and_then(|rest| std::str::from_utf8(rest).ok());
    rest.map(str::to_owned).ok_or_else(|| Error::Internal(format!("a stored key is not below {area}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_belong_to_the_area_of_their_first_part() {
        let cases =
            [(kv("a/b"), KV), (kv(""), KV), (session("s"), SESSION), (lock("s", "a/b"), LOCK), (delay("a"), DELAY)];
        for (key, expected) in cases {
            assert_eq!(area(&key), expected.as_bytes(), "{key:?}");
        }
        assert_eq!(kv_key(&kv("a/b")).ok().as_deref(), Some("a/b"));
        assert!(kv_key(&session("a")).is_err());
    }
}
