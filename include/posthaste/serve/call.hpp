// A request under way, as its caller sees it.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: how a call is made and ends is told in one piece.

#include <posthaste/base/result.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/wait/timer.hpp>

#include <algorithm>
#include <coroutine>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace posthaste {

/// What all calls do that direct_call does not have answered at once, whatever their types: finds
/// the endpoint, has the handler run at once if it is idle here, else stands still until one of
/// reply, deadline and stop ends it.
class call_site {
public:
    call_site(const address& to, envelope* e, request* r, duration allowance) noexcept
        : to_(to), envelope_(e), request_(r), allowance_(allowance) {}
    call_site(call_site&& not_yet) noexcept
        : to_(not_yet.to_),
          envelope_(std::exchange(not_yet.envelope_, nullptr)),
          request_(not_yet.request_),
          allowance_(not_yet.allowance_) {}
    ~call_site() {
        if (stage_ == stage::under_way) {  // the caller's frame is destroyed where it stands
            disarm();
            if (request_->cell.settle(ending::cancelled).won) withdraw();
            leave();
        } else if (stage_ == stage::not_begun && envelope_) {
            envelope_->destroy();
        }
    }

    /// True: the caller is suspended, and may have gone on elsewhere already.
    POSTHASTE_NOINLINE bool begin(frame& f) noexcept {
        stage_ = stage::refused;
        if (!envelope_) return refuse(code::overloaded, "no memory for the message");
        const address::route route = to_.find(envelope_->type());
        if (to_.shut()) return refuse(code::closed);
        if (!route.how) return refuse(route.why(), route.why_not());
        const context& ctx = *f.under;
        if (ctx.stop_requested()) return refuse(code::cancelled);

        if (allowance_ <= duration::zero() || ctx.over()) {
            return refuse(code::deadline_exceeded, "it had passed before the call");
        }
        caller_ = request_->caller = &f;
        endpoint_ = route.to;
        envelope_->how = route.how;
        by_ = ctx.lane_;
        if (by_) by_->lead(request_->chain);
        lane* here = nullptr;  // which handles it at once, on this thread
        const bool can_be = f.at == static_cast<home*>(&endpoint_->home()) &&
                            request_->handled_at_once != request::at_once::barred &&
                            detail::this_thread_inlined().depth < detail::max_depth;
        if (can_be && !request_->only_room && !route.how->streams)
            here = endpoint_->claim(*envelope_);
        if (!here) {
            const bool stands = go_elsewhere(f, can_be, here);
            if (!here) return stands;
        } else if (route.how->suspends) {
            kept_ = to_.owner.lock();
        }
        stage_ = stage::under_way;
        return run_inline(*here, f);
    }

    /// How it ended, at the caller's, once. False: there is no answer in the envelope; ask why().
    bool end() noexcept {
        if (stage_ == stage::refused) return false;
        disarm();
        stage_ = stage::ended;
        const ending how = request_->cell.how();
        if (how != ending::replied && how != ending::open) return false;
        if (by_ && stood_) by_->await_no_more(*endpoint_);
        return true;
    }
    /// Then, once. A handler that is running is asked to stop; what waits for room is taken back.
    POSTHASTE_NOINLINE failure why() noexcept {
        return stage_ == stage::refused ? refusal() : give_up();
    }
    /// After the end: what the handler knew the message by; none: it was not begun. Given to the
    /// request of another attempt, it is known by the same again.
    message_id id() const noexcept {
        return envelope_ && request_->cell.was_begun() ? request_->id : message_id();
    }
    /// Afterwards the envelope is not the caller's any more.
    void leave() noexcept {
        if (stage_ == stage::refused) {
            if (envelope_) envelope_->destroy();
        } else if (request_->cell.caller_leaves()) {
            envelope_->destroy();
        }
        envelope_ = nullptr;
        stage_ = stage::left;
    }

private:
    enum class stage : unsigned char { not_begun, refused, under_way, ended, left };

