// A named handler with its queue, whatever its mode.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: endpoint and lane work hand in hand; the steps of a lane stand at the end.

#include <posthaste/base/result.hpp>
#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/asymmetric_fence.hpp>
#include <posthaste/detail/coarse_clock.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/dead_letters.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/handler.hpp>
#include <posthaste/serve/lane.hpp>
#include <posthaste/serve/ledger.hpp>
#include <posthaste/serve/mode.hpp>
#include <posthaste/serve/redelivery.hpp>
#include <posthaste/serve/shared_message.hpp>
#include <posthaste/serve/waiting_room.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace posthaste {

/// Whoever keeps an endpoint that may go before the bus does: each lane that goes to rest, or tries
/// to, holds it meanwhile, and then tells.
class endpoint_keeper {
public:
    virtual void hold() noexcept = 0;
    virtual void rested() noexcept = 0;

protected:
    ~endpoint_keeper() = default;
};

/// A call whose handler may outlast it, and what becomes of the message and the answer, once the
/// handler has ended and the caller is not there any more.
struct watched_call : inline_call {
    void (*drop)(watched_call&) noexcept = nullptr;
};

/// What serial, parallel and keyed endpoints have in common: admission, accounting, giving up. The
/// modes add where a message waits and which lane takes it.
///
/// Threads    any.
class endpoint_core : public takes_letters {
public:
    /// What became of a call that might be answered at once.
    enum class at_once : unsigned char {
        no,  ///< nothing has happened
        answered,
        late,  ///< its caller was taken elsewhere
        watched,  ///< nothing has happened; it might be, by answer_watched()
    };
    /// What became of a message that was put.
    enum class admission : unsigned char {
        accepted,
        waiting,  ///< for room; it is accepted or refused later
        overloaded,
        closed,
    };

    endpoint_core(std::string name, executor& at, dead_letters& dead, detail::owned<handler> h,
                  std::size_t capacity, when_full full) noexcept
        : home_(at),
          table_(h->entries()),
          full_(full),
          watched_(at.watches()),
          ends_at_home_(alone() && full_ != when_full::drop_oldest && full_ != when_full::wait),
          fence_(at.one_by_one() ? detail::asymmetric_fence() : detail::asymmetric_fence(false)),
          table_size_(h->entry_count()),
          name_(std::move(name)),
          dead_(dead),
          ledger_(capacity) {
        handler_ = std::move(h);
    }
    endpoint_core(const endpoint_core&) = delete;
    virtual ~endpoint_core() = default;

    /// From now on what is sent is delivered until the handler takes it. Before it is used.
    void deliver_at_least_once(redelivery how) {
        if (keeps_order()) how.in_place = how.attempts;
        again_ = detail::make_owned<redeliveries>(home_, how);
    }
    /// Before it is used. Without a keeper it lives as long as the bus.
    void kept_by(endpoint_keeper& k) noexcept {
        keeper_ = &k, kept_ = true;
        answers_unclaimed_ = false;
    }
    /// Nothing is requeued to it any more, once this returns. To be asked for before it is
    /// destroyed, while all of it is there still.
    void disown_letters() noexcept { dead_.forget(*this); }
    /// In place of the handler it was made with, with the same entries. Before it is used.
    void take_over(detail::owned<handler> h) noexcept { handler_ = std::move(h); }

    const std::string& name() const noexcept { return name_; }
    executor& home() const noexcept { return home_; }
    std::size_t capacity() const noexcept { return ledger_.capacity(); }
    /// How a message of this type is handled here; nullptr: not at all.
    const handler::entry* find(const detail::message_type& type) const noexcept {
        if (only().type == &type) return &only();
        return table_size_ == 1 ? nullptr : find_further(type);
    }
    /// Requires   it takes one type of message; else the first of them.
    const handler::entry& only() const noexcept { return *table_; }

    /// Takes the envelope over if it is accepted; false: put() will say what becomes of it.
    /// Requires   it is not a call's.
    bool put_at_once(envelope& e) noexcept {
        if (!tracks(e)) return false;
        const bool here = is_read_here();
        if (accept_if_room(here) == 0) return false;
        if (put_straight_or_enqueue(e, here)) return true;
        ledger_.not_accepted();
        return false;
    }
    /// The same of a call's; false: as well, if its lane could begin with it.
    bool queue_at_once(envelope& e, request& r) noexcept {
        if (!straight_.box || straight_.box->idle()) return false;
        const bool here = is_read_here();
        const std::uint64_t ticket = accept_if_room(here);
        if (ticket == 0) return false;
        r.ticket = ticket;
        if (straight_.put(e, home_, here)) return true;
        ledger_.not_accepted();
        return false;
    }
    /// Takes the envelope over if it is accepted. `may_wait`: it is one of a caller, who can wait.
    admission put(envelope& e, bool may_wait) noexcept {
        request* const waits = e.call() && e.call()->only_room ? e.call() : nullptr;
        envelope* const message = waits ? waits->message : &e;  // nullptr: it wants a place
        if (waits && message && !message->how) message->how = e.how;
        if (message && !tracks(*message)) return refuse(admission::overloaded);
        if (!reserve(e)) {
            if (!message && full_ != when_full::wait) return refuse(admission::overloaded);
            switch (full_) {
                case when_full::reject: return refuse(admission::overloaded);
                case when_full::drop_newest: {
                    if (e.call()) return refuse(admission::overloaded);
                    const dropping meanwhile(*this);
                    if (closed_.load(std::memory_order_seq_cst))  // (5)
                        return refuse(admission::closed);
                    accepted_beside(e);
                    drop(e, "the queue is full");
                    return admission::accepted;
                }
                case when_full::drop_oldest: {
                    accepted_beside(e);
                    const dropping meanwhile(*this);
                    if (envelope* oldest = take_oldest())
                        drop(*oldest, "it gave way to a newer one");
                    break;
                }
                case when_full::wait:
                    if (!may_wait) return refuse(admission::overloaded);
                    switch (room_.stand(e, [&] { return reserve(e); })) {
                        case waiting_room::place::standing: return admission::waiting;
                        case waiting_room::place::nowhere: return refuse(admission::closed);
                        case waiting_room::place::reserved: break;
                    }
                    break;
            }
        }
        if (!message) {
            grant_place(*waits);
        } else if (!go_as_work(*message) && !put_straight_or_enqueue(*message, is_read_here())) {
            ledger_.not_accepted();
            return refuse(admission::closed);
        }
        if (waits) {
            bool last = false;
            waits->cell.settle_and_leave(ending::replied, last);
        }
        return admission::accepted;
    }
    /// Into a place that was granted before. Overloaded: no memory, and the place is there still.
    admission put_in_place(envelope& e) noexcept {
        if (!tracks(e)) return refuse(admission::overloaded);
        ledger_.use_place();  // before a lane may take it
        if (enqueue(e)) return admission::accepted;
        ledger_.place_not_used();
        give_place_back();
        return refuse(admission::closed);
    }
    /// A place for a message that comes if its sender succeeds: then put_promised(), otherwise
    /// break_promise(). A queue that drops has room for everybody, but when it comes.
    admission promise_place(envelope& e) noexcept {
        if (closed_.load(std::memory_order_relaxed)) return refuse(admission::closed);
        if (!tracks(e)) return refuse(admission::overloaded);
        if (drops()) return admission::accepted;
        if (accept_if_room(is_read_here()) == 0) return refuse(admission::overloaded);
        ledger_.grant_place();
        return admission::accepted;
    }
    /// The same for one whose sender has a place that was granted before, which becomes its own.
    admission promise_that_place(envelope& e) noexcept {
        if (closed_.load(std::memory_order_relaxed)) return refuse(admission::closed);
        if (!tracks(e)) return refuse(admission::overloaded);
        if (drops()) give_place_back();
        return admission::accepted;
    }
    /// Its sender has succeeded, and can be told nothing: what cannot be put is a dead letter.
    void put_promised(envelope& e) noexcept {
        if ((drops() ? put(e, false) : put_in_place(e)) == admission::accepted) return;
        bury(e, detail::failure_at(name_, code::closed), true);
    }
    void break_promise() noexcept {
        if (!drops()) give_place_back();
    }
    void give_place_back() noexcept {
        const dropping meanwhile(*this);
        ledger_.give_place_back();
        look_for_others();
    }

