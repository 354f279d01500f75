// Tokio: mpsc, oneshot, broadcast, spawn.  SPDX-License-Identifier: BSL-1.0
//
// An endpoint is a task that takes requests from a queue; the reply comes by a oneshot. There is no
// deadline, no cancellation, no account. A queue has no bound, where the workload is not about one:
// who sends stays within a window, as in window.hpp. Allocations are not counted.
mod measure;

use measure::{Contender, Turns};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc, oneshot, Notify};
use tokio::task::{yield_now, JoinHandle};
use tokio::time::timeout;

const BATCH: usize = 64; // messages that are taken at once, where that many can be there

#[repr(align(64))]
#[derive(Default)]
struct Counter(AtomicU64);

fn counters(n: usize) -> Arc<Vec<Counter>> {
    Arc::new((0..n).map(|_| Counter::default()).collect())
}
fn sum(of: &[Counter]) -> u64 {
    of.iter().map(|c| c.0.load(Acquire)).sum()
}
/// What becomes of a message: it is counted, and must be the next of its sender or subscriber.
fn handled(counter: &Counter, number: u64) {
    assert_eq!(counter.0.load(Relaxed), number, "out of order");
    counter.0.store(number + 1, Release);
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_time().build().unwrap()
}
/// On a worker: `block_on` alone would keep it on the calling thread.
fn run<T: Send + 'static>(on: &Runtime, f: impl Future<Output = T> + Send + 'static) -> T {
    on.block_on(async { tokio::spawn(f).await.unwrap() })
}

// --- call ----------------------------------------------------------------------------------------

struct Request {
    to: u64,
    reply: Option<oneshot::Sender<u64>>,
}
type Endpoint = mpsc::UnboundedSender<Request>;

#[derive(Clone, Copy, PartialEq)]
enum Handler {
    Plain,
    Yields,
}

fn endpoint(on: &Runtime, handler: Handler, next: Option<Endpoint>) -> Endpoint {
    let (sender, mut requests) = mpsc::unbounded_channel::<Request>();
    on.spawn(async move {
        let mut some = Vec::with_capacity(BATCH);
        while requests.recv_many(&mut some, BATCH).await != 0 {
            for r in some.drain(..) {
                if handler == Handler::Yields {
                    yield_now().await;
                }
                let answer = match &next {
                    Some(next) => call(next, r.to).await,
                    None => r.to + 1,
                };
                if let Some(reply) = r.reply {
                    reply.send(answer).unwrap();
                }
            }
        }
    });
    sender
}
fn ask(to: &Endpoint, value: u64) -> oneshot::Receiver<u64> {
    let (reply, answer) = oneshot::channel();
    to.send(Request { to: value, reply: Some(reply) }).ok().unwrap();
    answer
}
async fn call(to: &Endpoint, value: u64) -> u64 {
    ask(to, value).await.unwrap()
}
#[derive(Clone, Copy, PartialEq)]
enum Call {
    Simply,
    BehindAnother,
    WithDeadline,
}
async fn call_in_turn(to: Endpoint, n: u64, how: Call) -> u64 {
    let mut sum = 0;
    for _ in 0..n {
        if how == Call::BehindAnother {
            to.send(Request { to: sum, reply: None }).ok().unwrap();
        }
        sum = match how {
            Call::WithDeadline => {
                timeout(Duration::from_millis(300), call(&to, sum)).await.unwrap()
            }
            _ => call(&to, sum).await,
        };
    }
    sum
}
fn calls(threads: usize, handler: Handler, depth: usize, how: Call) -> Turns {
    let on = runtime(threads);
    let to = (0..depth).fold(None, |next, _| Some(endpoint(&on, handler, next))).unwrap();
    Box::new(move |n| run(&on, call_in_turn(to.clone(), n, how)))
}
/// 64 callers, or one for each thread.
fn callers(callers: u64, threads: usize) -> Turns {
    let on = runtime(threads);
    let to = endpoint(&on, Handler::Plain, None);
    let batch = if callers == threads as u64 { 1 } else { callers };
    Box::new(move |n| {
        let to = to.clone();
        let done = run(&on, async move {
            let all: Vec<_> = (0..callers)
                .map(|_| tokio::spawn(call_in_turn(to.clone(), n, Call::Simply)))
                .collect();
            let mut done = 0;
            for c in all {
                done += c.await.unwrap();
            }
            done
        });
        done / (callers / batch)
    })
}
/// The endpoint is on a thread of its own; both sleep when they have nothing to do.
fn calls_from_elsewhere(from_runtime: bool) -> Turns {
    let here = runtime(1);
    let there = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let to = endpoint(&there, Handler::Plain, None);
    Box::new(move |n| {
        let _alive = &there;
        if from_runtime {
            return run(&here, call_in_turn(to.clone(), n, Call::Simply));
        }
        (0..n).fold(0, |sum, _| ask(&to, sum).blocking_recv().unwrap())
    })
}
/// 8 requests to one endpoint, all under way at once.
fn gather_of_calls() -> Turns {
    let on = runtime(1);
    let to = endpoint(&on, Handler::Plain, None);
    Box::new(move |n| {
        let to = to.clone();
        run(&on, async move {
            let mut done = 0;
            for i in 0..n {
                let answers: [_; 8] = std::array::from_fn(|_| ask(&to, i));
                let mut right = 0;
                for a in answers {
                    right += (a.await.unwrap() == i + 1) as u64;
                }
                done += right / 8;
            }
            done
        })
    })
}

