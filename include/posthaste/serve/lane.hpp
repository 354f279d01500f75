// The place where one handler runs at a time.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/bus_keeper.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/outbox.hpp>
#include <posthaste/serve/whereabouts.hpp>
#include <posthaste/wait/context.hpp>
#include <posthaste/wait/stop.hpp>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <thread>

namespace posthaste {

class endpoint_core;

/// A caller on this very thread, below the handler that runs for it, unless it is taken elsewhere
/// meanwhile. It keeps the bus once the handler stands still.
struct caller_below : inline_call, bus_keeper {
    using bus_keeper::bus_keeper;
    bool to_be_kept = true;  ///< else it is there all the same
};

/// A serial endpoint has one, a parallel(n) one n, a keyed one as many as there are keys at work.
/// It takes messages from its endpoint and runs the handler on each, to its end; it holds what a
/// handler needs while it runs: the context, the stop source, the coroutine.
class lane : public work {
public:
    /// `slot`: another one for each lane of an endpoint.
    explicit lane(endpoint_core& of, std::uint32_t slot = 0) noexcept;
    lane(const lane&) = delete;

    /// Takes `e`, which has begun, up for a caller that has claimed this lane: from now on it can
    /// be cancelled.
    void prepare(envelope& e, request& r, time_point bound, duration allowance) noexcept;
    /// Then runs the handler on it, here and now. True: it has ended, the answer is in the
    /// envelope, `why` says why it has failed, and what is left is end_inline().
    bool run_inline(envelope& e, caller_below& caller, failure*& why) noexcept;
    /// Gives the lane back, or sends it to read on. `gone`: the caller went elsewhere meanwhile.
    void end_inline(envelope& e, failure* why, bool gone) noexcept;

    /// Reads on at home, beginning with a call for which it was claimed. What is posted is the call
    /// itself, `at` home: so neither the queue nor the lane has to come over before it.
    void go_with(request& first, executor& at) noexcept;

    /// For a message that is in no envelope, by how.at_once; if the lane was claimed, it still is.
    /// `failed` keeps the bus if it has; nullptr: nobody needs it then.
    void answer(const handler_entry& how, void* message, void* answer, bus_keeper* failed) noexcept;

    /// Before answer(), for a lane that is not claimed; and its end, which answer() is, too.
    void be_busy() noexcept { current_.store(deaf, std::memory_order_relaxed); }
    void be_done() noexcept;

    /// Asks the handler to stop, if it still is the one that handles `e`; nullptr: whichever.
    void cancel(const envelope* e) noexcept;

    /// Destroys a handler that stands still; its caller hears `no_reply`. Only where no thread can
    /// run it. False: there is none.
    bool abandon() noexcept;

    /// Of a call that its handler makes: whose handlers will wait for it.
    void lead(call_chain& chain) noexcept;

    /// That endpoint does not go while its handler runs: they are of one bus.
    bool ends_before(const endpoint_core& e) const noexcept;
    /// Its handler stands still until `whom` replies, since then (`never`: nobody read the clock).
    /// Requires   ends_before(whom); another one may go while somebody looks at it.
    void await(const endpoint_core& whom, time_point since) noexcept;
    /// It has replied. Of who waited in vain it is remembered: its own caller may give up just now.
    void await_no_more(const endpoint_core& whom) noexcept;
    /// What its handler does, for a caller whose call has failed.
    bool awaits() const noexcept { return awaited_.load(std::memory_order_relaxed); }
    void tell(whereabouts& w, time_point now) const noexcept;
    bool handles(const envelope& e) const noexcept {
        return (current_.load(std::memory_order_relaxed) & ~(cancelling | deaf)) ==
               reinterpret_cast<std::uintptr_t>(&e);
    }

    bool busy() const noexcept { return current_.load(std::memory_order_relaxed) != 0; }
    /// It is not, and what it did happened before.
    bool rests() const noexcept;

    // --- for handler.hpp, which knows the types ---

    /// Starts a handler's coroutine; true if it has ended.
    bool start(detail::promise_base& p, void (*finish)(lane&, bool ended) noexcept) noexcept;
    /// The same for a caller who is here; but if it has ended, it is not finished.
    bool start_below(std::coroutine_handle<> h, detail::promise_base& p,
                     void (*finish)(lane&, bool ended) noexcept, caller_below& caller) noexcept;
    detail::promise_base& running() noexcept { return *running_; }
    envelope& handled() noexcept { return *envelope_; }
    const context& ctx() const noexcept { return context_; }
    outbox& out() noexcept { return outbox_; }
    /// The caller goes on with the answer in the envelope before the handler's end, which then has
    /// none. One who has gone asks, or has asked, the handler to stop.
    void answer_early() noexcept;
    /// The handler has ended, its frame is gone, and the answer is in the envelope.
    /// `failed`: why it failed; nullptr if it did not. `intact`: the message is as it was.
    void close_case(failure* failed, bool intact) noexcept;
    /// Hands this message, and those behind it, to `f(M&)`, as many as `budget` allows. `f` gives
    /// false for one that failed, whose case it has closed. A const M is a message that is shared.
    /// `answer(called<M>&)`: one that somebody waits for; the answer is in there then, and it gives
    /// why that failed, or nullptr. False: as of a handler's start().
    template <typename M, typename F, typename Answer>
    bool hand_each(envelope& first, int& budget, F f, Answer answer) noexcept;

