// A program that speaks as Google Benchmark's do, as far as report.py asks.
// SPDX-License-Identifier: BSL-1.0
use std::time::{Duration, Instant};

/// `turns(n)` does n * batch operations, and returns how many it can prove.
pub type Turns = Box<dyn FnMut(u64) -> u64>;
/// Of a workload of workloads.hpp, which says what is counted.
pub struct Contender {
    pub name: String,
    pub batch: u64,
    pub make: Box<dyn Fn() -> Turns>,
}

/// As measure.hpp and Google Benchmark do: warm up, then more and more until it takes long enough.
fn measure(c: &Contender, min_time: f64) -> f64 {
    let mut contender = (c.make)();
    let mut turns = |n: u64| {
        let begin = Instant::now();
        assert_eq!(contender(n), n * c.batch, "not all of the work was done");
        begin.elapsed().as_secs_f64()
    };
    let (mut n, warm) = (1, Instant::now() + Duration::from_millis(5));
    while Instant::now() < warm && n < 100_000 {
        turns(n);
        n *= 4;
    }
    n = 1;
    loop {
        let seconds = turns(n);
        if seconds >= min_time {
            return (n * c.batch) as f64 / seconds;
        }
        let wanted = n as f64 * 1.4 * min_time / seconds.max(1e-9);
        n = (wanted as u64).clamp(n + 1, n * 10);
    }
}

pub fn main(all: Vec<Contender>) {
    let given = |option: &str| {
        let prefix = format!("--benchmark_{option}=");
        std::env::args().find_map(|a| a.strip_prefix(&prefix).map(str::to_string))
    };
    if given("list_tests").as_deref() == Some("true") {
        return all.iter().for_each(|c| println!("{}", c.name));
    }
    // report.py asks for one, by its whole name, as a regex
    let name = given("filter").unwrap_or_default().replace(['^', '$', '\\'], "");
    let min_time = given("min_time").and_then(|t| t.parse().ok()).unwrap_or(0.5);
    let measured: Vec<_> = (all.iter().filter(|c| name.is_empty() || c.name == name))
        .map(|c| {
            let rate = measure(c, min_time);
            format!(r#"  {{"name": "{}", "items_per_second": {rate:e}}}"#, c.name)
        })
        .collect();
    println!("{{\"benchmarks\": [\n{}\n]}}", measured.join(",\n"));
}
