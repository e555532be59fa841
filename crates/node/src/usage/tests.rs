use super::sample::usage;
use super::*;

fn at(seconds: f64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs_f64(1000.0 + seconds)
}

/// A reading with one container, `c`, that used this much processor time.
fn sample(seconds: f64, cpu_ms: u64) -> Arc<Sample> {
    let counters = Counters { cpu: Duration::from_millis(cpu_ms), memory_bytes: 5, writable_layer_bytes: 0 };
    Arc::new(Sample { at: at(seconds), node: None, containers: [("c".to_owned(), counters)].into() })
}

fn of(name: &str) -> impl Fn(&Sample) -> Option<Counters> {
    move |sample| sample.containers.get(name).copied()
}

#[test]
fn a_reading_is_compared_with_the_newest_that_is_old_enough() {
    // Readings at, asked at, compared with.
    let cases: &[(&[f64], f64, Option<f64>)] = &[
        (&[], 0.0, None),
        (&[0.0], 0.5, None),
        (&[0.0], 1.0, Some(0.0)),
        (&[0.0, 5.0, 10.0], 12.0, Some(0.0)),
        (&[0.0, 5.0, 10.0], 22.0, Some(5.0)),
        (&[0.0, 50.0], 62.0, Some(50.0)),
        (&[0.0], 61.0, None),
        // The clock was set back.
        (&[10.0], 5.0, None),
    ];
    for (readings, asked, expected) in cases {
        let mut history = History::default();
        readings.iter().for_each(|seconds| history.keep(sample(*seconds, 0)));
        let base = history.base(at(*asked)).map(|sample| sample.at);
        assert_eq!(base, expected.map(at), "{readings:?} asked at {asked}");
    }
}

#[test]
fn many_questions_do_not_fill_the_memory() {
    let mut history = History::default();
    (0..10_000).for_each(|number| history.keep(sample(f64::from(number) / 100.0, 0)));
    assert!(history.len() < 70, "{}", history.len());
}

#[test]
fn a_rate_is_what_was_used_in_the_time_between() {
    let (base, now) = (sample(0.0, 1000), sample(10.0, 6000));
    let rate = |name: &str, started| usage(&now, &base, of(name), started).map(|it| (it.window_ms, it.cpu_nanocores));
    assert_eq!(rate("c", None), Some((10_000, 500_000_000)));
    assert_eq!(rate("missing", None), None);
    // Started after the first reading: since then.
    let empty = Sample { at: at(0.0), node: None, containers: Default::default() };
    let young = usage(&now, &empty, of("c"), Some(at(7.5))).expect("measured");
    assert_eq!((young.window_ms, young.cpu_nanocores, young.memory_bytes), (2500, 2_400_000_000, 5));
    assert_eq!(usage(&now, &empty, of("c"), None), None, "not running");
    assert_eq!(usage(&now, &empty, of("c"), Some(at(10.0))), None, "just started");
    // A counter that went back is another one's.
    assert_eq!(usage(&base, &now, of("c"), None), None);
}

#[test]
fn the_kernels_ticks_are_understood() {
    let stat = "cpu  100 20 30 9999 888 5 6 70 8 9\ncpu0 1 1 1 1\n";
    assert_eq!(machine::busy(stat, 100), Some(Duration::from_millis(1610)));
    assert_eq!(machine::busy("cpu  1 2", 100), None);
    assert_eq!(machine::busy("", 100), None);
    let here = machine::counters().expect("this machine counts");
    assert!(here.cpu > Duration::ZERO && here.memory_bytes > 0, "{here:?}");
}