    endpoint_core& of;

protected:
    /// From the next message on; its own number tells its ids from those of other lanes all the
    /// same.
    void sit_in(std::uint32_t slot) noexcept { context_.slot_ = slot; }

private:
    friend endpoint_core;
    static constexpr std::uintptr_t cancelling = 1, deaf = 2, called = 4;
    static constexpr auto unknown = never.time_since_epoch().count();
    // At the end of a turn all who wait for room have been let in: they run, find as much room as
    // that turn has made, and soon stand again. So there a lane has up to 16 turns at a time, as
    // long as each is over in 2 us.
    static constexpr int most_turns = 16;
    static constexpr duration quick_turn = std::chrono::microseconds(2);

    static void begin_to_read(work& w) noexcept;
    bool is_taken_below(work& w) noexcept;
    void read_on(envelope* first = nullptr) noexcept;
    bool has_been_quick(time_point& since) const noexcept;
    void resume_after_end() noexcept;
    bool handle(envelope& e) noexcept;
    bool goes_on() noexcept;
    void deliver_again() noexcept;
    time_point now_or_before(time_point end) const noexcept;
    bool begin(envelope& e, request& r) noexcept;
    template <typename Called, typename Answer>
    void hand_over(Called& e, Answer& answer) noexcept;
    void come_late(request& r) noexcept;
    void not_begun(envelope& e, request& r) noexcept;
    bool turned_down(envelope& e, request& r, time_point now) noexcept;
    message_id identify(message_id* kept) noexcept;
    void take_up(envelope& e, time_point bound) noexcept;
    void put_down(const envelope& e) noexcept;
    void close_failed(envelope& e, failure& why, bool intact) noexcept;
    void name(failure& why) const noexcept;
    void run_on(detail::promise_base& p, void (*finish)(lane&, bool) noexcept) noexcept;
    static void ended_later(detail::promise_base& p) noexcept;
    // Only whoever holds the lane counts here, so it takes no read-modify-write.
    struct tally {
        using number = std::atomic<std::uint64_t>;
        number ran_inline = 0, handled = 0, failed = 0, expired = 0, dropped = 0, discarded = 0;
    };
    POSTHASTE_ALWAYS_INLINE static void count(tally::number& n) noexcept {
        n.store(n.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    // current_: the envelope whose handler runs, or is about to: it is set before the request is
    // begun, so that nobody who finds it begun asks in vain. With `cancelling` set while somebody
    // asks it to stop, for so long the lane does not go on; with `deaf` nobody does; `deaf` alone:
    // its message is in no envelope; with `called` as well, called_by_ has come for it meanwhile.
    // (1) releases what the canceller did to stop_ to the lane: (2), which acquires it, so that the
    //     next handler is not asked to stop in place of this one. A handler that ends on top of its
    //     caller does not wait for that: only who asks all of a bus, at its end, again and again,
    //     may be asking, and then the next one is to stop as well.
    // relaxed: the word says who may be asked. Whoever asks touches nothing but stop_, which has a
    // lock: if it finds this envelope, it comes after the lane's reset of stop_ for it.
    //
    // What its handler does, for those who want to know why they wait. Each may be a moment old.
    // (3) releases the endpoint, which may be younger than who asks, to (4).
    // relaxed: the times; a number is all there is.
    std::atomic<std::uintptr_t> current_ = 0;
    std::atomic<const endpoint_core*> awaited_ = nullptr;  // the last it began to wait for
    std::atomic<duration::rep> began_ = unknown;
    tally tally_;  // to here, all that a call needs which is answered at once
    envelope* envelope_ = nullptr;
    std::atomic<duration::rep> awaited_since_ = unknown;
    outbox outbox_{context_};
    work* called_by_ = nullptr;  // is posted again once it is done
    bool goes_on_later_ = false;  // its turn was over before the messages; room is waited for
    envelope* to_repeat_ = nullptr;  // its handler has failed; it waits for the next attempt
    stop_source stop_;
    context context_;
    detail::promise_base* running_ = nullptr;
    void (*finish_)(lane&, bool) noexcept = nullptr;
    const std::uint32_t number_;
    std::uint64_t identified_ = 0;  // messages that got their id here
};

}  // namespace posthaste
