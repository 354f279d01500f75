// A message under way.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/base/message_id.hpp>
#include <posthaste/base/result.hpp>
#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/serve/bus_keeper.hpp>
#include <posthaste/serve/call_chain.hpp>
#include <posthaste/serve/message.hpp>
#include <posthaste/serve/queue_watch.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/reply_cell.hpp>
#include <posthaste/wait/timer.hpp>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace posthaste {

class endpoint_core;
class handler;
class lane;
class redeliveries;
struct caller_below;
struct envelope;
struct request;

/// How a handler takes one type of message.
struct handler_entry {
    const detail::message_type* type;
    bool (*start)(handler&, lane&) noexcept;  ///< true: it has ended
    bool hears_stop;  ///< it can know that a stop was requested, while it runs
    /// Of a handler that takes nothing but the message, and is no coroutine: has it handle the one
    /// at `message`, makes the result<reply> at `answer`, gives the failure in that, or nullptr.
    failure* (*at_once)(handler&, void* message, void* answer) noexcept = nullptr;
    /// In place of start(), if nobody waits for the end, of a handler that takes nothing but the
    /// message, and is no coroutine: handles this one and those behind it, by lane::hand_each().
    bool (*each)(handler&, lane&, envelope& first, int& budget) noexcept = nullptr;
    /// As start(), for a caller who takes the answer out of the envelope if it has ended: its case
    /// is still open then, and `why` says why it has failed. nullptr: nobody waits for its end.
    bool (*begin)(handler&, lane&, caller_below&, failure*& why) noexcept = nullptr;
};

/// What there is to know of all envelopes of one shape.
struct envelope_kind {
    const detail::message_type* type;
    void (*destroy)(envelope&) noexcept;
    bool called;  ///< somebody waits for its end: it has a `request`
    bool shared;  ///< the message is one that many share: as<const M>()
};

namespace detail {

/// What is known of a message that may be delivered again. It goes with its envelope, so that to
/// wait takes no memory that might be missing then.
struct tracking : handler_entry, work, timer {
    envelope& of;
    message_id id;  ///< from when it was first handled
    unsigned attempt = 1;
    time_point since;  ///< when it was first accepted
    std::optional<failure> last;  ///< what its handler said the last time
    duration delay{};  ///< before the next attempt
    endpoint_core* at = nullptr;  ///< if it waits without its lane

    /// nullptr: no memory.
    static tracking* make(envelope& e, const handler_entry& how, time_point since) noexcept {
        void* const memory = allocate(sizeof(tracking));
        return memory ? ::new (memory) tracking(e, how, since) : nullptr;
    }
    POSTHASTE_NOINLINE void end() noexcept {
        std::destroy_at(this);
        deallocate(this);
    }
    void note(failure why) noexcept { last.emplace(std::move(why)); }

private:
    friend class posthaste::redeliveries;
    tracking(envelope& e, const handler_entry& how, time_point accepted) noexcept
        : handler_entry(how),
          timer([](timer& t) noexcept { static_cast<tracking&>(t).go_on(); }),
          of(e),
          since(accepted) {}
    void go_on() noexcept {
        if (!going_on.exchange(true, std::memory_order_relaxed)) home->post(*then);
    }

    posthaste::home* home = nullptr;
    work* then = nullptr;  // what goes on with it
    tracking *earlier = nullptr, *later = nullptr;  // of those that wait
    std::atomic<bool> going_on = false;  // relaxed: it decides who posts, which hands it over
};

}  // namespace detail

/// What queues carry: the message and what is needed to handle it. Lives in recycled memory, and
/// is small: what goes from one processor's cache to another's is what a message costs.
struct envelope : letter {
    bool is_tracked = false;  ///< `how` begins a detail::tracking; here is room behind a letter
    std::uint8_t place = 0;  ///< in a block of several
    const envelope_kind* kind;
    const handler_entry* how = nullptr;

    explicit envelope(const envelope_kind& k) noexcept : kind(&k) {}
    envelope(const envelope&) = delete;
    ~envelope() {
        if (is_tracked) tracked()->end();
    }

    /// nullptr: it is delivered once.
    detail::tracking* tracked() const noexcept {
        return is_tracked ? static_cast<detail::tracking*>(const_cast<handler_entry*>(how))
                          : nullptr;
    }
    /// Requires   `how` is known. False: no memory.
    POSTHASTE_NOINLINE bool track(time_point since) noexcept {
        detail::tracking* const t = detail::tracking::make(*this, *how, since);
        if (t) how = t, is_tracked = true;
        return t;
    }
    unsigned attempt() const noexcept { return is_tracked ? tracked()->attempt : 1; }
    const detail::message_type& type() const noexcept { return *kind->type; }
    void destroy() noexcept { kind->destroy(*this); }
    request* call() noexcept;  ///< nullptr if nobody waits for its end
    const request* call() const noexcept { return const_cast<envelope*>(this)->call(); }
    /// The message. A const M is one that many share.
    template <typename M>
    M& as() noexcept;
};

/// The part of an envelope that its caller and its handler share. Work, where it is posted itself.
struct request : work {
    /// May its handler run on its caller's thread?
    enum class at_once : unsigned char { allowed, unless_held_back, barred };