    bool refuse(code c, detail::literal why = "") noexcept {
        why_code_ = c;
        why_text_ = why;
        return false;
    }
    failure refusal() const noexcept {
        if (why_code_ == code::would_deadlock) return endpoint_->circle(request_->chain);
        failure f = detail::failure_at(to_.name, why_code_, effect::none, why_text_);
        return std::move(f.retry_after(retry_after_));
    }
    failure give_up() noexcept {
        const bool expired = request_->cell.how() == ending::expired;
        const bool begun = request_->cell.was_begun();
        const bool in_room = !begun && leave_room();
        failure f =
            detail::failure_at(to_.name, expired ? code::deadline_exceeded : code::cancelled,
                               begun ? effect::unknown : effect::none,
                               begun     ? detail::literal("the handler was running")
                               : in_room ? detail::literal("waiting for room")
                                         : detail::literal("it was still queued"));
        if (stood_ && stood_->due.counted) {
            const time_point due = request_->due.settled();
            if (due != never) request_->begun_at = due - stood_->due.allowance;
        }
        if (expired) {  // who cancels asks for no explanation, which would take memory
            const whereabouts where = endpoint_->look_for(*envelope_, begun, in_room);
            detail::guarded([&] { f.detail(where.text()); }, [](const std::exception_ptr&) {});
        }
        if (begun) request_->where->cancel(envelope_);
        return f;
    }
    time_point when_due(const frame& f) noexcept {
        const time_point bound = f.under->deadline();
        if (allowance_ == forever && !request_->watch) return bound;
        request_->asked_at = f.at->now();
        return std::min(bound, saturating_add(request_->asked_at, allowance_));
    }

    bool run_inline(lane& l, frame& f) noexcept {
        const time_point bound = f.under->deadline();
        struct watched : inline_call {
            call_site& of;
            explicit watched(call_site& c) noexcept : of(c) {}
        } call(*this);
        call.allowance = allowance_;
        call.deadline = bound;
        call.expire = [](inline_call& c) noexcept {
            call_site& site = static_cast<watched&>(c).of;
            request& r = *site.request_;
            frame& caller = *r.caller;
            r.deadline = c.deadline;  // says how late the reply will be
            if (!site.kept_) site.kept_ = site.to_.owner.lock();
            const bool won = r.cell.settle(ending::expired).won;
            if (won) caller.wake();
            return won;
        };
        home& at = *f.at;
        envelope& e = *envelope_;
        request_->deadline = bound;
        l.prepare(e, bound, allowance_);
        at.watch(call);  // from now on the caller may go on elsewhere: *this may be gone
        const bool ended = l.run_inline(e);
        if (!at.unwatch(call)) return true;  // it has
        if (ended) return false;
        request_->deadline = bound;
        return stand(f, bound, allowance_);
    }
    // `here`: set where its handler is to run at once, after all; else true: it stands still.
    POSTHASTE_NOINLINE bool go_elsewhere(frame& f, bool can_be_here, lane*& here) noexcept {
        kept_ = to_.owner.lock();
        if (!by_ || request_->only_room || !endpoint_->held_by(request_->chain))
            return queue(f, when_due(f));
        // The handlers that wait for this call hold all lanes that could take it.
        if (!endpoint_->reentrant()) {
            endpoint_->count_refused();
            return refuse(code::would_deadlock);
        }
        if (can_be_here) {
            here = endpoint_->reenter();
            return !here && refuse(code::closed);
        }
        const time_point due = when_due(f);
        request_->deadline = due;
        if (!endpoint_->reenter(*envelope_)) return refuse(code::closed);
        stage_ = stage::under_way;
        return stand(f, due);
    }
    bool queue(frame& f, time_point due) noexcept {
        request_->deadline = due;
        if (request_->watch) {
            retry_after_ = request_->watch->turn_away(request_->asked_at);
            if (retry_after_ > duration::zero()) {
                endpoint_->count_refused();
                return refuse(code::overloaded, "its queue is overloaded");
            }
        }
        switch (endpoint_->put(*envelope_, true)) {
            case endpoint_core::admission::overloaded:
                return refuse(code::overloaded, "the queue is full");
            case endpoint_core::admission::closed: return refuse(code::closed);
            case endpoint_core::admission::accepted:
                stage_ = stage::under_way;
                if (request_->only_room) return false;
                break;
            case endpoint_core::admission::waiting:
                if (endpoint_->held_by(request_->chain) && endpoint_->take_back(*envelope_))
                    return refuse(code::would_deadlock);  // who would make room waits for it
                stage_ = stage::under_way;
                break;
        }
        return stand(f, due);
    }
    // `allowance`: besides, of a handler that was begun; it may run elsewhere by now, and ask.
    bool stand(frame& f, time_point due, duration allowance = forever) noexcept {
        home& at = *f.at;
        stood_.emplace(*this);
        f.park(request_->only_room ? "room at" : "a reply from", to_.name);
        if (by_) {
            time_point since = request_->asked_at;
            if (allowance != forever) {
                const time_point end = request_->due.settle(at, allowance);
                since = end == never ? never : end - allowance;
            }
            by_->await(*endpoint_, since);
        }
        if (stood_->stop.arm(f.stop())) stood_->due.arm(at, due, allowance);
        else request_->cell.settle(ending::cancelled);
        if (request_->cell.wait()) return true;
        at.unpark(f);
        if (request_->only_room) endpoint_->pass_by_room();
        return false;
    }
    void disarm() noexcept {
        if (!stood_) return;
        stood_->stop.disarm();
        stood_->due.disarm(*caller_->at);
    }
    // The caller has given up: the handler is asked to stop, or never started.
    void withdraw() noexcept {
        if (request_->cell.was_begun()) return request_->where->cancel(envelope_);
        static_cast<void>(leave_room());
    }
    bool leave_room() noexcept {
        if (!endpoint_->take_back(*envelope_)) return false;
        static_cast<void>(request_->cell.handler_leaves());
        return true;
    }
    void cut_short(ending how) noexcept {
        frame& caller = *caller_;
        const auto verdict = request_->cell.settle(how);
        if (verdict.won && verdict.waiting) caller.wake();
    }

