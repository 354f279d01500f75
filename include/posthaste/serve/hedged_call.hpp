// One request, and others beside it if it takes long.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: how several requests begin and end is told in one piece.

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/maybe.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/policy.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/inner_stop.hpp>
#include <posthaste/wait/sleep.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace posthaste {

/// Who decides when a call has taken so long that another request may help; see guard/hedge.hpp.
///
/// Threads    any, several at once.
class hedger {
public:
    static constexpr unsigned most_attempts = 5;  ///< at a call

    virtual ~hedger() = default;
    /// A call begins. So long it waits before each further request; forever: there is none.
    virtual duration begin(passage& p, time_point now) noexcept = 0;
    /// In all, for one call.
    virtual unsigned attempts() const noexcept = 0;
    /// True: one more, now, which is counted.
    virtual bool take(passage& p) noexcept = 0;
    /// The first request of a call took so long, or longer: it was given up then.
    virtual void took(time_point now, duration d) noexcept = 0;
    /// The callee wants to be left alone until then.
    virtual void leave_alone(time_point until) noexcept = 0;
    virtual time_point alone_until() const noexcept = 0;
    /// A request that was not the first was the first to be answered.
    virtual void helped() noexcept = 0;
};

/// Makes one request, and from time to time another one, until one has a value, or all that were
/// made have failed: then those that are left are cancelled, and awaited. They are not told apart
/// by the callee: all have the same id.
///
/// It goes on   at the home of who awaits it.
/// Threads      each request goes on by itself, maybe at the same time as others.
class hedged_call {
public:
    hedged_call(hedger& by, passage& p) noexcept : by_(by), passage_(p) {}
    hedged_call(const hedged_call&) = delete;

    /// True: it stands still, and `parent` will go on when it is over; *this may be gone already.
    /// `allowance`: it ends in so long at the latest.
    bool begin(frame& parent, duration allowance) noexcept {
        parent_ = &parent;
        began_ = passage_.now();
        inner_.open(*parent.under, saturating_add(began_, allowance));
        alarm_.at = parent.at;
        alarm_.under = &inner_.under();
        wait_ = by_.begin(passage_, began_);
        if (send(join_next()) && wait_ != forever) rest_until(saturating_add(began_, wait_));
        return left_.fetch_sub(1, std::memory_order_acq_rel) != 1;  // (1)
    }

protected:
    ~hedged_call() = default;

    /// After its end: which of them to go by, which has a value, or has failed when all had.
    std::size_t close() noexcept {
        inner_.close();
        if (decisive_ != 0 && has_value_) by_.helped();
        return decisive_;
    }
    std::size_t sent() const noexcept { return sent_; }

    /// Before its end; its requests are destroyed where they stand.
    bool stands() const noexcept { return left_.load(std::memory_order_relaxed) != 0; }
    /// Then: whoever ends all the same sends nobody home.
    void part() noexcept { left_.fetch_add(1, std::memory_order_relaxed); }
    /// And after each of them: whom it woke as it went goes on as long as it is there.
    void let_go_on() noexcept {
        executor& at = static_cast<executor&>(*parent_->at);
        if (at.idle_here()) at.drive_ready();
    }

    /// What the nth request stands still as; it is woken by running n's end.
    struct node : frame {
        node(hedged_call& c, std::size_t which) noexcept : frame(nullptr), of(c), number(which) {
            at = c.parent_->at;
            under = &c.inner_.under();
            run = [](work& w) noexcept {
                const node& n = static_cast<node&>(static_cast<frame&>(w));
                hedged_call& all = n.of;
                all.ended(n.number);
                all.leave();
            };
        }
        hedged_call& of;
        const std::size_t number;
    };

private:
    /// Makes the nth request, and begins it. True: it stands still, and may have ended elsewhere.
    virtual bool start(std::size_t n) noexcept = 0;
    /// It is over: keeps its outcome. Why it failed, or nullptr.
    virtual const failure* finish(std::size_t n) noexcept = 0;