// --- send ----------------------------------------------------------------------------------------

const WINDOW: u64 = 4096;

/// The 64-byte and larger ones carry bytes nobody reads.
#[derive(Clone, Copy)]
struct Numbered<const LOAD: usize> {
    producer: u32,
    number: u32,
    _load: [u8; LOAD],
}
fn share_of(n: u64, producer: u64, producers: u64) -> u64 {
    n / producers + (producer < n % producers) as u64
}

/// The one consumer of a queue, of either kind.
macro_rules! consume {
    ($messages:expr, $counts:expr) => {{
        let mut some = Vec::with_capacity(BATCH);
        while $messages.recv_many(&mut some, BATCH).await != 0 {
            for m in some.drain(..) {
                handled(&$counts[m.producer as usize], m.number as u64);
            }
        }
    }};
}
fn sink<const LOAD: usize>(
    on: &Runtime,
    producers: usize,
) -> (mpsc::UnboundedSender<Numbered<LOAD>>, Arc<Vec<Counter>>) {
    let (sender, mut messages) = mpsc::unbounded_channel::<Numbered<LOAD>>();
    let counts = counters(producers);
    let count = counts.clone();
    on.spawn(async move { consume!(messages, count) });
    (sender, counts)
}

/// A producer of messages that are sent at once; it waits, by `$wait`, where it is a share of the
/// window ahead of the receiver, and at the end.
macro_rules! produce {
    ($sender:expr, $counts:expr, $self:expr, $producers:expr, $n:expr, $wait:expr) => {{
        let (share, count) = (WINDOW / $producers, &$counts[$self as usize].0);
        let first = count.load(Acquire);
        let last = first + share_of($n, $self, $producers);
        let mut allowed = first + share;
        for number in first..last {
            if number == allowed {
                while count.load(Acquire) < allowed - share / 2 {
                    $wait;
                }
                allowed += share / 2;
            }
            let m = Numbered { producer: $self as u32, number: number as u32, _load: [0; LOAD] };
            $sender.send(m).ok().unwrap();
        }
        while count.load(Acquire) < last {
            $wait;
        }
    }};
}
/// The producers are threads that are not Tokio's.
fn sends<const LOAD: usize>(producers: u64) -> Turns {
    let on = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (sender, counts) = sink::<LOAD>(&on, producers as usize);
    Box::new(move |n| {
        let (before, _alive) = (sum(&counts), &on);
        std::thread::scope(|threads| {
            for p in 0..producers {
                let (sender, counts) = (sender.clone(), &counts);
                threads.spawn(move || {
                    produce!(sender, counts, p, producers, n, std::thread::yield_now())
                });
            }
        });
        sum(&counts) - before
    })
}
/// They are tasks, on the two threads that the consumer is on, too.
fn sends_of_tasks<const LOAD: usize>(producers: u64) -> Turns {
    let on = runtime(2);
    let (sender, counts) = sink::<LOAD>(&on, producers as usize);
    Box::new(move |n| {
        let before = sum(&counts);
        let all: Vec<_> = (0..producers)
            .map(|p| {
                let (sender, counts) = (sender.clone(), counts.clone());
                on.spawn(
                    async move { produce!(sender, counts, p, producers, n, yield_now().await) },
                )
            })
            .collect();
        for p in all {
            on.block_on(p).unwrap();
        }
        sum(&counts) - before
    })
}
/// A queue of 1,024; who finds it full waits.
fn sends_that_wait(threads: usize) -> Turns {
    let on = runtime(threads);
    let (sender, mut messages) = mpsc::channel::<Numbered<0>>(1024);
    let counts = counters(4);
    let count = counts.clone();
    on.spawn(async move { consume!(messages, count) });
    Box::new(move |n| {
        let before = sum(&counts);
        for p in 0..4 {
            let sender = sender.clone();
            let first = counts[p as usize].0.load(Acquire);
            on.spawn(async move {
                for number in first..first + share_of(n, p, 4) {
                    let m = Numbered { producer: p as u32, number: number as u32, _load: [] };
                    sender.send(m).await.ok().unwrap();
                }
            });
        }
        let counts = counts.clone();
        run(&on, async move {
            while sum(&counts) != before + n {
                yield_now().await;
            }
            n
        })
    })
}

