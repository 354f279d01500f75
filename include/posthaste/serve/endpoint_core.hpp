// A named handler with its queue, whatever its mode.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: endpoint and lane work hand in hand; the steps of a lane stand at the end.

#include <posthaste/base/result.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/dead_letters.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/handler.hpp>
#include <posthaste/serve/lane.hpp>
#include <posthaste/serve/mode.hpp>
#include <posthaste/serve/waiting_room.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace posthaste {

/// What serial, parallel and keyed endpoints have in common: admission, accounting, giving up. The
/// modes add where a message waits and which lane takes it.
///
/// Threads    any.
class endpoint_core {
public:
    /// What became of a message that was put.
    enum class admission : unsigned char {
        accepted,
        waiting,     ///< for room; it is accepted or refused later
        overloaded,
        closed,
    };

    endpoint_core(std::string name, executor& at, dead_letters& dead, std::unique_ptr<handler> h,
                  std::size_t capacity, when_full full) noexcept
        : name_(std::move(name)),
          home_(at),
          dead_(dead),
          handler_(std::move(h)),
          capacity_(capacity),
          full_(full) {}
    endpoint_core(const endpoint_core&) = delete;
    virtual ~endpoint_core() = default;

    const std::string& name() const noexcept { return name_; }
    executor& home() const noexcept { return home_; }
    const handler& who() const noexcept { return *handler_; }

    /// Takes the envelope over if it is accepted. `may_wait`: it is one of a caller, who can wait.
    admission put(envelope& e, bool may_wait) noexcept {
        if (!reserve()) {
            switch (full_) {
                case when_full::reject: return refuse(admission::overloaded);
                case when_full::drop_newest:
                    if (e.call) return refuse(admission::overloaded);
                    accepted_.fetch_add(1, std::memory_order_relaxed);
                    taken_.fetch_add(1, std::memory_order_relaxed);
                    count(dropped_);
                    give_up(e, failure(code::overloaded, effect::none, "the queue is full"), true);
                    return admission::accepted;
                case when_full::drop_oldest:
                    accepted_.fetch_add(1, std::memory_order_seq_cst);  // (1)
                    if (envelope* oldest = take_oldest())
                        drop(*oldest, "it gave way to a newer one");
                    break;
                case when_full::wait:
                    if (!may_wait) return refuse(admission::overloaded);
                    if (room_.stand(e, [this] { return reserve(); })) return admission::waiting;
                    if (closed()) return refuse(admission::closed);
                    break;
            }
        }
        if (enqueue(e)) return admission::accepted;
        accepted_.fetch_sub(1, std::memory_order_relaxed);
        return refuse(admission::closed);
    }

    /// A lane for a call that may run at once on its caller's thread; nullptr: queue it.
    virtual lane* claim(envelope& e) noexcept = 0;

    /// A caller takes back its envelope from the waiting room; false: it is on its way.
    bool take_back(envelope& e) noexcept { return room_.leave(e); }

    /// Accepts no more; what is there is handled.
    void close() noexcept {
        closed_.store(true, std::memory_order_release);  // (2)
        shut();
        room_.shut([this](envelope& e) {
            count(refused_);
            settle(e, failure(code::closed));
        });
    }
    bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }  // (2)

    /// From now on what is taken from the queue is not handled, but given up.
    void discard() noexcept { discarding_.store(true, std::memory_order_relaxed); }
    bool discarding() const noexcept { return discarding_.load(std::memory_order_relaxed); }

    /// Calls `f(lane&)` for each lane that may be at work.
    virtual void for_each_lane(void* with, void (*f)(void*, lane&)) = 0;
    virtual bool idle() const noexcept = 0;

    account counts() {
        account a;
        a.handled = handled_.load(std::memory_order_relaxed);
        a.failed = failed_.load(std::memory_order_relaxed);
        a.expired = expired_.load(std::memory_order_relaxed);
        a.dropped = dropped_.load(std::memory_order_relaxed);
        a.refused = refused_.load(std::memory_order_relaxed);
        a.late = late_.load(std::memory_order_relaxed);
        const std::uint64_t taken = taken_.load(std::memory_order_relaxed);
        const std::uint64_t here = inline_.load(std::memory_order_relaxed);
        const std::uint64_t queued = accepted_.load(std::memory_order_relaxed);
        std::uint64_t running = 0;
        for_each_lane(&running,
                      [](void* n, lane& l) { *static_cast<std::uint64_t*>(n) += l.busy(); });
        a.accepted = queued + here;
        a.left = discarded_.load(std::memory_order_relaxed) + (queued - taken) + running;
        return a;
    }