    /// An id for a message that several lanes may begin to handle, none of which can number it.
    message_id name_one() noexcept {
        return {message_id::by_endpoint, named_.fetch_add(1, std::memory_order_relaxed) + 1};
    }

    /// A lane for a call that may run at once on its caller's thread; nullptr: queue it.
    virtual lane* claim(envelope& e) noexcept = 0;
    /// The same, and without a virtual call, if it can be.
    lane* claim_straight(envelope& e) noexcept {
        if (answers_unclaimed_ && static_cast<lane&>(*straight_.reader).busy()) return nullptr;
        if (taken_straight_from_ && straight_.box->claim())
            return &static_cast<lane&>(*straight_.reader);
        return claim(e);
    }

    /// What is put there soon is built meanwhile: its line comes over from its reader, as a rule.
    void fetch_mailbox() const noexcept { detail::prefetch(straight_.box); }
    /// Whoever ends such a call of a caller at home() does so there: no timer fires elsewhere, and
    /// nobody there can ask for a stop, give it up for a newer message, or shut the room it waits
    /// for.
    bool ends_at_home(stop_token callers) const noexcept {
        return ends_at_home_ && !callers.stop_possible();
    }
    /// Callers may wait for room.
    bool lets_wait() const noexcept { return full_ == when_full::wait; }
    /// No lane can be claimed, as messages are queued that nothing may pass. A hint.
    bool has_queued() const noexcept {
        if (read_one_by_one_) return !straight_.box->is_free();
        return taken_straight_from_ && straight_.box->queued();
    }
    /// Whoever calls it from home() may be taken elsewhere by who watches there.
    bool is_watched() const noexcept { return watched_; }
    /// Has the handler answer at once, if a lane is free for whatever message; false: nothing has
    /// happened. Where the lane depends on the message: no.
    /// Requires   how.at_once, to be called at home(), and !is_watched().
    /// `failed`: of who needs the bus if it has failed, see lane::answer().
    POSTHASTE_ALWAYS_INLINE bool answer_at_once(const handler_entry& how, void* message,
                                                void* answer,
                                                bus_keeper* failed = nullptr) noexcept {
        if (!answers_unclaimed_) return answer_claimed(how, message, answer, failed);
        lane& l = static_cast<lane&>(*straight_.reader);
        if (!take_unclaimed(l, *straight_.box)) return false;
        l.answer(how, message, answer, failed);
        return true;
    }
    /// The same where is_watched(). `by`: how its caller may be taken elsewhere.
    virtual at_once answer_watched(const handler_entry& /*how*/, void* /*message*/,
                                   void* /*answer*/, watched_call& /*by*/) noexcept {
        return at_once::no;
    }

    /// All lanes that could take such a call stand still until it has ended. Where that depends on
    /// the message: no; whoever finds out later ends it by refuse_circle().
    virtual bool held_by(const call_chain&) const noexcept { return false; }
    /// What is held by its own chain comes back all the same.
    virtual bool reentrant() const noexcept { return false; }
    /// A lane for that, as from claim(); nullptr: it is shut, or there is no memory.
    virtual lane* reenter() noexcept { return nullptr; }
    /// The same for a caller elsewhere: the message is accepted, and taken by that lane.
    virtual bool reenter(envelope&) noexcept { return false; }
    /// Why a call that waits for itself is refused.
    failure circle(const call_chain& chain) const noexcept {
        failure f = detail::failure_at(name_, code::would_deadlock, effect::none,
                                       "it would wait for itself");
        detail::guarded([&] { f.detail("it would wait for itself: " + way_back(chain)); },
                        [](const std::exception_ptr&) {});
        return f;
    }
    /// One was refused before it was put.
    void count_refused() noexcept { ledger_.refuse(); }
    /// Stands for the bus it is on.
    const void* bus() const noexcept { return &dead_; }
    /// One that was refused as closed, and meant for nobody any more.
    void forget_refusal() noexcept { ledger_.not_refused(); }

