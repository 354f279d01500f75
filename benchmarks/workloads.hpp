// The workloads by name, and what each one counts.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

/// A time is for one operation, by the wall clock. What the comment says holds for every contender;
/// where one does less, or more, it says so.
namespace workload {

// --- await ---------------------------------------------------------------------------------------

/// A coroutine awaits another one, which gives it a number. Nothing stands still.
inline constexpr auto await_task = "await a task";
/// A coroutine awaits 8 others together, on one thread. Counted: all 8.
inline constexpr auto await_8 = "await 8 tasks at once";

// --- call: a request and its reply. The handler adds one to a number. ----------------------------

/// One caller; whoever answers has nothing else to do, and may do it on the caller's thread.
inline constexpr auto call_idle = "call an idle endpoint";
/// The same; the one who answers has a message before it that needs no reply, so the call must
/// queue. Counted: both together. One thread.
inline constexpr auto call_busy = "call an endpoint that is busy";
/// Two threads call the same one. Counted: a call of each.
inline constexpr auto call_contended = "call an idle endpoint, two threads at once";
/// The handler calls another one, which calls another one ... five in a row.
inline constexpr auto call_nested = "5 nested calls";
/// The handler lets others go first once, before it answers. One thread.
inline constexpr auto call_suspending = "call a handler that suspends";
/// The same, and the caller would give up after 300 ms. One thread.
inline constexpr auto call_deadline = "call with a deadline that does not fire";
/// Caller and handler live on different threads, which spin a while before they sleep.
inline constexpr auto call_awake = "call across two threads";
/// The same, but the caller sleeps meanwhile, as any thread that is not of a pool.
inline constexpr auto call_parked = "call from a sleeping thread";
/// 64 callers at a time call the same one, on one thread, or on two.
inline constexpr auto callers_1 = "64 callers, one endpoint, one thread";
inline constexpr auto callers_2 = "64 callers, one endpoint, two threads";

// --- send: messages from other threads, until the last one is handled ----------------------------

inline std::string send(std::size_t bytes, std::size_t producers, bool ordered) {
    return "send " + std::to_string(bytes) + " bytes in " + (ordered ? "order, " : "any order, ") +
           std::to_string(producers) + (producers == 1 ? " producer" : " producers");
}

/// 8 bytes from 4 producers to 4 threads that take them from one queue, in any order.
inline constexpr auto send_shared = "send to 4 consumers, 4 producers";

/// The same from 2 producers to 2 threads, in order within each of so many keys, which take turns.
inline std::string send_keyed(std::uint32_t keys) {
    return "send by key, " + std::to_string(keys) + (keys == 1 ? " key" : " keys");
}

/// 8 bytes, in order, from 4 producers, to a queue of 1,024; who finds it full waits for room.
inline constexpr auto send_waiting = "send to a full queue, 4 producers";
/// The same in any order, to 4 consumers. Those that are coroutines have two threads for all.
inline constexpr auto send_shared_waiting = "send to a full queue, 4 producers, 4 consumers";
inline constexpr std::size_t room = 1024;

// --- publish: one message to all who listen, until the last of them has handled it ---------------

/// Each has a queue of its own, and gets the messages in order. Counted: a delivery.
inline std::string publish(std::size_t subscribers) {
    return "publish to " + std::to_string(subscribers);
}

// --- spawn: work for an executor -----------------------------------------------------------------

/// A million tasks that do nothing, started from a coroutine and waited for.
inline constexpr auto spawn_1 = "spawn tasks, one thread";
inline constexpr auto spawn_2 = "spawn tasks, two threads";
inline constexpr std::uint64_t spawned = 1'000'000;
/// A tree of tasks, each of which starts 10 and adds up what they give, with a million leaves. Two
/// threads. Counted: leaves.
inline constexpr auto skynet = "skynet, two threads";
inline constexpr std::uint64_t skynet_leaves = 1'000'000;
/// Fibonacci's 25th, a task for each term. Two threads. Counted: tasks.
inline constexpr auto fib = "fib, two threads";
inline constexpr unsigned fib_of = 25;
inline constexpr std::uint64_t fib_value = 75'025, fib_tasks = 242'785;
/// One thread starts tasks on another one's executor, where they end: so their memory goes back to
/// the first. At most 1,024 at a time.
inline constexpr auto end_elsewhere = "end tasks on another thread";
/// The same with nothing but the memory, 192 bytes each.
inline constexpr auto free_elsewhere = "free memory on another thread";
/// From the posting of work to an idle executor of one thread, until it runs.
inline constexpr auto wake = "wake a sleeping thread";

// --- scale ---------------------------------------------------------------------------------------

/// A message goes round a ring of 10,000, on one thread. Counted: hops.
inline constexpr auto ring = "ring of 10,000 endpoints";
inline constexpr std::uint64_t ring_members = 10'000;
/// An idle one of many, another one each time.
inline constexpr auto among_endpoints = "call one of many endpoints";
inline constexpr auto make_endpoint = "make an endpoint";
/// 100,000 of them are made and destroyed, with all that the bus keeps for them. In bytes: what
/// malloc() has given for each, with what it keeps for itself, less the object that holds its
/// handler and one std::string, its name, for a subscriber its pattern; and in ns.
inline std::string idle(const std::string& what) { return "idle " + what; }
inline constexpr std::size_t idle_members = 100'000;
/// A call that arms a timer for its deadline, while many others are armed.
inline constexpr auto among_timers = "call with a deadline among many timers";

// --- guard: what becomes of callers; in units of its own -----------------------------------------

/// 900 requests a second that wait 10 ms for another system, and 100 that do not, for 4 s, to a
/// server with two threads. Times are from when a request was due to arrive.
inline constexpr auto slow_callee = "900 slow and 100 fast requests a second";
/// A callee serves 8 calls at once, each in 10 ms, and goes on with those that were given up. Its
/// callers give up after 100 ms, and there are 4,000 a second of them, for 3 s. What it can answer
/// is measured before, with 8 callers.
inline constexpr auto overload = "5 times the calls that can be answered";

}  // namespace workload