protected:
    friend lane;

    /// Puts it where its lane will find it; false: shut.
    virtual bool enqueue(envelope& e) noexcept = 0;
    /// The next message for this lane; nullptr: none now.
    virtual envelope* take(lane& l) noexcept = 0;
    /// The lane has nothing to do; false: there is something, after all.
    virtual bool release(lane& l) noexcept = 0;
    /// The message that has waited longest, for when_full::drop_oldest.
    virtual envelope* take_oldest() noexcept = 0;
    virtual void shut() noexcept = 0;

    static void count(std::atomic<std::uint64_t>& n) noexcept {
        n.fetch_add(1, std::memory_order_relaxed);
    }

    /// A message has left the queue.
    void taken() noexcept {
        taken_.fetch_add(1, std::memory_order_seq_cst);  // (1)
        if (full_ == when_full::wait) {
            room_.call_in([this] { return reserve(); }, [this](envelope& e) { admit(e); });
        }
    }
    void drop(envelope& e, const char* why) noexcept {
        taken();
        count(dropped_);
        give_up(e, failure(code::overloaded, effect::none, why), true);
    }
    /// Ends a message that will not be handled (any more): its caller is told, or it is a dead
    /// letter.
    void give_up(envelope& e, failure why, bool intact) noexcept {
        why.through(name_);
        if (e.call && !e.call->only_room) return settle(e, std::move(why));
        const bool ours =
            !e.call || e.call->cell.handler_leaves();  // else its sender still looks at it
        dead_.put(e, ours, name_, why, home_.now(), intact);
    }
    /// Hands the caller its answer, or the failure, and leaves the envelope.
    void settle(envelope& e, failure why) noexcept {
        e.call->fail(std::move(why));
        answer(e);
    }
    void answer(envelope& e) noexcept {
        bool last = false;
        frame* const caller = e.call->caller;
        const auto verdict = e.call->cell.settle_and_leave(ending::replied, last);
        if (!verdict.won) count(late_);
        if (verdict.won && verdict.waiting) {
            if (caller->at == static_cast<posthaste::home*>(&home_) && home_.here())
                home_.transfer(*caller);
            else caller->wake();
        }
        if (last) e.destroy(e);
    }

private:
    admission refuse(admission a) noexcept { return count(refused_), a; }

    /// Counts one more as accepted, if there is room.
    bool reserve() noexcept {
        const std::uint64_t before = accepted_.fetch_add(1, std::memory_order_seq_cst);  // (1)
        if (static_cast<std::int64_t>(before - taken_.load(std::memory_order_seq_cst)) <  // (1)
            static_cast<std::int64_t>(capacity_))
            return true;
        accepted_.fetch_sub(1, std::memory_order_relaxed);
        return false;
    }
    // From the waiting room into the queue. A caller that has gone meanwhile is left out.
    void admit(envelope& e) noexcept {
        request& r = *e.call;
        if (r.only_room) {
            frame* const sender = r.caller;
            r.succeed();
            const auto verdict = r.cell.settle(ending::replied);
            if (!verdict.won) return leave_out(e);
            if (!enqueue(e)) {  // it was shut just now; the sender has its word: a dead letter
                taken_.fetch_add(1, std::memory_order_relaxed);
                count(dropped_);
                give_up(e, failure(code::closed), true);
            }
            if (verdict.waiting) sender->wake();
            return;
        }
        if (r.cell.how() != ending::open) return leave_out(e);
        if (enqueue(e)) return;
        accepted_.fetch_sub(1, std::memory_order_relaxed);
        count(refused_);
        settle(e, failure(code::closed));
    }
    void leave_out(envelope& e) noexcept {
        accepted_.fetch_sub(1, std::memory_order_relaxed);
        if (e.call->cell.handler_leaves()) e.destroy(e);
    }

    const std::string name_;
    executor& home_;
    dead_letters& dead_;
    const std::unique_ptr<handler> handler_;
    const std::size_t capacity_;
    const when_full full_;
    waiting_room room_;

    // (1), seq_cst: see waiting_room (1).
    // (2) releases that intake was closed to who finds it so.
    // relaxed: the counters; each is exact, their sum at rest.
    std::atomic<bool> closed_ = false;
    std::atomic<bool> discarding_ = false;
    alignas(detail::cache_line) std::atomic<std::uint64_t> accepted_ = 0;  // through the queue
    std::atomic<std::uint64_t> refused_ = 0;
    alignas(detail::cache_line) std::atomic<std::uint64_t> taken_ = 0;  // out of the queue
    std::atomic<std::uint64_t> inline_ = 0;  // accepted without the queue
    std::atomic<std::uint64_t> handled_ = 0, failed_ = 0, expired_ = 0, dropped_ = 0,
                               discarded_ = 0, late_ = 0;
};

