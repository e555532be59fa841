//! The little of DER that a certificate is made of (ITU-T X.690).

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Tag of an explicit member number `number`.
pub(crate) const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// One element: tag, length, content.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    if content.len() < 0x80 {
        bytes.push(content.len() as u8);
    } else {
        let length = content.len().to_be_bytes();
        let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
        bytes.push(0x80 | length.len() as u8);
        bytes.extend_from_slice(length);
    }
    bytes.extend_from_slice(content);
    bytes
}

/// An element made of others.
pub(crate) fn joined(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// A number that is not negative, from its big-endian bytes.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    match significant.first() {
        None => element(INTEGER, &[0]),
        // A leading one bit would be a sign.
        Some(first) if first & 0x80 != 0 => joined(INTEGER, &[&[0], significant]),
        Some(_) => element(INTEGER, significant),
    }
}

/// A string of whole bytes.
pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    joined(BIT_STRING, &[&[0], bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_are_as_short_as_they_can_be() {
        assert_eq!(element(SEQUENCE, &[]), [0x30, 0]);
        assert_eq!(element(SEQUENCE, &[7; 0x7f])[..2], [0x30, 0x7f]);
        assert_eq!(element(SEQUENCE, &[7; 0x80])[..3], [0x30, 0x81, 0x80]);
        assert_eq!(element(SEQUENCE, &[7; 0x123])[..4], [0x30, 0x82, 0x01, 0x23]);
        for (bytes, expected) in [
            (&[][..], &[2, 1, 0][..]),
            (&[0, 0][..], &[2, 1, 0]),
            (&[0x7f], &[2, 1, 0x7f]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 1, 0], &[2, 2, 1, 0]),
        ] {
            assert_eq!(unsigned(bytes), expected, "{bytes:?}");
        }
        assert_eq!(bits(&[1]), [3, 2, 0, 1]);
    }
}