    /// Where a call is that its caller gives up; `begun`, or `in_room`, or in the queue.
    whereabouts look_for(const envelope& e, bool begun, bool in_room) noexcept {
        const request& r = *e.call();
        const time_point now = home_.now();
        whereabouts w;
        const time_point since = begun ? r.begun_at : r.asked_at;
        if (since != never) w.since = std::max(now - since, duration::zero());
        if (begun) {
            w.at = whereabouts::place::handler;
            if (r.where->handles(e)) r.where->tell(w, now);
        } else if (in_room) {
            w.at = whereabouts::place::room;
        } else if (const std::uint64_t gone = ledger_.gone(); r.ticket > gone) {
            // Its ticket counts places taken ahead, too.
            const std::uint64_t place = std::min(r.ticket - gone, ledger_.accepted_after(gone));
            w.ahead = static_cast<std::int64_t>(place) - 1;
            look_ahead(w, now);
        }
        return w;
    }

    /// Once somebody else has ended a request for room: waits until that is done with all of it, so
    /// that what the sender puts next comes after its message.
    void pass_by_room() noexcept { room_.pass_by(); }
    /// A caller takes back its envelope from the waiting room; false: it is on its way.
    bool take_back(envelope& e) noexcept {
        if (!room_.leave(e)) return false;
        ledger_.refuse();
        return true;
    }

    /// Accepts no more; what is there is handled. What idle() says counts after see_closed().
    void close() noexcept {
        closed_.store(true, std::memory_order_seq_cst);  // (5)
        shut();
        room_.shut([this](envelope& e) {
            ledger_.refuse();
            settle(e, detail::failure_at(name_, code::closed));
        });
    }

    /// Once any number of this home's endpoints are closed: none of them takes a lane unclaimed any
    /// more, and one that was taken is seen.
    static void see_closed(const executor& home) noexcept {
        if (home.one_by_one()) detail::asymmetric_fence().heavy();  // (7)
    }

    /// From now on what is taken from the queue is not handled, but given up. A handler may just be
    /// starting.
    void discard() noexcept {
        discarding_.store(true, std::memory_order_relaxed);
        if (again_) again_->hurry();
    }
    bool discarding() const noexcept { return discarding_.load(std::memory_order_relaxed); }

    /// Calls `f(lane&)` for each lane that may be at work.
    virtual void for_each_lane(void* with, void (*f)(void*, lane&)) = 0;
    /// Nothing is in the queue, and no lane has anything.
    virtual bool rests() const noexcept = 0;
    /// Nothing is queued, or handled, or being given up by a sender, `but` by so many at most.
    bool idle(std::uint32_t but = 0) const noexcept {
        return rests() && dropping_.load(std::memory_order_seq_cst) <= but;  // (5) (6)
    }
    /// Senders that give up a message on this thread, as the hook is called by one: who waits in it
    /// for the endpoint does not wait for itself.
    std::uint32_t dropped_here() const noexcept {
        std::uint32_t n = 0;
        for (const dropping* d = dropping::innermost(); d; d = d->outer()) n += d->at(*this);
        return n;
    }
    /// One lane after the other, to see what they do; nullptr: there are not so many.
    virtual const lane* lane_number(std::size_t) noexcept { return nullptr; }
    /// Never less, and more with each message that leaves the queue or is handled without it.
    std::uint64_t begun() noexcept { return ledger_.gone() + in_lanes().ran_inline; }
    /// The bus is gone, all is at rest: destroys the user's callable, which may hold clients.
    void forget_handler() noexcept { handler_.reset(); }

    account counts() { return ledger_.counts(in_lanes(), redelivered()); }
    /// The same, once it is shut and at rest: exact, whoever is being refused meanwhile.
    account last_counts() { return ledger_.last_counts(in_lanes(), redelivered()); }

protected:
    friend lane;

    /// Puts it where its lane will find it; false: shut.
    virtual bool enqueue(envelope& e) noexcept = 0;
    /// As answer_at_once(), on a lane that is claimed.
    virtual bool answer_claimed(const handler_entry& /*how*/, void* /*message*/, void* /*answer*/,
                                bus_keeper* /*failed*/) noexcept {
        return false;
    }
    /// The next message for this lane; nullptr: none now.
    virtual envelope* take(lane& l) noexcept = 0;
    /// Where enqueue() puts it, all who do so count, too. Before it is used.
    void count_at(senders_counts& c) noexcept { ledger_.count_at(c); }
    /// What enqueue() does is put() of this mailbox, which `reader` reads: so it takes no virtual
    /// call. Before it is used, as the next.
    void put_straight(mailbox& box, work& reader) noexcept { straight_ = {&box, &reader}; }
    /// The same of take(): nobody but this lane takes from there.
    void go_straight(mailbox& box, lane& reader) noexcept {
        straight_ = {&box, &reader}, taken_straight_from_ = true;
        read_one_by_one_ = home_.one_by_one() && full_ != when_full::wait;
        answers_unclaimed_ = alone();
    }
    /// What is answered at once takes that lane without a claim, by its being busy.
    bool answers_unclaimed() const noexcept { return answers_unclaimed_; }
    /// False: the lane is busy, or claimed, or `box` is shut.
    POSTHASTE_ALWAYS_INLINE bool take_unclaimed(lane& l, const mailbox& box) noexcept {
        if (l.busy() || !box.is_free()) return false;
        l.be_busy();
        fence_.light();  // (7)
        if (box.is_free()) return true;
        l.be_done();
        return false;
    }
    /// The lane has nothing to do, or its turn is over; false: there is something to do.
    virtual bool release(lane& l) noexcept = 0;
    /// The message that has waited longest, for when_full::drop_oldest.
    virtual envelope* take_oldest() noexcept = 0;
    virtual void shut() noexcept = 0;
    /// If not, a message that is to be delivered again may wait aside, without its lane; then
    /// idle() asks for those, and enter_again() puts one back into the queue, even if it is shut.
    virtual bool keeps_order() const noexcept { return true; }
    virtual void enter_again(envelope&) noexcept {}
    bool none_is_aside() const noexcept { return !again_ || again_->none_waits(); }

    /// Around the release of a claim: afterwards *this may be gone.
    class resting {
    public:
        explicit resting(endpoint_core& e) noexcept : keeper_(e.kept_ ? e.keeper_ : nullptr) {
            if (keeper_) keeper_->hold();
        }
        resting(const resting&) = delete;
        ~resting() {
            if (keeper_) keeper_->rested();
        }