inline lane::lane(endpoint_core& endpoint) noexcept
    : of(endpoint), context_(endpoint.home(), never, stop_.token()) {
    run = [](work& w) noexcept { static_cast<lane&>(w).read_on(); };
}

inline void lane::read_on() noexcept {
    for (int budget = 64;;) {  // then others of the executor have their turn
        envelope* const e = of.take(*this);
        if (!e) {
            if (of.release(*this)) return;  // *this may be gone
            continue;
        }
        if (!handle(*e)) return;  // its end will go on from here
        if (--budget == 0) return of.home().post(*this);
    }
}

inline bool lane::handle(envelope& e) noexcept {
    const bool asked = e.call && !e.call->only_room;
    if (of.discarding()) {
        count(of.discarded_);
        of.give_up(e, failure(code::closed), true);
        return true;
    }
    if (asked) {
        request& r = *e.call;
        r.where = this;
        if (r.deadline != never && r.deadline <= of.home().now()) {
            frame& caller = *r.caller;
            const auto verdict = r.cell.settle(ending::expired);
            if (verdict.won && verdict.waiting) caller.wake();
        }
        if (!r.cell.begin()) {
            count(r.cell.how() == ending::expired ? of.expired_ : of.dropped_);
            if (r.cell.handler_leaves()) e.destroy(e);
            return true;
        }
    }
    take_up(e, asked ? e.call->deadline : never, forever);
    return e.start(*of.handler_, *this);
}

inline bool lane::run_inline(envelope& e, time_point bound, duration allowance) noexcept {
    count(of.inline_);
    e.call->where = this;
    e.call->cell.begin_alone();
    take_up(e, bound, allowance);
    if (!e.start(*of.handler_, *this)) return false;
    if (!of.release(*this)) of.home().post(*this);
    return true;
}

inline void lane::take_up(envelope& e, time_point bound, duration allowance) noexcept {
    stop_.reset();
    context_.deadline_ = bound;
    context_.allowance_ = allowance;
    context_.attempt_ = e.attempt;
    envelope_ = &e;
    current_.store(reinterpret_cast<std::uintptr_t>(&e), std::memory_order_release);  // (1)
}

inline bool lane::start(detail::promise_base& p, void (*finish)(lane&, bool) noexcept) noexcept {
    running_ = &p;
    finish_ = finish;
    p.place(
        of.home(), &context_,
        [](detail::promise_base& ended) noexcept {
            lane& self = *static_cast<lane*>(ended.owner());
            if (ended.starter_is_here()) return;
            self.run = [](work& w) noexcept { static_cast<lane&>(w).resume_after_end(); };
            ended.at->transfer(self);  // the frame is not destroyed within its own last step
        },
        this);
    if (!p.start_here()) return false;
    finish_(*this, true);
    return true;
}

inline void lane::resume_after_end() noexcept {
    run = [](work& w) noexcept { static_cast<lane&>(w).read_on(); };
    finish_(*this, true);
    read_on();
}

inline bool lane::abandon() noexcept {
    if (!busy()) return false;
    finish_(*this, false);
    of.home().post(*this);  // it reads on, to give up what is queued
    return true;
}

inline void lane::close_case(const failure* failed, bool intact) noexcept {
    envelope& e = *envelope_;
    const auto mine = reinterpret_cast<std::uintptr_t>(&e);
    auto seen = mine;
    while (!current_.compare_exchange_weak(seen, 0, std::memory_order_acq_rel,  // (2)
                                           std::memory_order_relaxed)) {
        if (seen != mine) std::this_thread::yield();  // somebody is asking it to stop just now
        seen = mine;
    }
    running_ = nullptr;
    count(failed ? of.failed_ : of.handled_);
    if (e.call && !e.call->only_room) {
        if (!failed) return of.answer(e);
        failure why = *failed;
        of.settle(e, std::move(why.through(of.name())));
    } else if (failed) {
        of.give_up(e, *failed, intact);
    } else if (!e.call || e.call->cell.handler_leaves()) {
        e.destroy(e);
    }
}

inline void lane::cancel(const envelope* e) noexcept {
    std::uintptr_t seen = current_.load(std::memory_order_relaxed);
    do {
        if (seen == 0 || (seen & cancelling)) return;
        if (e && seen != reinterpret_cast<std::uintptr_t>(e)) return;
    } while (!current_.compare_exchange_weak(seen, seen | cancelling,
                                             std::memory_order_acq_rel,  // (1)
                                             std::memory_order_relaxed));
    stop_.request_stop();
    current_.store(seen, std::memory_order_release);  // (2)
}

}  // namespace posthaste
