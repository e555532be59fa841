//! Points in time, with the offset from UTC in which they were written.

use std::cmp::Ordering;
use std::fmt;

use jiff::civil::{self, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use portolan_api::time::layout::SECONDS;

/// The first and the last second that there are: years 1 to 9999.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A point in time. The same point at another offset is equal, but shown otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Since 1970.
    seconds: i64,
    nanos: u32,
    /// Seconds that its clock is ahead of UTC.
    ahead: i32,
}

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMoment {
    /// It has another form.
    Form,
    /// No value is so early or so late.
    Overflow,
}

impl Moment {
    /// `None` if it is out of range.
    pub(crate) fn new(seconds: i64, nanos: u32) -> Option<Self> {
        RANGE.contains(&seconds).then_some(Self { seconds, nanos, ahead: 0 })
    }

    /// Reads RFC 3339, as Go does.
    pub(crate) fn parse(text: &str) -> Result<Self, NoMoment> {
        let text = SECONDS.read(text).map_err(|_| NoMoment::Form)?;
        let zone = text.rfind(['Z', '+', '-']).ok_or(NoMoment::Form)?;
        let (text, zone) = text.split_at(zone);
        let number = |text: Option<&str>| text.and_then(|digits| digits.parse::<i32>().ok());
        let two = |text: &str, at: usize| number(text.get(at..at + 2)).ok_or(NoMoment::Form);
        let ahead = match zone.as_bytes().first() {
            Some(b'Z') => 0,
            Some(sign) => {
                let length = two(zone, 1)? * 3600 + two(zone, 4)? * 60;
                if *sign == b'-' { -length } else { length }
            }
            None => return Err(NoMoment::Form),
        };
        let whole = text.get(..19).and_then(|text| text.parse::<DateTime>().ok()).ok_or(NoMoment::Form)?;
        let decimals = text.get(20..).unwrap_or_default();
        let nanos = format!("{decimals:0<9}").parse().map_err(|_| NoMoment::Form)?;
        let seconds = whole.duration_since(epoch()).as_secs() - i64::from(ahead);
        let moment = Self::new(seconds, nanos).ok_or(NoMoment::Overflow)?;
        Ok(Self { ahead, ..moment })
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(self) -> i64 {
        self.seconds
    }

    /// Whether it is what no time at all stands for.
    pub(crate) fn is_zero(self) -> bool {
        self.seconds == *RANGE.start() && self.nanos == 0
    }

    /// The same clock at another time; `None` if that is out of range.
    pub(crate) fn shifted(self, nanos: i64) -> Option<Self> {
        let moved = self.nanoseconds() + i128::from(nanos);
        let seconds = i64::try_from(moved.div_euclid(1_000_000_000)).ok()?;
        let nanos = u32::try_from(moved.rem_euclid(1_000_000_000)).ok()?;
        Some(Self { ahead: self.ahead, ..Self::new(seconds, nanos)? })
    }

    /// Nanoseconds since another one; `None` if they are too many.
    pub(crate) fn since(self, other: Self) -> Option<i64> {
        i64::try_from(self.nanoseconds() - other.nanoseconds()).ok()
    }

    fn nanoseconds(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos)
    }

    /// What calendar and clock show so many seconds ahead of UTC.
    pub(crate) fn shown(self, ahead: i64) -> Option<DateTime> {
        let since = SignedDuration::new(self.seconds.checked_add(ahead)?, i32::try_from(self.nanos).ok()?);
        epoch().checked_add(since).ok()
    }

    /// How many seconds a zone is ahead of UTC at this time.
    pub(crate) fn ahead_in(self, zone: &TimeZone) -> i64 {
        // The last day of all is beyond what zones know of.
        let time = Timestamp::new(self.seconds, 0).unwrap_or(Timestamp::MAX);
        zone.to_offset(time).seconds().into()
    }
}

fn epoch() -> DateTime {
    civil::date(1970, 1, 1).to_datetime(civil::Time::midnight())
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At the edges of time there may be no such date at an offset.
        let (shown, ahead) = match self.shown(self.ahead.into()) {
            Some(shown) => (shown, self.ahead),
            None => (self.shown(0).unwrap_or_default(), 0),
        };
        // In this form fractions have no digits too many.
        write!(formatter, "{shown}")?;
        if ahead == 0 {
            return formatter.write_str("Z");
        }
        let (sign, minutes) = (if ahead < 0 { '-' } else { '+' }, ahead.abs() / 60);
        write!(formatter, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}
