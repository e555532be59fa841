//! What stands between quotes.

/// What a literal in quotes is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Text,
    Bytes,
}

/// What is between quotes, with its escape sequences, which are of the right form, replaced.
pub(super) fn unescaped(content: &[char], raw: bool, of: Of) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            '\r' => {
                // Lines end as they do on this side of the world.
                rest = rest.strip_prefix(&['\n']).unwrap_or(rest);
                bytes.push(b'\n');
            }
            '\\' if !raw => {
                let Some((kind, behind)) = rest.split_first() else { break };
                let (skipped, count, radix) = match kind {
                    'x' | 'X' => (1, 2, 16),
                    'u' => (1, 4, 16),
                    'U' => (1, 8, 16),
                    '0'..='3' => (0, 3, 8),
                    _ => {
                        bytes.push(simple(*kind));
                        rest = behind;
                        continue;
                    }
                };
                let end = (skipped + count).min(rest.len());
                let value = rest[skipped..end].iter().fold(0_u32, |value, digit| {
                    value.wrapping_mul(radix).wrapping_add(digit.to_digit(radix).unwrap_or_default())
                });
                rest = &rest[end..];
                match of {
                    Of::Bytes if matches!(kind, 'u' | 'U') => return Err("unable to unescape string"),
                    Of::Bytes => bytes.push(u8::try_from(value).map_err(|_| "unable to unescape string")?),
                    Of::Text => push(&mut bytes, char::from_u32(value).ok_or("invalid unicode code point")?),
                }
            }
            other => push(&mut bytes, *other),
        }
    }
    Ok(bytes)
}

/// What one character behind a backslash stands for.
fn simple(kind: char) -> u8 {
    match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        quoted => quoted as u8,
    }
}

fn push(content: &mut Vec<u8>, character: char) {
    content.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}