    struct link : stop_link {
        explicit link(call_site& c) noexcept
            : stop_link([](detail::stop_node& n) noexcept {
                  static_cast<link&>(n).of.cut_short(ending::cancelled);
              }),
              of(c) {}
        call_site& of;
    };
    struct alarm : allowance_timer {
        explicit alarm(call_site& c) noexcept
            : allowance_timer([](timer& t) noexcept {
                  alarm& self = static_cast<alarm&>(t);
                  if (self.counted) self.of.request_->deadline = t.due;  // to say how late it was
                  self.of.cut_short(ending::expired);
              }),
              of(c) {}
        void arm(home& at, time_point bound, duration a) noexcept {
            due = bound;
            if (a == forever) return at.arm(*this, bound);
            allowance = a, counted = &of.request_->due;
            at.arm_allowance(*this);
        }
        void disarm(home& at) noexcept {
            if (due != never || counted) at.disarm(*this);
        }
        call_site& of;
    };
    struct waiting {
        explicit waiting(call_site& c) noexcept : stop(c), due(c) {}
        link stop;
        alarm due;
    };

    // The bus is there, or a client of it, when the call begins; and as long as its handler runs. A
    // call that may outlast that keeps what it needs of the bus.
    const address& to_;
    std::shared_ptr<const void> kept_;
    envelope* envelope_;
    request* request_;
    duration allowance_;
    stage stage_ = stage::not_begun;
    endpoint_core* endpoint_ = nullptr;
    frame* caller_ = nullptr;
    lane* by_ = nullptr;  // in whose handler the call is made
    detail::literal why_text_ = "";  // once it was refused, as the next two
    code why_code_ = code::closed;
    duration retry_after_{};
    std::optional<waiting> stood_;  // who may end it meanwhile
};

}  // namespace posthaste