    // What begins alike stands together, so that it is written at once.
    reply_cell cell;
    bool only_room = false;  ///< it waits for room, for itself or for `message`, and ends then
    at_once handled_at_once = at_once::allowed;
    bool waits_for_room = false;  ///< stands in a waiting_room, under its lock
    bool answered = false;  ///< before the handler's end, which adds nothing; the handler's
    detail::due_time due;  ///< of a call that was begun before anyone read the clock
    time_point deadline = never;  ///< of the caller, for those who find it in a queue, or late
    time_point asked_at = never;  ///< when it was put; `never`: nobody read the clock, as below
    time_point begun_at = never;  ///< when it left the queue
    frame* caller = nullptr;
    bus_keeper* keeper = nullptr;  ///< the caller's, who needs it only if it is cut short
    union {
        lane* where = nullptr;  ///< who handles it, once it was begun
        letter* before;  ///< who stands before it, while it waits for room
    };
    message_id id;  ///< given to it, or by the lane that handles it, before it begins
    std::uint64_t ticket = 0;  ///< the how-manieth its endpoint accepted into its queue; 0: none
    envelope* message =
        nullptr;  ///< with only_room: its own until it is accepted; or it is put later
    endpoint_core* granted = nullptr;  ///< whose place it has, until somebody comes for it
    std::shared_ptr<queue_watch> watch;  ///< asked before it is queued, and before it is begun
    call_chain chain;  ///< whose handlers wait for this; set before it is put

    /// Stores how it ended, for the caller. Only by the handler's side, before it settles.
    virtual void fail(failure f) noexcept = 0;
    virtual void succeed() noexcept = 0;  ///< for a message without a reply

    /// Ends it, unless it has ended, for those who have no answer. The caller will ask why: so the
    /// bus is kept, which is there until the handler's side has left this.
    reply_cell::verdict cut_short(ending how) noexcept {
        const auto verdict = cell.cut_short(how);
        if (!verdict.won) return verdict;
        if (keeper) keeper->keep();
        cell.has_kept();
        return verdict;
    }

protected:
    ~request() = default;
};

struct called_envelope : envelope, request {
    using envelope::envelope;

protected:
    ~called_envelope() = default;
};

inline request* envelope::call() noexcept {
    return kind->called ? static_cast<called_envelope*>(this) : nullptr;
}

namespace detail {

/// A failure there, and why; without `where`, if there is no memory for that.
inline failure failure_at(std::string_view where, code c, effect e = effect::none,
                          literal why = "") noexcept {
    failure f = failure::because(c, e, why);
    guarded([&] { f.path(std::string(where)); }, [](const std::exception_ptr&) {});
    return f;
}
/// Puts `where` before its path, if there is memory for that.
inline failure& add_to_path(failure& f, std::string_view where) noexcept {
    guarded([&] { f.through(where); }, [](const std::exception_ptr&) {});
    return f;
}

template <typename Envelope, typename... Args>
Envelope* make_envelope(Args&&... args) {
    static_assert(alignof(Envelope) <= alignof(std::max_align_t),
                  "a message must not be over-aligned; hold what is in a std::unique_ptr");
    void* memory = allocate(sizeof(Envelope));
    if (!memory) return nullptr;
    return guarded([&] { return ::new (memory) Envelope(std::forward<Args>(args)...); },
                   [&](const std::exception_ptr& e) -> Envelope* {
                       deallocate(memory);
                       rethrow(e);
                   });
}

/// nullptr: no memory, or what it is made of threw.
template <typename T, typename... Args>
T* make_or_not(Args&&... args) noexcept {
    return guarded([&] { return make_envelope<T>(std::forward<Args>(args)...); },
                   [](const std::exception_ptr&) -> T* { return nullptr; });
}

/// Builds an M from its members, as M{...} would.
template <typename M>
struct boxed {
    M value;
    template <typename... Args>
    explicit boxed(std::in_place_t, Args&&... args) : value{std::forward<Args>(args)...} {}
    template <typename Given>
        requires std::same_as<std::remove_cvref_t<Given>, M>
    explicit boxed(std::in_place_t, Given&& given) : value(std::forward<Given>(given)) {}
};

template <typename Envelope>
inline constexpr envelope_kind kind_of{&type_of<typename Envelope::content>,
                                       [](envelope& e) noexcept {
                                           Envelope* const self = static_cast<Envelope*>(&e);
                                           std::destroy_at(self);
                                           deallocate(self, sizeof(Envelope));
                                       },
                                       std::derived_from<Envelope, request>, false};

template <typename M>
struct sent : envelope {
    using content = M;
    boxed<M> box;

    template <typename... Args>
    explicit sent(Args&&... args)
        : envelope(kind_of<sent>), box(std::in_place, std::forward<Args>(args)...) {}
    /// Of those that are nothing else besides.
    static constexpr const envelope_kind& its_kind() noexcept { return kind_of<sent>; }
    M& value() noexcept { return box.value; }
};

template <typename M>
struct called final : called_envelope {
    using content = M;
    using reply = reply_t<M>;
    boxed<M> box;
    std::optional<result<reply>> answer;  ///< the handler's side's, until it settles

    template <typename... Args>
    explicit called(Args&&... args)
        : called_envelope(kind_of<called>), box(std::in_place, std::forward<Args>(args)...) {}
    void fail(failure f) noexcept override { answer.emplace(std::move(f)); }
    void succeed() noexcept override {
        if constexpr (std::is_void_v<reply>) answer.emplace();
    }
};

}  // namespace detail

template <typename M>
M& envelope::as() noexcept {
    if constexpr (std::is_const_v<M>) return static_cast<detail::sent<M>*>(this)->value();
    else
        return kind->called ? static_cast<detail::called<M>*>(this)->box.value
                            : static_cast<detail::sent<M>*>(this)->box.value;
}

}  // namespace posthaste