    private:
        endpoint_keeper* const keeper_;
    };

    /// Around what somebody who has no lane does with messages that were accepted: they are not
    /// lost from sight, and the bus waits for their end.
    class dropping {
    public:
        explicit dropping(endpoint_core& e) noexcept
            : of_(e), outer_(detail::exchange(detail::this_thread().dropping, this)) {
            of_.dropping_.fetch_add(1, std::memory_order_seq_cst);  // (5)
        }
        dropping(const dropping&) = delete;
        ~dropping() {
            detail::this_thread().dropping = outer_;
            of_.dropping_.fetch_sub(1, std::memory_order_release);  // (6)
        }
        static const dropping* innermost() noexcept {
            return static_cast<const dropping*>(detail::this_thread().dropping);
        }
        const dropping* outer() const noexcept { return static_cast<const dropping*>(outer_); }
        bool at(const endpoint_core& e) const noexcept { return &of_ == &e; }

    private:
        endpoint_core& of_;
        const void* const outer_;
    };

    /// One goes to a lane that waits for it, past the queue.
    void accepted_beside(envelope& e) noexcept { number(e, ledger_.accept()); }
    /// A message has left the queue, and a lane has it.
    void taken() noexcept {
        ledger_.to_lane();
        look_for_others();
    }
    /// The same, for the only lane there is, or under a lock. Not with when_full::wait.
    void taken_by_the_one() noexcept { ledger_.to_the_lane(); }
    void drop(envelope& e, detail::literal why) noexcept {
        taken_out();
        give_up(e, code::overloaded, why);
    }
    /// Ends a message that will not be handled: its caller is told, or it is a dead letter.
    void give_up(envelope& e, code c, detail::literal why = "") noexcept {
        const bool ran = e.is_tracked && e.tracked()->last;  // and failed
        failure f = detail::failure_at(name_, c, ran ? effect::complete : effect::none, why);
        if (asked(e)) settle(e, std::move(f));
        else bury(e, std::move(f), true);
    }
    // Ends a call, out of the queue, whose own chain holds the lane that is to take it.
    void refuse_circle(envelope& e) noexcept {
        taken_out();
        settle(e, circle(e.call()->chain));
    }
    void bury(envelope& e, failure why, bool intact) noexcept {
        dead_.put(e, name_, this, std::move(why), home_.now(), intact);
    }
    /// Somebody waits for what comes of it.
    static bool asked(const envelope& e) noexcept { return e.call(); }
    void settle(envelope& e, failure why) noexcept {
        e.call()->fail(std::move(why));
        static_cast<void>(answer(e, *e.call()));
    }
    /// Hands the caller what is in the envelope, and leaves it. False: the caller had gone.
    POSTHASTE_ALWAYS_INLINE bool answer(envelope& e, request& r) noexcept {
        bool last = false;
        frame* const caller = r.caller;
        const auto verdict = r.cell.settle_and_leave(ending::replied, last);
        if (verdict.won && verdict.waiting) {
            if (caller->at == static_cast<posthaste::home*>(&home_) && home_.here())
                home_.transfer(*caller);
            else caller->wake();
        }
        if (last) e.destroy();
        return verdict.won;
    }
    void reply(envelope& e, request& r) noexcept {
        if (r.cell.how() != ending::open) return reply_late(e, r);
        if (!answer(e, r)) count_late(duration());
    }
    POSTHASTE_NOINLINE void reply_late(envelope& e, request& r) noexcept {
        const duration by = late_by(r);
        if (!answer(e, r)) count_late(by);
    }
    /// The same, but the handler goes on.
    void reply_early(envelope& e) noexcept {
        request& r = *e.call();
        r.answered = true;
        frame& caller = *r.caller;
        const auto verdict = r.cell.settle(ending::replied);
        if (verdict.won && verdict.waiting) caller.wake();
        else if (!verdict.won) count_late(late_by(r));
    }
    duration late_by(const request& r) const noexcept {
        const bool expired = r.cell.how() == ending::expired;
        return expired && r.deadline != never ? home_.now() - r.deadline : duration();
    }
    at_once answer_on(lane& l, const handler_entry& how, void* message, void* answer,
                      watched_call& by) noexcept {
        home_.watch(by);  // from now on its caller may go on elsewhere
        l.answer(how, message, answer, nullptr);
        if (home_.unwatch(by)) return at_once::answered;
        count_late(home_.now() - by.deadline);
        by.drop(by);  // while the bus is here for certain
        return at_once::late;
    }
    void count_late(duration by) noexcept { ledger_.late(by); }

private:
    // Its work and its timers run one after the other.
    bool alone() const noexcept { return home_.one_by_one() && !watched_; }
    void taken_out() noexcept {
        ledger_.drop();
        look_for_others();
    }
    // Who waits for the room that was made.
    void look_for_others() noexcept {
        if (full_ == when_full::wait && !room_.empty()) call_in();
    }
    // A call to somebody idle, as a rule elsewhere, is posted itself.
    bool go_as_work(envelope& e) noexcept {
        request* const r = e.call();
        if (!r || !taken_straight_from_ || !straight_.box->claim()) return false;
        static_cast<lane&>(*straight_.reader).go_with(*r, home_);
        return true;
    }
    bool put_straight_or_enqueue(envelope& e, bool here) noexcept {
        return straight_.box ? straight_.put(e, home_, here) : enqueue(e);
    }
    // Whoever sends now and the lane are never at work at a time.
    bool is_read_here() const noexcept { return read_one_by_one_ && home_.here(); }
    std::uint64_t accept_if_room(bool here) noexcept {
        return here ? ledger_.accept_here() : ledger_.accept_if_room();
    }
    bool release_by(lane& l) noexcept {
        return taken_straight_from_ ? straight_.box->release() : release(l);
    }
    envelope* next_for(lane& l) noexcept {
        if (!taken_straight_from_) return take(l);
        letter* const next = straight_.box->take();
        if (next) taken_straight();
        return static_cast<envelope*>(next);
    }
    void taken_straight() noexcept { full_ == when_full::wait ? taken() : taken_by_the_one(); }