// --- publish -------------------------------------------------------------------------------------

const AHEAD: u64 = 512; // messages that the publisher may be ahead of the slowest subscriber

/// `send(number)` gives a message to all; the publisher is a task too.
fn publishes(
    on: Runtime,
    heard: Arc<Vec<Counter>>,
    send: impl Fn(u64) + Send + Sync + 'static,
) -> Turns {
    let (send, mut next) = (Arc::new(send), 0);
    Box::new(move |n| {
        let (first, last) = (next, next + n);
        next = last;
        let (to, heard) = (send.clone(), heard.clone());
        let subscribers = heard.len() as u64;
        run(&on, async move {
            let all_heard = || heard.iter().map(|c| c.0.load(Acquire)).min().unwrap();
            let mut allowed = first + AHEAD;
            for number in first..last {
                if number == allowed {
                    while all_heard() + AHEAD / 2 < allowed {
                        yield_now().await;
                    }
                    allowed += AHEAD / 2;
                }
                to(number);
            }
            while all_heard() != last {
                yield_now().await;
            }
        });
        n * subscribers
    })
}
fn broadcasts(threads: usize, subscribers: usize) -> Turns {
    let on = runtime(threads);
    let heard = counters(subscribers);
    let (sender, _) = broadcast::channel(2 * AHEAD as usize);
    for s in 0..subscribers {
        let (heard, mut messages) = (heard.clone(), sender.subscribe());
        on.spawn(async move {
            while let Ok(number) = messages.recv().await {
                handled(&heard[s], number);
            }
        });
    }
    publishes(on, heard, move |number| {
        sender.send(number).unwrap();
    })
}
fn queue_for_each(threads: usize, subscribers: usize) -> Turns {
    let on = runtime(threads);
    let heard = counters(subscribers);
    let queues: Vec<_> = (0..subscribers)
        .map(|s| {
            let (sender, mut messages) = mpsc::unbounded_channel();
            let heard = heard.clone();
            on.spawn(async move {
                let mut some = Vec::with_capacity(BATCH);
                while messages.recv_many(&mut some, BATCH).await != 0 {
                    for number in some.drain(..) {
                        handled(&heard[s], number);
                    }
                }
            });
            sender
        })
        .collect();
    publishes(on, heard, move |number| {
        for q in &queues {
            q.send(number).unwrap();
        }
    })
}

// --- spawn, scale --------------------------------------------------------------------------------

const SPAWNED: u64 = 1_000_000;

