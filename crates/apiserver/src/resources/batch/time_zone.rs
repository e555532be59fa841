//! Names of time zones.

use crate::resources::at::{At, Errors};

/// The longest part of a name, by the rules of the time zone database.
const PART_LENGTH: usize = 14;

/// A zone that the database knows.
pub(super) fn validate(zone: &str, at: &At<'_>, errors: &mut Errors) {
    if zone.is_empty() {
        errors.invalid(at, "", "timeZone must be nil or non-empty string");
        return;
    }
    if !zone.split('/').all(is_part) {
        errors.invalid(at, zone, format!("unknown time zone {zone}"));
        return;
    }
    if zone.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(at, zone, detail);
    }
    // Other clients read the name as it is, so its case counts.
    let is_known =
        matches!(zone, "UTC" | "Local") || jiff::tz::db().get(zone).is_ok_and(|found| found.iana_name() == Some(zone));
    if !is_known {
        errors.invalid(at, zone, format!("unknown time zone {zone}"));
    }
}

fn is_part(part: &str) -> bool {
    !matches!(part, "" | "." | "..")
        && !part.starts_with('-')
        && part.len() <= PART_LENGTH
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_of_the_database_are_known() {
        for (zone, expected) in [
            ("UTC", ""),
            ("Etc/UTC", ""),
            ("Europe/Berlin", ""),
            ("America/Argentina/Ushuaia", ""),
            ("Etc/GMT+5", ""),
            ("Foo/Bar", "unknown time zone Foo/Bar"),
            ("europe/berlin", "unknown time zone europe/berlin"),
            ("Europe//Berlin", "unknown time zone Europe//Berlin"),
            ("../passwd", "unknown time zone ../passwd"),
            ("", "timeZone must be nil or non-empty string"),
            ("Local", "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"),
        ] {
            let mut errors = Errors::default();
            validate(zone, &At::root("timeZone"), &mut errors);
            let said: Vec<&str> = errors.0.iter().map(|error| error.detail.as_str()).collect();
            assert_eq!(said.join("; "), expected, "{zone}");
        }
    }
}