    POSTHASTE_NOINLINE const handler::entry* find_further(
        const detail::message_type& type) const noexcept {
        for (const handler::entry* e = table_; e != table_ + table_size_; ++e)
            if (e->type == &type) return e;
        return nullptr;
    }

    ledger::lanes in_lanes() noexcept {
        ledger::lanes sum;
        for_each_lane(&sum, [](void* to, lane& l) {
            ledger::lanes& s = *static_cast<ledger::lanes*>(to);
            const auto of = [](const lane::tally::number& n) {
                return n.load(std::memory_order_relaxed);
            };
            s.handled += of(l.tally_.handled), s.failed += of(l.tally_.failed);
            s.expired += of(l.tally_.expired), s.dropped += of(l.tally_.dropped);
            s.discarded += of(l.tally_.discarded), s.ran_inline += of(l.tally_.ran_inline);
            s.running += l.busy();
        });
        return sum;
    }
    std::uint64_t redelivered() const noexcept { return again_ ? again_->counted() : 0; }

    // A message that is to be delivered again is in the queue until then, as far as its capacity is
    // concerned: so those that fail and fail do not become more and more.
    void wait_again() noexcept {
        ledger_.accept();
        again_->count();
    }
    void set_aside(envelope& e) noexcept {
        e.tracked()->at = this;
        e.tracked()->run = [](work& w) noexcept {
            detail::tracking& t = static_cast<detail::tracking&>(w);
            t.at->again_->leave(t, [&] { t.at->enter_again(t.of); });
        };
        again_->wait(*e.tracked(), *e.tracked());
    }

    // inline here already: or g++ makes code of the whole class wherever it is included.
    inline result<void> take_again(envelope& e) noexcept override;

    admission refuse(admission a) noexcept { return ledger_.refuse(), a; }
    bool drops() const noexcept {
        return full_ == when_full::drop_oldest || full_ == when_full::drop_newest;
    }
    // False: it would have to be, and there is no memory for it.
    bool tracks(envelope& e) noexcept {
        return !again_ || asked(e) || e.is_tracked || e.track(home_.now());
    }
    void grant_place(request& r) noexcept {
        ledger_.grant_place();
        r.granted = this;
    }

    // "A -> B -> A", where this is A; the names only of endpoints that are there for certain.
    std::string way_back(const call_chain& chain) const {
        std::string way = name_;
        if (chain.within(bus())) {
            bool in_it = false;
            for (const call_chain::link& l : chain) {
                if (in_it) way.append(" -> ").append(l.at->name());
                in_it = in_it || l.at == this;
            }
        } else {
            way += " -> ...";  // by way of another bus
        }
        return way.append(" -> ").append(name_);
    }

    // Of a call, to tell how many are ahead of it.
    static void number(envelope& e, std::uint64_t ticket) noexcept {
        if (e.call()) e.call()->ticket = ticket;
    }
    bool reserve(envelope& e) noexcept {
        const std::uint64_t ticket = accept_if_room(is_read_here());
        if (ticket != 0) number(e, ticket);
        return ticket != 0;
    }
    // What keeps those in the queue: the first handler that waits for somebody, or the first.
    void look_ahead(whereabouts& w, time_point now) noexcept {
        constexpr std::size_t most = 64;
        w.handler.one_of_many = lane_number(1) != nullptr;
        for (std::size_t i = 0; i != most && w.handler.reply_from.empty(); ++i) {
            const lane* const l = lane_number(i);
            if (!l) break;
            if (l->busy() && (!w.handler.known || l->awaits())) l->tell(w, now);
        }
    }
    // What is left to be done for those who were admitted, once the room's lock is free.
    struct after_admission {
        work *wake = nullptr, **last_to_wake = &wake;
        letter* shut_out = nullptr;
        letter* over = nullptr;

        void wakes(frame& f) noexcept {
            f.next = nullptr;
            *last_to_wake = &f;
            last_to_wake = &f.next;
        }
        static void add(letter*& list, envelope& e) noexcept {
            e.next = detail::exchange(list, &e);
        }
        static envelope* take(letter*& list) noexcept {
            letter* const l = list;
            if (l) list = l->next;
            return static_cast<envelope*>(l);
        }
    };
    POSTHASTE_NOINLINE void call_in() noexcept {
        after_admission after;
        std::uint64_t ticket = 0;
        room_.call_in([&] { return (ticket = ledger_.accept_if_room()) != 0; },
                      [&](envelope& e) {
                          number(e, ticket);
                          admit(e, after);
                      });
        while (after.wake) {
            frame& f = static_cast<frame&>(*after.wake);
            after.wake = f.next;
            f.wake();
        }
        while (envelope* const e = after.take(after.shut_out)) give_up(*e, code::closed);
        while (envelope* const e = after.take(after.over)) e->destroy();
    }
    // From the waiting room into the queue. A caller that has gone meanwhile is left out.
    void admit(envelope& e, after_admission& after) noexcept {
        request& r = *e.call();
        if (r.only_room) return admit_for(r, e, after);
        if (r.cell.how() != ending::open) {
            forget_ticket();
            if (r.cell.handler_leaves()) after.add(after.over, e);
        } else if (!enqueue(e)) {
            forget_ticket();
            after.add(after.shut_out, e);
        }
    }
    void admit_for(request& r, envelope& e, after_admission& after) noexcept {
        frame* const sender = r.caller;
        envelope* const message = r.message;
        if (!message) grant_place(r);
        bool last = false;
        const auto verdict = r.cell.settle_and_leave(ending::replied, last);
        if (message && !verdict.won) {
            forget_ticket();
        } else if (message && !enqueue(*message)) {
            // It was shut just now; the sender has its word: a dead letter.
            ledger_.drop();
            after.add(after.shut_out, *message);
        }
        if (verdict.won && verdict.waiting) after.wakes(*sender);
        if (last) after.add(after.over, e);  // nobody came for it: a place is given back
    }
    void forget_ticket() noexcept {
        ledger_.not_accepted();
        ledger_.refuse();
    }