/// Nobody keeps the handles: the last task tells that all have ended.
fn spawns(threads: usize) -> Turns {
    static ENDED: AtomicU64 = AtomicU64::new(0);
    static LAST: Notify = Notify::const_new();
    let on = runtime(threads);
    Box::new(move |turns| {
        let mut ended = 0;
        for _ in 0..turns {
            ended += run(&on, async {
                ENDED.store(0, Relaxed);
                for _ in 0..SPAWNED {
                    tokio::spawn(async {
                        if ENDED.fetch_add(1, AcqRel) + 1 == SPAWNED {
                            LAST.notify_one();
                        }
                    });
                }
                LAST.notified().await;
                ENDED.load(Acquire)
            });
        }
        ended
    })
}
fn tree(first: u64, leaves: u64) -> JoinHandle<u64> {
    tokio::spawn(async move {
        if leaves == 1 {
            return first;
        }
        let part = leaves / 10;
        let parts: [_; 10] = std::array::from_fn(|i| tree(first + i as u64 * part, part));
        let mut sum = 0;
        for p in parts {
            sum += p.await.unwrap();
        }
        sum
    })
}
fn skynet() -> Turns {
    let on = runtime(2);
    Box::new(move |turns| {
        let right = |_: &u64| {
            on.block_on(async { tree(0, SPAWNED).await.unwrap() }) == SPAWNED * (SPAWNED - 1) / 2
        };
        (0..turns).filter(right).count() as u64 * SPAWNED
    })
}
fn ring() -> Turns {
    let on = runtime(1);
    let (hops, end) = (counters(1), Arc::new(Notify::new()));
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..10_000).map(|_| mpsc::unbounded_channel::<u64>()).unzip();
    let first = senders[0].clone();
    let nexts = senders.into_iter().cycle().skip(1);
    for (mut own, next) in receivers.into_iter().zip(nexts) {
        let (hops, end) = (hops.clone(), end.clone());
        on.spawn(async move {
            while let Some(left) = own.recv().await {
                hops[0].0.store(hops[0].0.load(Relaxed) + 1, Relaxed);
                match left {
                    1 => end.notify_one(),
                    _ => next.send(left - 1).unwrap(),
                }
            }
        });
    }
    Box::new(move |n| {
        hops[0].0.store(0, Relaxed);
        first.send(n).unwrap();
        on.block_on(end.notified());
        sum(&hops)
    })
}

// --- the suite -----------------------------------------------------------------------------------

fn contenders() -> Vec<Contender> {
    use {Call::*, Handler::*};
    let mut all = Vec::new();
    macro_rules! add {
        ($workload:expr, $name:expr, $batch:expr, $make:expr) => {
            all.push(Contender {
                name: format!("{}/{}/real_time", $workload, $name),
                batch: $batch,
                make: Box::new(move || $make),
            })
        };
    }
    add!("call an idle endpoint", "Tokio", 1, calls(1, Plain, 1, Simply));
    add!("call an idle endpoint", "Tokio, 2 threads", 1, calls(2, Plain, 1, Simply));
    add!("call an endpoint that is busy", "Tokio", 1, calls(1, Plain, 1, BehindAnother));
    add!("5 nested calls", "Tokio", 1, calls(1, Plain, 5, Simply));
    add!("call a handler that suspends", "Tokio", 1, calls(1, Yields, 1, Simply));
    add!("call with a deadline that does not fire", "Tokio", 1, calls(1, Yields, 1, WithDeadline));
    add!("call across two threads", "Tokio", 1, calls_from_elsewhere(true));
    add!("call from a sleeping thread", "Tokio", 1, calls_from_elsewhere(false));
    add!("call an idle endpoint, two threads at once", "Tokio", 1, callers(2, 2));
    add!("64 callers, one endpoint, one thread", "Tokio", 64, callers(64, 1));
    add!("64 callers, one endpoint, two threads", "Tokio", 64, callers(64, 2));
    add!("await 8 tasks at once", "Tokio, gather of calls", 1, gather_of_calls());

    macro_rules! sends {
        ($bytes:expr, $($producers:expr),+) => {$(
            let s = if $producers == 1 { "" } else { "s" };
            let name = format!("send {} bytes in order, {} producer{s}", $bytes, $producers);
            add!(name, "Tokio", 1, sends::<{ $bytes - 8 }>($producers));
            add!(name, "Tokio, tasks", 1, sends_of_tasks::<{ $bytes - 8 }>($producers));
        )+};
    }
    sends!(8, 1, 2, 4);
    sends!(64, 1, 4);
    sends!(1024, 1, 4);
    add!("send to a full queue, 4 producers", "Tokio, one thread", 1, sends_that_wait(1));
    add!("send to a full queue, 4 producers", "Tokio", 1, sends_that_wait(2));
    for to in [8, 64] {
        let name = format!("publish to {to}");
        for (threads, s) in [(1, ""), (2, ", 2 threads")] {
            add!(name, format!("Tokio broadcast{s}"), to as u64, broadcasts(threads, to));
            add!(name, format!("Tokio, a queue each{s}"), to as u64, queue_for_each(threads, to));
        }
    }
    add!("spawn tasks, one thread", "Tokio", SPAWNED, spawns(1));
    add!("spawn tasks, two threads", "Tokio", SPAWNED, spawns(2));
    add!("skynet, two threads", "Tokio", SPAWNED, skynet());
    add!("ring of 10,000 endpoints", "Tokio", 1, ring());
    all
}

fn main() {
    measure::main(contenders());
}
