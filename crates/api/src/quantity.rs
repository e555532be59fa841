//! Amounts of a resource: `100m`, `1.5Gi`, `1e3`.
//!
//! Source: `k8s.io/apimachinery/pkg/api/resource`. A quantity keeps the family of its suffix and
//! has one canonical text: no fraction, the largest suffix that loses nothing.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// The family of suffixes that a quantity is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `n`, `u`, `m`, none, `k`, `M`, `G`, `T`, `P`, `E`.
    DecimalSi,
    /// `Ki`, `Mi`, `Gi`, `Ti`, `Pi`, `Ei`.
    BinarySi,
    /// `e3`.
    DecimalExponent,
}

/// Why a text is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not look like one.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// Its suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// An amount, exact to a billionth.
///
/// Two quantities are equal if they stand for the same amount, however they are written.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

const NANO: i128 = 1_000_000_000;
/// The largest amount: 2^63-1 whole units. Larger ones are cut to it.
const LIMIT: i128 = i64::MAX as i128 * NANO;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

impl Quantity {
    /// No amount.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// This many whole units.
    pub fn from_value(value: i64, format: Format) -> Self {
        Self { nanos: i128::from(value) * NANO, format }
    }

    /// This many thousandths.
    pub fn from_milli_value(value: i64, format: Format) -> Self {
        Self { nanos: i128::from(value) * (NANO / 1000), format }
    }

    /// Reads a quantity.
    ///
    /// # Errors
    /// The text is not a quantity.
    pub fn parse(text: &str) -> Result<Self, Error> {
        text.parse()
    }

    /// Whole units, rounded away from zero.
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// Thousandths, rounded away from zero.
    pub fn milli_value(self) -> i64 {
        self.scaled(NANO / 1000)
    }

    /// Billionths, exactly.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// Whether it is so many units and no part of one.
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }

    /// Whether there is nothing.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    fn scaled(self, unit: i128) -> i64 {
        let rounded = divide_up(self.nanos, unit);
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    fn with(self, nanos: i128, other: Self) -> Self {
        // As upstream: a zero takes over the notation of what it is combined with.
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: nanos.clamp(-LIMIT, LIMIT), format }
    }
}

/// Division that rounds away from zero.
fn divide_up(dividend: i128, divisor: i128) -> i128 {
    dividend / divisor + (dividend % divisor).signum()
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned.find(|character: char| !character.is_ascii_digit() && character != '.');
        let (number, suffix) = unsigned.split_at(end.unwrap_or(unsigned.len()));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // Without any digit it is nothing, as upstream has it.
        if text.is_empty() || fraction.contains('.') || !is_suffix_like(suffix) {
            return Err(Error::Format);
        }
        let (format, base_1024, exponent) = suffix_of(suffix)?;
        let nanos = amount(whole, fraction, base_1024, exponent);
        let nanos = if text.starts_with('-') { -nanos } else { nanos };
        Ok(Self { nanos, format })
    }
}

/// Letters, then a sign, then digits, each part optional.
fn is_suffix_like(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|letter| "eEinumkKMGTP".contains(letter));
    let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Format, power of 1024 and power of 10 of a suffix.
fn suffix_of(suffix: &str) -> Result<(Format, u32, i32), Error> {
    if let Some(place) = DECIMAL.iter().position(|known| *known == suffix) {
        return Ok((Format::DecimalSi, 0, (place as i32 - 3) * 3));
    }
    if let Some(place) = BINARY.iter().position(|known| *known == suffix) {
        return Ok((Format::BinarySi, place as u32, 0));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(Error::Suffix)?;
    let exponent: i32 = exponent.parse().map_err(|_| Error::Suffix)?;
    Ok((Format::DecimalExponent, 0, exponent))
}

/// `whole.fraction * 1024^base_1024 * 10^exponent` in billionths: cut at the limit, rounded up.
fn amount(whole: &str, fraction: &str, base_1024: u32, exponent: i32) -> i128 {
    let factor = 1024_i128.pow(base_1024);
    let mut digits = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0').peekable();
    if digits.peek().is_none() {
        return 0;
    }
    // The power of ten of the last digit, in billionths.
    let mut shift = i64::from(exponent) + 9 - fraction.len() as i64;
    let mut mantissa: i128 = 0;
    let mut inexact = false;
    let mut cut = false;
    for digit in digits {
        if cut || mantissa > LIMIT {
            // More digits than can matter: each one only moves the point.
            cut = true;
            inexact |= digit != b'0';
            shift += 1;
        } else {
            mantissa = mantissa * 10 + i128::from(digit - b'0');
        }
    }
    let mut value = match mantissa.checked_mul(factor) {
        Some(value) => value,
        None if shift > -20 => return LIMIT,
        None => {
            // Too many digits behind the point for this factor: they are far below a billionth.
            inexact = true;
            shift += 12;
            (mantissa / 1_000_000_000_000).saturating_mul(factor)
        }
    };
    while shift > 0 {
        value = value.saturating_mul(10);
        shift -= 1;
        if value > LIMIT {
            return LIMIT;
        }
    }
    while shift < 0 && value > 0 {
        inexact |= value % 10 != 0;
        value /= 10;
        shift += 1;
    }
    (value + i128::from(inexact || shift < 0)).min(LIMIT)
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return formatter.write_str("0");
        }
        let whole = self.nanos / NANO;
        if self.format == Format::BinarySi && self.nanos % NANO == 0 && whole.abs() >= 1024 {
            let (number, place) = strip(whole, 1024, BINARY.len() - 1);
            return write!(formatter, "{number}{}", BINARY[place]);
        }
        let (number, place) = strip(self.nanos, 1000, DECIMAL.len() - 1);
        let exponent = (place as i32 - 3) * 3;
        match self.format {
            Format::DecimalExponent if exponent == 0 => write!(formatter, "{number}"),
            Format::DecimalExponent => write!(formatter, "{number}e{exponent}"),
            _ => write!(formatter, "{number}{}", DECIMAL[place]),
        }
    }
}

/// Takes `factor` out of `number` as often as it fits, at most `limit` times.
fn strip(mut number: i128, factor: i128, limit: usize) -> (i128, usize) {
    let mut place = 0;
    while place < limit && number % factor == 0 {
        number /= factor;
        place += 1;
    }
    (number, place)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.with(self.nanos + other.nanos, other)
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.with(self.nanos - other.nanos, other)
    }
}