    // One line, with what virtual calls need: all messages pass here, and hardly anybody writes.
    executor& home_;
    struct {
        mailbox* box = nullptr;
        work* reader = nullptr;
        bool put(envelope& e, executor& at, bool here) const noexcept {
            const auto done = here ? box->put_here(e) : box->put(e);
            if (done == mailbox::put_result::claimed) at.post(*reader);
            return done != mailbox::put_result::refused;
        }
    } straight_;  // see put_straight(), go_straight()
    const handler::entry* const table_;
    detail::owned<handler> handler_;  // the lanes', until the bus is gone
    detail::owned<redeliveries> again_;  // nullptr: a message is delivered once
    const when_full full_;
    const bool watched_;
    const bool ends_at_home_;
    bool kept_ = false;  // by keeper_
    bool taken_straight_from_ = false;  // from straight_.box, by go_straight()
    bool read_one_by_one_ = false;  // the same, and nobody waits for room; see put_here()
    bool answers_unclaimed_ = false;  // by one lane, at a home of one thread at a time
    const detail::asymmetric_fence fence_;  // for those
    std::atomic<bool> discarding_ = false;

    const std::size_t table_size_;
    const std::string name_;
    dead_letters& dead_;
    endpoint_keeper* keeper_ = nullptr;
    waiting_room room_;

    // (5), seq_cst: who drops the message it brings says so, then looks whether this is closed; who
    //     closes it does so, then looks whether somebody drops. One of the two sees the other. Who
    //     takes the oldest does so under a lock, as rests() looks: that is seen after it.
    // (6) releases that a message was given up to whoever finds this idle, who acquires it.
    // (7) A lane is taken unclaimed where no other work can run: it says so in its own word, and
    //     then looks whether the mailbox is free; who shuts that does so, and then looks at the
    //     lane. One of the two sees the other. Who puts a letter meanwhile claims the mailbox, and
    //     the lane reads on later; should it come while the answer's handler drives its home, or a
    //     request for which it was claimed, it is posted again when the lane is done.
    // (8) releases what was done there to whoever finds the lane at rest, and may destroy it.
    // relaxed: names need no order. discarding_: whoever misses it is asked to stop.
    // (1) to (4), further down, are a lane's: see lane.hpp.
    std::atomic<std::uint32_t> dropping_ = 0;  // how many are, who have no lane
    std::atomic<bool> closed_ = false;  // relaxed, mostly: enqueue() finds out for certain
    [[no_unique_address]] ledger ledger_;  // what follows begins in its last line
    std::atomic<std::uint64_t> named_ = 0;
};

namespace detail {
/// Why a message that was sent is refused.
inline failure no_memory_at(std::string_view where) noexcept {
    return failure_at(where, code::overloaded, effect::none, "no memory for the message");
}
inline failure not_admitted(std::string_view where, endpoint_core::admission a) noexcept {
    if (a == endpoint_core::admission::closed) return failure_at(where, code::closed);
    return failure_at(where, code::overloaded, effect::none, "the queue is full");
}
}  // namespace detail

inline result<void> endpoint_core::take_again(envelope& e) noexcept {
    const admission done = put(e, false);
    if (done == admission::accepted) return {};
    return detail::not_admitted(name_, done);
}

inline lane::lane(endpoint_core& endpoint, std::uint32_t slot) noexcept
    : of(endpoint), context_(endpoint.home(), never, stop_.token()), number_(slot) {
    context_.lane_ = this, context_.slot_ = slot;
    run = begin_to_read;
}

inline void lane::begin_to_read(work& w) noexcept {
    lane& self = static_cast<lane&>(w);
    if (!self.is_taken_below(w)) self.read_on();
}

// By an answer on this very stack, unclaimed, within whose handler `w` was posted.
inline bool lane::is_taken_below(work& w) noexcept {
    if (!busy()) return false;
    called_by_ = &w;
    current_.store(deaf | called, std::memory_order_relaxed);
    return true;
}

POSTHASTE_ALWAYS_INLINE void lane::be_done() noexcept {
    const bool was_called = current_.load(std::memory_order_relaxed) & called;
    current_.store(0, std::memory_order_release);  // (8)
    if (was_called) of.home().post(*called_by_);  // the mailbox is claimed: all of this stays
}
inline bool lane::rests() const noexcept {
    return current_.load(std::memory_order_acquire) == 0;  // (8)
}

inline void lane::go_with(request& first, executor& at) noexcept {
    first.where = this;
    first.run = [](work& w) noexcept {
        request& r = static_cast<request&>(w);
        lane& self = *r.where;
        if (self.is_taken_below(w)) return;
        self.of.taken_straight();
        self.read_on(&static_cast<called_envelope&>(r));
    };
    at.post(first);
}

inline void lane::read_on(envelope* first) noexcept {
    time_point since = detail::exchange(goes_on_later_, false) ? of.home().now() : never;
    int turns = most_turns;
    for (int budget = 64;;) {  // then others of the executor have their turn
        envelope* const e = first ? detail::exchange(first, nullptr) : of.next_for(*this);
        const bool several = e && e->how->each && !e->is_tracked;
        if (several) {
            if (!e->how->each(*of.handler_, *this, *e, budget)) return;
        } else if (e) {
            if (!handle(*e)) return;  // its end will go on from here
            --budget;
        }
        if (e && !several && budget > 0) continue;
        if (budget <= 0 && since != never && --turns != 0 && has_been_quick(since)) {
            budget = 64;
            continue;
        }
        const endpoint_core::resting held(of);  // nothing is there, or the turn is over
        if (of.release_by(*this)) return;
        if (budget <= 0) {
            goes_on_later_ = of.full_ == when_full::wait;
            return of.home().post(*this);
        }
    }
}

inline bool lane::has_been_quick(time_point& since) const noexcept {
    const time_point now = of.home().now();
    return now - detail::exchange(since, now) < quick_turn;
}

inline bool lane::handle(envelope& e) noexcept {
    if (of.discarding()) {
        count(tally_.discarded);
        of.give_up(e, code::closed);
        return true;
    }
    const bool asked = of.asked(e);
    take_up(e, asked ? e.call()->deadline : never);
    context_.id_ = identify(asked ? &e.call()->id : e.is_tracked ? &e.tracked()->id : nullptr);
    if (asked && !begin(e, *e.call())) return true;
    return e.how->start(*of.handler_, *this) && (!to_repeat_ || goes_on());
}

