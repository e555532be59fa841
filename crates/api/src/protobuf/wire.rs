//! The wire format: <https://protobuf.dev/programming-guides/encoding/>.

/// One field as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
    /// Fields between a begin and an end, which nothing has that is read here.
    Group,
    /// One of this type that cannot be read, which matters only where nothing else is wrong with it.
    Broken(u8, Problem),
}

/// What is wrong with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    Truncated,
    TooLong,
    Negative,
    Tag(u64),
    EndOfGroup,
    Type(u8),
}

impl Problem {
    /// In the words of upstream's decoder of a message of this name.
    pub(super) fn told(self, message: &str) -> String {
        match self {
            Self::Truncated => "unexpected EOF".into(),
            Self::TooLong => "proto: integer overflow".into(),
            Self::Negative => "proto: negative length found during unmarshaling".into(),
            Self::Tag(tag) => format!("proto: {message}: illegal tag {} (wire type {tag})", (tag >> 3) as i32),
            Self::EndOfGroup => format!("proto: {message}: wiretype end group for non-group"),
            Self::Type(wire_type) => format!("proto: illegal wireType {wire_type}"),
        }
    }
}

impl Item<'_> {
    /// The number of its form on the wire.
    pub(super) fn wire_type(&self) -> u8 {
        match self {
            Self::Varint(_) => VARINT,
            Self::Fixed64(_) => FIXED_64,
            Self::Bytes(_) => LENGTH,
            Self::Group => GROUP,
            Self::Fixed32 => FIXED_32,
            Self::Broken(wire_type, _) => *wire_type,
        }
    }
}

/// The fields of a message, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field with its number; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Item<'a>)>, Problem> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        if wire_type == END_OF_GROUP {
            return Err(Problem::EndOfGroup);
        }
        let item = match wire_type {
            GROUP => self.skip_group().map(|()| Item::Group),
            _ => self.item(wire_type),
        };
        Ok(Some((number, item.unwrap_or_else(|problem| Item::Broken(wire_type, problem)))))
    }

    /// The number of a field and its form.
    fn tag(&mut self) -> Result<(u32, u8), Problem> {
        let tag = self.varint()?;
        // As upstream, the number is one of 32 bits with a sign.
        match (tag >> 3) as i32 {
            number if number > 0 => Ok((number.cast_unsigned(), tag as u8 & 7)),
            _ => Err(Problem::Tag(tag)),
        }
    }

    fn item(&mut self, wire_type: u8) -> Result<Item<'a>, Problem> {
        Ok(match wire_type {
            VARINT => Item::Varint(self.varint()?),
            FIXED_64 => Item::Fixed64(u64::from_le_bytes(*self.take(8)?.first_chunk().ok_or(Problem::Truncated)?)),
            LENGTH => {
                let length = self.varint()?;
                if length.cast_signed() < 0 {
                    return Err(Problem::Negative);
                }
                Item::Bytes(self.take(length)?)
            }
            FIXED_32 => {
                self.take(4)?;
                Item::Fixed32
            }
            other => return Err(Problem::Type(other)),
        })
    }

    /// Goes on behind a group that has begun, and those within.
    fn skip_group(&mut self) -> Result<(), Problem> {
        let mut depth: usize = 1;
        while depth > 0 {
            let wire_type = self.varint()? as u8 & 7;
            match wire_type {
                GROUP => depth += 1,
                END_OF_GROUP => depth -= 1,
                _ => drop(self.item(wire_type)?),
            }
        }
        Ok(())
    }

    /// A number without a field around it, as packed lists hold them; `None` at the end.
    pub(super) fn next_varint(&mut self) -> Result<Option<u64>, Problem> {
        if self.rest.is_empty() { Ok(None) } else { self.varint().map(Some) }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Problem> {
        let length = usize::try_from(length).map_err(|_| Problem::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Problem::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Problem::Truncated)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Problem::TooLong)
    }
}

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED_64: u8 = 1;
pub(super) const LENGTH: u8 = 2;
const GROUP: u8 = 3;
const END_OF_GROUP: u8 = 4;
const FIXED_32: u8 = 5;

/// What comes before a field.
#[inline]
fn tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

#[inline]
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a length takes.
fn size_of_varint(value: usize) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

/// Writes bytes or text.
#[inline]
pub(super) fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    head(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes what comes before so many bytes.
#[inline]
pub(super) fn head(out: &mut Vec<u8>, number: u32, size: usize) {
    tag(out, number, LENGTH);
    varint(out, size as u64);
}

/// Writes a whole number.
#[inline]
pub(super) fn integer(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, VARINT);
    varint(out, value);
}

/// Writes a number that may have a fraction.
pub(super) fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    tag(out, number, FIXED_64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Writes a message that has nothing but these bytes in its first field.
#[inline]
pub(super) fn wrapped(out: &mut Vec<u8>, number: u32, inner: &[u8]) {
    head(out, number, 1 + size_of_varint(inner.len()) + inner.len());
    bytes(out, 1, inner);
}

/// Writes a message that holds a number or text.
pub(super) fn int_or_string(out: &mut Vec<u8>, number: u32, value: Result<i64, &[u8]>) {
    let (form, whole, text) = match value {
        Ok(whole) => (0, whole, &b""[..]),
        Err(text) => (1, 0, text),
    };
    message(out, number, |out| {
        integer(out, 1, form);
        integer(out, 2, whole.cast_unsigned());
        bytes(out, 3, text);
    });
}

/// Writes a message that always fits.
pub(super) fn message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let Ok(()) = nested(out, number, |out| {
        write(out);
        Ok::<_, std::convert::Infallible>(())
    });
}

/// Writes a message, whose length is known only afterwards: most are short, so that one byte is
/// left for it and the content moved where that is too little.
pub(super) fn nested<E>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    tag(out, number, LENGTH);
    let start = out.len();
    out.push(0);
    write(out)?;
    let mut size = out.len() - start - 1;
    let more = size_of_varint(size) - 1;
    if more > 0 {
        out.extend_from_slice(&[0; 9][..more]);
        out.copy_within(start + 1..start + 1 + size, start + 1 + more);
    }
    let mut place = start;
    while size >= 0x80 {
        out[place] = size as u8 | 0x80;
        size >>= 7;
        place += 1;
    }
    out[place] = size as u8;
    Ok(())
}
