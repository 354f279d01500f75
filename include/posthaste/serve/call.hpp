// A request under way, as its caller sees it.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: how a call is made and ends is told in one piece.

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/maybe.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/wait/timer.hpp>

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <memory>
#include <string>
#include <utility>

namespace posthaste {

/// What all calls do that are not over at once, whatever their types: find the endpoint, and stand
/// still until one of reply, deadline and stop ends it.
class call_site {
public:
    /// What became of a call that might begin at once.
    enum class beginning : unsigned char {
        no,  ///< nothing has happened
        answered,  ///< in the envelope, which is the caller's alone
        stands,  ///< a call_site is to be made of it
        gone,  ///< its caller was taken elsewhere
    };
    /// Has a handler begin, at once and on top of its caller, if a lane is free for it: then it may
    /// end without ever a call_site. If that takes long, `below.expire` makes one, and ends it.
    /// Requires   e.how; f is at the endpoint's home.
    POSTHASTE_ALWAYS_INLINE static beginning begin_at_once(endpoint_core& to, envelope& e,
                                                           request& r, caller_below& below,
                                                           frame& f, duration allowance) noexcept {
        if (r.handled_at_once == request::at_once::barred ||
            detail::this_thread_inlined().depth >= detail::max_depth)
            return beginning::no;
        r.caller = &f;
        const context& ctx = *f.under;
        if (ctx.lane_) ctx.lane_->lead(r.chain);
        lane* l = to.claim_straight(e);
        if (!l && ctx.lane_ && to.reentrant() && to.held_by(r.chain)) l = to.reenter();
        if (!l) return beginning::no;
        below.to_be_kept = !ctx.lane_ || !ctx.lane_->ends_before(to);
        const time_point bound = r.deadline = ctx.deadline();
        r.cell.begin_alone(to.ends_at_home(ctx.stop()));
        l->prepare(e, r, bound, allowance);
        home& at = to.home();
        const bool watched = to.is_watched();
        if (watched) {  // from now on the caller may go on elsewhere
            below.allowance = allowance, below.deadline = bound;
            at.watch(below);
        }
        failure* why = nullptr;
        const bool ended = l->run_inline(e, below, why);
        const bool gone = watched && !at.unwatch(below);
        if (ended) l->end_inline(e, why, gone);
        if (gone) return beginning::gone;
        r.deadline = bound;
        return ended ? beginning::answered : beginning::stands;
    }

    /// Of one that was begun, and is not over.
    call_site(const address& to, endpoint_core& at, envelope& e, request& r, duration allowance,
              std::shared_ptr<const void> kept) noexcept
        : to_(to),
          kept_(to.owner, std::move(kept)),
          envelope_(&e),
          request_(&r),
          allowance_(allowance),
          stage_(stage::under_way),
          endpoint_(&at),
          caller_(r.caller),
          by_(caller_->under->lane_) {}
    /// Then, on its caller's thread. As begin().
    POSTHASTE_NOINLINE bool go_on_standing(frame& f) noexcept {
        if (by_ && !by_->ends_before(*endpoint_)) by_ = nullptr;
        f.park("a reply from", to_.name);
        if (stand(f, request_->deadline, allowance_)) return true;
        f.at->unpark(f);
        return false;
    }

    call_site(const address& to, envelope* e, request* r, duration allowance) noexcept
        : to_(to), kept_(to.owner), envelope_(e), request_(r), allowance_(allowance) {}
    /// Of one that has found its way, and nothing speaks against it: then go_on_to().
    call_site(const address& to, endpoint_core& at, envelope& e, request& r,
              duration allowance) noexcept
        : to_(to),
          kept_(to.owner),
          envelope_(&e),
          request_(&r),
          allowance_(allowance),
          stage_(stage::refused),
          endpoint_(&at) {}
    call_site(call_site&& not_yet) noexcept
        : to_(not_yet.to_),
          kept_(to_.owner),
          envelope_(detail::exchange(not_yet.envelope_, nullptr)),
          request_(not_yet.request_),
          allowance_(not_yet.allowance_) {}
    POSTHASTE_ALWAYS_INLINE ~call_site() {
        if (stage_ == stage::under_way || stage_ == stage::not_begun) drop();
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
        endpoint_ = route.to;
        envelope_->how = route.how;
        return go_on_to(f);
    }
    /// As begin().
    POSTHASTE_NOINLINE bool go_on_to(frame& f) noexcept {
        caller_ = request_->caller = &f;
        by_ = f.under->lane_;
        if (by_ && request_->chain.empty()) by_->lead(request_->chain);
        // Do the handlers that wait for this call hold all lanes that could take it?
        const bool held = by_ && !request_->only_room && endpoint_->held_by(request_->chain);
        if (held && !endpoint_->reentrant()) {
            endpoint_->count_refused();
            return refuse(code::would_deadlock);
        }
        const time_point due = when_due(f);
        request_->deadline = due;
        if (by_ && !by_->ends_before(*endpoint_)) by_ = nullptr;
        if (!by_) request_->keeper = &kept_;
        f.park(request_->only_room ? "room at" : "a reply from", to_.name);
        // Whoever wakes it has it go on here, but later.
        executor& at = static_cast<executor&>(*f.at);
        const bool here = &at == &endpoint_->home() && endpoint_->ends_at_home(f.under->stop());
        if (here || at.one_by_one()) request_->cell.wait_alone(here);
        // From now on it may be answered elsewhere, and all else that is not the caller's be gone.
        if ((held ? go_back_in() : queue()) && stand(f, due)) return true;
        f.at->unpark(f);
        return false;
    }