// As handle() for each, but what none of those handlers can see is done once.
template <typename M, typename F, typename Answer>
POSTHASTE_ALWAYS_INLINE bool lane::hand_each(envelope& first, int& budget, F f,
                                             Answer answer) noexcept {
    using one = detail::sent<M>;
    const handler_entry* const how = first.how;
    const auto is_a_call = [](const envelope& e) {
        if constexpr (std::is_const_v<M>) return false;
        else return e.kind == &detail::kind_of<detail::called<M>>;
    };
    const auto nothing_is_known = [this] {
        began_.store(unknown, std::memory_order_relaxed);
        awaited_.store(nullptr, std::memory_order_relaxed);
    };
    int left = budget;
    nothing_is_known();
    for (envelope* e = &first;;) {
        const bool plain = e->how == how && !of.discarding();
        if (plain && is_a_call(*e)) {
            if constexpr (!std::is_const_v<M>)
                hand_over(*static_cast<detail::called<M>*>(e), answer);
            nothing_is_known();
        } else if (!plain || e->kind != &one::its_kind()) {
            if (!handle(*e)) return budget = left, false;
            nothing_is_known();
        } else {
            envelope_ = e;
            current_.store(reinterpret_cast<std::uintptr_t>(e) | deaf, std::memory_order_relaxed);
            if (f(static_cast<one*>(e)->value())) {
                current_.store(0, std::memory_order_relaxed);
                count(tally_.handled);
                one::its_kind().destroy(*e);
            }
        }
        if (--left <= 0 || !(e = of.next_for(*this))) return budget = left, true;
    }
}

// One of those, for which somebody waits.
template <typename Called, typename Answer>
POSTHASTE_NOINLINE void lane::hand_over(Called& e, Answer& answer) noexcept {
    envelope_ = &e;
    current_.store(reinterpret_cast<std::uintptr_t>(static_cast<envelope*>(&e)) | deaf,
                   std::memory_order_relaxed);
    if (!begin(e, e)) return;
    failure* const why = answer(e);
    current_.store(0, std::memory_order_relaxed);
    if (why) name(*why);
    count(why ? tally_.failed : tally_.handled);
    of.reply(e, e);
}

// After the end of a handler. False: the lane waits until a message is to be delivered again.
POSTHASTE_NOINLINE inline bool lane::goes_on() noexcept {
    envelope& e = *to_repeat_;
    of.wait_again();
    if (!of.again_->in_place(e)) {
        to_repeat_ = nullptr;
        of.set_aside(e);
        return true;
    }
    run = [](work& w) noexcept { static_cast<lane&>(w).deliver_again(); };
    of.again_->wait(*e.tracked(), *this);  // it may be at work elsewhere by now
    return false;
}

inline void lane::deliver_again() noexcept {
    run = begin_to_read;
    envelope& e = *detail::exchange(to_repeat_, nullptr);
    of.again_->leave(*e.tracked(), [] {});
    of.taken();
    if (handle(e)) read_on();
}

// Exact, unless `end` is far.
inline time_point lane::now_or_before(time_point end) const noexcept {
    const time_point coarse = of.home().coarse_now();
    return coarse + detail::coarse_clock::late < end ? coarse : of.home().now();
}

// False: it is over, and was not started.
inline bool lane::begin(envelope& e, request& r) noexcept {
    r.where = this;
    if (r.deadline != never || r.watch) {
        const time_point now = r.watch ? of.home().now() : now_or_before(r.deadline);
        if (r.deadline <= now) come_late(r);
        else if (r.watch && turned_down(e, r, now)) return false;
        r.begun_at = now;
        began_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    }
    if (r.cell.begin()) return true;
    not_begun(e, r);
    return false;
}

POSTHASTE_NOINLINE inline void lane::come_late(request& r) noexcept {
    frame& caller = *r.caller;
    const auto verdict = r.cut_short(ending::expired);
    if (verdict.won && verdict.waiting) caller.wake();
}

POSTHASTE_NOINLINE inline void lane::not_begun(envelope& e, request& r) noexcept {
    put_down(e);
    count(r.cell.how() == ending::expired ? tally_.expired : tally_.dropped);
    if (r.cell.handler_leaves()) e.destroy();
}

POSTHASTE_NOINLINE inline bool lane::turned_down(envelope& e, request& r, time_point now) noexcept {
    const duration later = r.watch->turn_down(now, now - r.asked_at);
    if (later <= duration::zero()) return false;
    put_down(e);
    count(tally_.dropped);
    failure f = detail::failure_at(of.name(), code::overloaded, effect::none,
                                   "it had waited too long in an overloaded queue");
    of.settle(e, std::move(f.retry_after(later)));
    return true;
}

inline void lane::prepare(envelope& e, request& r, time_point bound, duration allowance) noexcept {
    count(tally_.ran_inline);
    r.where = this;
    take_up(e, bound);
    if (allowance != forever) context_.due_ = &r.due, context_.allowance_ = allowance;
    context_.id_ = identify(&r.id);
}

// `kept`: where it is known by, if it may come again.
inline message_id lane::identify(message_id* kept) noexcept {
    if (kept && *kept) return *kept;
    const message_id given{number_ + std::uint64_t{1}, ++identified_};
    if (kept) *kept = given;
    return given;
}

inline bool lane::run_inline(envelope& e, caller_below& caller, failure*& why) noexcept {
    return e.how->begin(*of.handler_, *this, caller, why);
}

POSTHASTE_ALWAYS_INLINE void lane::end_inline(envelope& e, failure* why, bool gone) noexcept {
    if (gone) put_down(e);
    else current_.store(0, std::memory_order_relaxed);  // its caller has not asked: see current_
    if (!outbox_.empty()) why ? outbox_.drop() : outbox_.release();
    if (why) name(*why);
    count(why ? tally_.failed : tally_.handled);
    if (gone) of.reply_late(e, *e.call());
    if (!of.release_by(*this)) of.home().post(*this);
}

POSTHASTE_ALWAYS_INLINE void lane::answer(const handler_entry& how, void* message, void* answer,
                                          bus_keeper* failed) noexcept {
    count(tally_.ran_inline);
    began_.store(unknown, std::memory_order_relaxed);
    awaited_.store(nullptr, std::memory_order_relaxed);
    current_.store(deaf, std::memory_order_relaxed);  // busy, with what nobody can ask for
    failure* const why = how.at_once(*of.handler_, message, answer);
    if (why) {
        name(*why);
        if (failed) failed->keep();
    }
    count(why ? tally_.failed : tally_.handled);
    be_done();
}