    std::size_t join_next() noexcept {
        left_.fetch_add(1, std::memory_order_relaxed);
        return sent_++;
    }
    // By somebody who is counted. False: it is over already.
    bool send(std::size_t n) noexcept {
        if (start(n)) return true;
        ended(n);
        left_.fetch_sub(1, std::memory_order_relaxed);  // not the last: its own (1) comes later
        return false;
    }
    void ended(std::size_t n) noexcept {
        const failure* const why = finish(n);
        const time_point now = passage_.now();
        bool decides = false, superseded = false;
        {
            const std::lock_guard guard(lock_);
            superseded = decided_ && has_value_;
            if (why) ++failed_;
            decides = !decided_ && (!why || failed_ == sent_);
            if (decides) {
                decided_ = true;
                decisive_ = n;
                has_value_ = !why;
            }
        }
        const bool in_vain = why && why->code() == code::deadline_exceeded;
        if (n == 0 && (!why || superseded || (in_vain && !passage_.over_before())))
            by_.took(now, now - began_);
        if (why && why->retry_after() > duration::zero())
            by_.leave_alone(saturating_add(now, why->retry_after()));
        if (decides) inner_.request();
    }
    void leave() noexcept {
        frame& parent = *parent_;
        if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) parent.run(parent);  // (1)
    }

    // Not beyond what there is time for.
    void rest_until(time_point t) noexcept {
        if (t >= inner_.under().deadline()) return;
        left_.fetch_add(1, std::memory_order_relaxed);
        nap_.emplace(t, forever);
        if (!nap_->stand(alarm_)) alarm_.wake();
    }
    void woken() noexcept {
        const bool slept = nap_->await_resume().has_value();
        nap_.reset();
        if (slept) go_on();
        leave();
    }
    void go_on() noexcept {
        const time_point now = passage_.now();
        if (now < by_.alone_until()) return rest_until(by_.alone_until());
        passage_.read_clock();
        std::size_t next = 0;
        {
            const std::lock_guard guard(lock_);
            if (!decided_ && by_.take(passage_)) next = join_next();
        }
        if (next == 0) return;
        send(next);
        if (next + 1 < by_.attempts()) rest_until(saturating_add(now, wait_));
    }

    struct alarm : frame {
        explicit alarm(hedged_call& c) noexcept : frame(nullptr), of(c) {
            run = [](work& w) noexcept { static_cast<alarm&>(static_cast<frame&>(w)).of.woken(); };
        }
        hedged_call& of;
    };

    hedger& by_;
    passage& passage_;  // used by the alarm, after the beginning
    frame* parent_ = nullptr;
    time_point began_{};
    duration wait_{};
    // (1) releases each outcome to the last one, which acquires all of them.
    // relaxed: whoever adds one is counted itself, or destroys all of it.
    std::atomic<unsigned> left_ = 1;  // requests that have not ended, the alarm, and who begins
    detail::spin_lock lock_;  // guards the next five; at the end there is nobody else
    bool decided_ = false, has_value_ = false;
    std::size_t sent_ = 0, failed_ = 0;
    std::size_t decisive_ = 0;
    detail::inner_stop inner_;  // goes last: who stands still listens to it
    alarm alarm_{*this};
    detail::maybe<detail::sleeping> nap_;
};

template <typename M>
class call_operation;

namespace detail {

/// The requests of a hedged call, with their message. Lives in recycled memory.
template <typename M>
class hedged final : public hedged_call {
    using reply = result<reply_t<M>>;

public:
    /// Takes the first envelope; others are made of `copy`. `stood`: the call stood still before.
    hedged(const address& to, called<M>* first, const M& copy, message_id& id,
           const call_settings& by, passage& p, bool stood) noexcept
        : hedged_call(*by.hedge, p),
          to_(to),
          by_(by.inner),
          copy_(copy),
          first_(first),
          stood_(stood) {
        if (!id) {
            const address::route route = to.find(type_of<M>);
            if (route.to) id = route.to->name_one();
        }
        id_ = id;
    }
    ~hedged() {
        const bool where_they_stand = sent() != 0 && stands();
        if (where_they_stand) part();
        for (branch* b : branches_) {
            if (!b) continue;
            std::destroy_at(b);
            deallocate(b);
            if (where_they_stand) let_go_on();
        }
        if (first_) first_->destroy();
    }
    static void destroy(hedged* h) noexcept {
        std::destroy_at(h);
        deallocate(h);
    }

    /// After the end, once.
    reply take() noexcept {
        const std::size_t which = hedged_call::close();
        reply r = outcome(which);
        if (r) return r;
        failure why = std::move(r).error();
        for (std::size_t i = 0; i != sent(); ++i) {
            if (i == which || !branches_[i]) continue;
            const failure& other = branches_[i]->outcome->error();
            why.effect(std::max(why.effect(), other.effect()));
            why.retry_after(std::max(why.retry_after(), other.retry_after()));
        }
        return why;
    }

private:
    struct branch : node {
        branch(hedged& h, std::size_t n, called<M>* e) noexcept
            : node(h, n), request(h.to_, e, h.by_) {}
        call_operation<M> request;
        std::optional<reply> outcome;
    };

    bool start(std::size_t n) noexcept override {
        called<M>* e = detail::exchange(first_, nullptr);
        if constexpr (std::copy_constructible<M>) {  // of another nobody asks for a second
            if (n != 0) e = make_or_not<called<M>>(copy_);
        }
        if (e) {
            e->id = id_;
            // If its handler blocked this thread, who awaits us would wait for it even if another
            // one has answered. The first one's caller, too, once that has been held back anywhere.
            using enum request::at_once;
            e->handled_at_once = n == 0 && !stood_ ? unless_held_back : barred;
        }
        void* const memory = allocate(sizeof(branch));
        if (!memory) {
            if (e) e->destroy();
            return false;
        }
        branch* const b = branches_[n] = ::new (memory) branch(*this, n, e);
        return b->request.begin(*b);
    }
    const failure* finish(std::size_t n) noexcept override {
        branch* const b = branches_[n];
        if (!b) return &no_memory_;
        b->outcome.emplace(b->request.await_resume());
        return *b->outcome ? nullptr : &b->outcome->error();
    }
    reply outcome(std::size_t n) noexcept {
        return branches_[n] ? *std::move(branches_[n]->outcome) : reply(no_memory_);
    }

    const address& to_;
    const std::shared_ptr<const call_settings> by_;
    const M& copy_;
    called<M>* first_;
    const bool stood_;
    message_id id_;
    std::array<branch*, hedger::most_attempts> branches_{};
    failure no_memory_ =
        failure::because(code::overloaded, effect::none, "no memory for the message");
};

}  // namespace detail

}  // namespace posthaste