    /// How it ended, at the caller's, once. False: there is no answer in the envelope; ask why().
    bool end() noexcept {
        if (stage_ == stage::refused) return false;
        disarm();
        stage_ = stage::ended;
        const ending how = request_->cell.how_in_the_end();
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
        envelope* const e = envelope_;
        if (leave_to_be_destroyed() && e) e->destroy();
    }
    /// The same; true: but its envelope is to be destroyed.
    bool leave_to_be_destroyed() noexcept {
        const bool last = stage_ == stage::refused || request_->cell.caller_leaves();
        envelope_ = nullptr;
        stage_ = stage::left;
        return last;
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
    POSTHASTE_ALWAYS_INLINE time_point when_due(const frame& f) noexcept {
        const time_point bound = f.under->deadline();
        if (allowance_ == forever && !request_->watch) return bound;
        // Of a second nobody misses a fiftieth; an exact look at the clock costs as much as a send.
        const bool roughly = allowance_ >= std::chrono::seconds(1) && !request_->watch;
        request_->asked_at = roughly ? f.at->soon() : f.at->now();
        return std::min(bound, saturating_add(request_->asked_at, allowance_));
    }

    // True, as of the next: its caller is to stand still.
    bool go_back_in() noexcept {
        if (!endpoint_->reenter(*envelope_)) return refuse(code::closed);
        stage_ = stage::under_way;
        return true;
    }
    bool queue() noexcept {
        if (request_->watch) {
            retry_after_ = request_->watch->turn_away(request_->asked_at);
            if (retry_after_ > duration::zero()) {
                endpoint_->count_refused();
                return refuse(code::overloaded, "its queue is overloaded");
            }
        }
        if (!request_->only_room && endpoint_->queue_at_once(*envelope_, *request_)) {
            stage_ = stage::under_way;
            return true;
        }
        return put();
    }
    POSTHASTE_NOINLINE bool put() noexcept {
        if (!by_ && endpoint_->lets_wait()) {  // it is asked, and told, behind that
            request_->keeper = nullptr;
            kept_.keep();
        }
        switch (endpoint_->put(*envelope_, true)) {
            case endpoint_core::admission::overloaded:
                return refuse(code::overloaded, "the queue is full");
            case endpoint_core::admission::closed: return refuse(code::closed);
            case endpoint_core::admission::accepted:
                stage_ = stage::under_way;
                return !request_->only_room;
            case endpoint_core::admission::waiting:
                if (endpoint_->held_by(request_->chain) && endpoint_->take_back(*envelope_))
                    return refuse(code::would_deadlock);  // who would make room waits for it
                stage_ = stage::under_way;
                break;
        }
        return true;
    }
    // `allowance`: besides, of a handler that was begun; it may run elsewhere by now, and ask.
    POSTHASTE_ALWAYS_INLINE bool stand(frame& f, time_point due,
                                       duration allowance = forever) noexcept {
        home& at = *f.at;
        stood_.emplace(*this);
        if (by_) {
            time_point since = request_->asked_at;
            if (allowance != forever) {
                const time_point end = request_->due.settle(at, allowance);
                since = end == never ? never : end - allowance;
            }
            by_->await(*endpoint_, since);
        }
        if (stood_->stop.arm(f.stop())) stood_->due.arm(at, due, allowance);
        else if (request_->cut_short(ending::cancelled).won) return false;
        if (request_->cell.wait()) return true;
        if (request_->only_room) endpoint_->pass_by_room();
        return false;
    }
    void disarm() noexcept {
        if (!stood_) return;
        stood_->stop.disarm();
        stood_->due.disarm(*caller_->at);
    }
    // Of one that was not made, or whose caller's frame is destroyed where it stands.
    POSTHASTE_NOINLINE void drop() noexcept {
        if (stage_ == stage::under_way) {
            disarm();
            if (request_->cut_short(ending::cancelled).won) withdraw();
            else static_cast<void>(request_->cell.how_in_the_end());
            leave();
        } else if (envelope_) {
            envelope_->destroy();
        }
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
        const auto verdict = request_->cut_short(how);
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

    // The bus is there, or a client of it, until the call is put or refused; and as long as its
    // handler runs, or any other of that bus. A call that may outlast that keeps what it needs of
    // the bus: once it is answered that is nothing, so whoever cuts it short sees to it.
    const address& to_;
    bus_keeper kept_;
    envelope* envelope_;
    request* request_;
    duration allowance_;
    stage stage_ = stage::not_begun;
    endpoint_core* endpoint_ = nullptr;
    frame* caller_ = nullptr;
    lane* by_ = nullptr;  // in whose handler the call is made; once it is put: if of that bus
    detail::literal why_text_ = "";  // once it was refused, as the next two
    code why_code_ = code::closed;
    duration retry_after_{};
    detail::maybe<waiting> stood_;  // who may end it meanwhile
};

}  // namespace posthaste
