use proptest::prelude::*;

use super::*;

#[test]
fn has_one_canonical_text() {
    let cases = [
        ("0", "0"),
        ("-0", "0"),
        ("0Mi", "0"),
        ("1", "1"),
        ("01", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1500", "1500"),
        ("1000", "1k"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1023Ki", "1023Ki"),
        ("0.5Ki", "512"),
        ("1.5e3", "1500"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1E", "1E"),
        ("1e-3", "1e-3"),
        ("-100Mi", "-100Mi"),
        ("0.1n", "1n"),
        ("0.0000000001", "1n"),
        ("1.1Gi", "1181116006400m"),
        ("9223372036854775808", "9223372036854775807"),
        ("100000000000000000000000000000000000000000000000000000000000", "9223372036854775807"),
        ("0.000000000000000000000000000000000000000000000000000000000001", "1n"),
        ("8000Ei", "9223372036854775807"),
        (".", "0"),
        ("-", "0"),
        ("k", "0"),
    ];
    for (text, canonical) in cases {
        assert_eq!(Quantity::parse(text).map(|it| it.to_string()).as_deref(), Ok(canonical), "{text}");
    }
}

#[test]
fn refuses_what_is_not_a_quantity() {
    let cases = [
        ("", Error::Format),
        ("abc", Error::Format),
        ("1 Gi", Error::Format),
        ("1x", Error::Format),
        ("1..5", Error::Format),
        ("1KiKi", Error::Suffix),
        ("1e", Error::Suffix),
        ("1Kii", Error::Suffix),
        ("--1", Error::Suffix),
    ];
    for (text, error) in cases {
        assert_eq!(Quantity::parse(text), Err(error), "{text}");
    }
}

#[test]
fn computes() {
    let quantity = |text: &str| Quantity::parse(text).expect("valid");
    assert_eq!((quantity("1.5") + quantity("250m")).to_string(), "1750m");
    assert_eq!((quantity("0") + quantity("1Gi")).to_string(), "1Gi");
    assert_eq!((quantity("1Gi") - quantity("512Mi")).to_string(), "512Mi");
    assert_eq!(quantity("1.2").value(), 2);
    assert_eq!(quantity("-1.2").value(), -2);
    assert_eq!(quantity("100u").milli_value(), 1);
    assert!(quantity("1Gi") > quantity("1G"));
}

proptest! {
    #[test]
    fn survives_a_round_trip(milli in any::<i64>(), suffix in prop::sample::select(vec!["", "m", "k", "Ki", "Mi", "e3"])) {
        let quantity = Quantity::parse(&format!("{}{suffix}", milli / 1000)).expect("valid");
        let again = Quantity::parse(&quantity.to_string()).expect("canonical text is valid");
        prop_assert_eq!(quantity, again);
        prop_assert_eq!(quantity.to_string(), again.to_string());
    }

    #[test]
    fn never_panics(text in "[-+]?[0-9.]{0,60}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,5}") {
        let _ = Quantity::parse(&text).map(|quantity| quantity.to_string());
    }
}
