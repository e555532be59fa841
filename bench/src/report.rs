//! Printing figures.

use std::time::Duration;

/// One measured series of operations.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// How many.
    pub operations: usize,
    /// Wall time.
    pub wall: Duration,
    /// CPU time of the server.
    pub cpu: Duration,
}

impl Measured {
    /// CPU microseconds of the server per operation.
    pub fn cpu_per_operation(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations as f64
    }

    /// Operations per second of wall time.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }
}

/// Prints one line: what, server CPU per operation, rate.
pub fn line(what: &str, measured: &Measured) {
    println!("{what:44} {:9.1} us CPU/op {:10.0} op/s", measured.cpu_per_operation(), measured.rate());
}

/// Prints the ratio of two series, with what must be reached.
pub fn ratio(what: &str, ours: f64, peer: f64, target: &str) {
    println!("{what:44} {:9.2} x          target {target}", ours / peer);
}

/// The value at a quantile of unsorted samples.
pub fn quantile(samples: &mut [Duration], quantile: f64) -> Duration {
    samples.sort_unstable();
    let index = ((samples.len().saturating_sub(1)) as f64 * quantile).round() as usize;
    samples.get(index).copied().unwrap_or_default()
}

/// Ratios of interleaved pairs: the median, and how far they lie apart.
///
/// Both sides of a pair meet the same weather on the machine, so their ratio repeats where neither
/// figure does.
pub fn pairs(what: &str, ratios: &mut [f64], target: &str) {
    ratios.sort_unstable_by(f64::total_cmp);
    let [least, .., most] = *ratios else { return };
    let median = ratios[ratios.len() / 2];
    println!("{what:44} {median:9.2} x          {} pairs, {least:.2} to {most:.2}; target {target}", ratios.len());
}

/// Prints how a cost grew since the objects were a tenth.
pub fn slope(what: &str, costs: &[f64]) {
    for pair in costs.windows(2) {
        println!("{what:44} {:9.2} x          target <= 1.3 per decade", pair[1] / pair[0]);
    }
}

/// Prints a figure with its target.
pub fn figure(what: &str, value: f64, unit: &str, target: &str) {
    println!("{what:44} {value:9.1} {unit:10} {target}");
}