inline void lane::take_up(envelope& e, time_point bound) noexcept {
    const bool hears = e.how->hears_stop;
    if (hears) stop_.reset();
    context_.deadline_ = bound;
    context_.due_ = nullptr;
    context_.attempt_ = e.attempt();
    envelope_ = &e;
    began_.store(unknown, std::memory_order_relaxed);
    awaited_.store(nullptr, std::memory_order_relaxed);
    current_.store(reinterpret_cast<std::uintptr_t>(&e) | (hears ? 0 : deaf),
                   std::memory_order_relaxed);
}

POSTHASTE_NOINLINE inline void lane::name(failure& why) const noexcept {
    if (why.effect() == effect::none) why.effect(effect::complete);  // it has run
    detail::add_to_path(why, of.name());
}

inline void lane::run_on(detail::promise_base& p, void (*finish)(lane&, bool) noexcept) noexcept {
    running_ = &p;
    finish_ = finish;
    p.place(of.home(), &context_);
}

inline void lane::ended_later(detail::promise_base& p) noexcept {
    lane& self = *static_cast<lane*>(p.owner());
    self.run = [](work& w) noexcept { static_cast<lane&>(w).resume_after_end(); };
    p.at->transfer(self);  // the frame is not destroyed within its own last step
}

inline bool lane::start(detail::promise_base& p, void (*finish)(lane&, bool) noexcept) noexcept {
    run_on(p, finish);
    if (!p.start(p.self, &lane::ended_later, this)) return false;
    finish_(*this, true);
    return true;
}

inline bool lane::start_below(std::coroutine_handle<> h, detail::promise_base& p,
                              void (*finish)(lane&, bool) noexcept, caller_below& caller) noexcept {
    run_on(p, finish);
    return p.start(h, &lane::ended_later, this, [&]() noexcept {
        if (caller.to_be_kept) caller.kept = caller.bus.lock();
    });
}

inline void lane::resume_after_end() noexcept {
    run = begin_to_read;
    finish_(*this, true);
    if (!to_repeat_ || goes_on()) read_on();
}

inline bool lane::abandon() noexcept {
    if (!busy()) return false;
    finish_(*this, false);
    of.home().post(*this);  // it reads on, to give up what is queued
    return true;
}

inline void lane::put_down(const envelope& e) noexcept {
    if (!e.how->hears_stop) return current_.store(0, std::memory_order_relaxed);
    const auto mine = reinterpret_cast<std::uintptr_t>(&e);
    auto seen = mine;
    while (!current_.compare_exchange_weak(seen, 0, std::memory_order_acquire,  // (2)
                                           std::memory_order_relaxed)) {
        if (seen != mine) std::this_thread::yield();  // somebody is asking it to stop just now
        seen = mine;
    }
}

inline void lane::answer_early() noexcept { of.reply_early(*envelope_); }

inline void lane::close_case(failure* failed, bool intact) noexcept {
    envelope& e = *envelope_;
    put_down(e);
    running_ = nullptr;
    if (!outbox_.empty()) failed ? outbox_.drop() : outbox_.release();
    if (failed) return close_failed(e, *failed, intact);
    count(tally_.handled);
    if (of.asked(e) && !e.call()->answered) of.reply(e, *e.call());
    else if (!e.call() || e.call()->cell.handler_leaves()) e.destroy();
}

POSTHASTE_NOINLINE inline void lane::close_failed(envelope& e, failure& why, bool intact) noexcept {
    name(why);
    if (of.again_ && !of.discarding() && of.again_->repeats(e, why)) {
        to_repeat_ = &e;
        return;
    }
    count(tally_.failed);
    if (!of.asked(e)) {
        if (e.is_tracked) e.tracked()->last.reset();  // the reason says it all
        of.bury(e, std::move(why), intact);
    } else if (!e.call()->answered) {
        e.call()->fail(std::move(why));
        of.reply(e, *e.call());
    } else if (e.call()->cell.handler_leaves()) {
        e.destroy();
    }
}

inline void lane::lead(call_chain& chain) noexcept {
    const envelope& e = *envelope_;
    const bool waited_for = of.asked(e) && !e.call()->answered;
    chain.follow(waited_for ? &e.call()->chain : nullptr, {this, &of}, of.bus());
}

inline bool lane::ends_before(const endpoint_core& e) const noexcept { return e.bus() == of.bus(); }
inline void lane::await(const endpoint_core& whom, time_point since) noexcept {
    awaited_since_.store(since.time_since_epoch().count(), std::memory_order_relaxed);
    awaited_.store(&whom, std::memory_order_release);  // (3)
}
inline void lane::await_no_more(const endpoint_core& whom) noexcept {
    if (awaited_.load(std::memory_order_relaxed) == &whom)
        awaited_.store(nullptr, std::memory_order_relaxed);
}
inline void lane::tell(whereabouts& w, time_point now) const noexcept {
    const auto past = [&](const std::atomic<duration::rep>& since) {
        const duration::rep then = since.load(std::memory_order_relaxed);
        return then == unknown ? forever
                               : std::max(now - time_point(duration(then)), duration::zero());
    };
    w.handler.known = true;
    w.handler.running = past(began_);
    if (const endpoint_core* const whom = awaited_.load(std::memory_order_acquire)) {  // (4)
        w.handler.waiting = past(awaited_since_);
        w.handler.reply_from = whom->name();
    }
}

inline void lane::cancel(const envelope* e) noexcept {
    std::uintptr_t seen = current_.load(std::memory_order_relaxed);
    do {
        if (seen == 0 || (seen & (cancelling | deaf))) return;
        if (e && seen != reinterpret_cast<std::uintptr_t>(e)) return;
    } while (!current_.compare_exchange_weak(seen, seen | cancelling, std::memory_order_relaxed));
    stop_.request_stop();
    std::uintptr_t mine = seen | cancelling;  // unless the handler has ended on top of its caller
    current_.compare_exchange_strong(mine, seen, std::memory_order_release,  // (1)
                                     std::memory_order_relaxed);
}

}  // namespace posthaste
