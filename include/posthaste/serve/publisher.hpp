// Typed access to a topic.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/failure.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/serve/bus_core.hpp>
#include <posthaste/serve/listeners.hpp>
#include <posthaste/serve/message.hpp>
#include <posthaste/serve/outbox.hpp>
#include <posthaste/serve/shared_message.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace posthaste {

/// What became of a published message. Nobody need listen.
struct published {
    std::uint32_t accepted = 0;  ///< subscribers that have it in their queue
    std::uint32_t refused = 0;  ///< whose queue was full, or for whom there was no memory
    std::optional<code> why_not{};  ///< nobody got it: closed, overloaded (no memory) or rejected
        ///< (no valid topic)
    const char* fault = "";  ///< what is wrong with the topic, where that is why

    /// Requires   nobody got it: it is false.
    failure error() const { return failure(*why_not, effect::none, fault); }
    explicit operator bool() const noexcept { return !why_not; }
};

/// Asks a publisher to keep the latest message of its topic for those who come later and ask for
/// it, by topics("...").latest(). It is kept until the bus ends.
struct keep_latest_t {};
inline constexpr keep_latest_t keep_latest{};

namespace detail {

/// Puts a block of as many copies into the queues of some.
template <typename M>
void put_each(bus_core& core, copies<M>& block, const listeners::one* to, std::uint32_t n,
              published& sum) noexcept {
    for (std::uint32_t i = 0; i != n; ++i, ++to) {  // after the last it may be gone
        sent<const M>& e = block.number(i, *to->how);
        if (to->to->put_at_once(e)) {
            ++sum.accepted;
            continue;
        }
        switch (to->to->put(e, false)) {
            case endpoint_core::admission::accepted: ++sum.accepted; continue;
            case endpoint_core::admission::closed:
                if (core.draining.load(std::memory_order_relaxed)) ++sum.refused;
                else to->to->forget_refusal();  // it has just unsubscribed
                break;
            default: ++sum.refused;
        }
        e.destroy();
    }
}

/// Puts it into the queue of each, and lets go of it.
template <typename M>
published deliver(bus_core& core, const listeners& to, shared_message<M>& m) noexcept {
    published sum;
    constexpr std::uint32_t most = copies<M>::most;
    const std::uint32_t blocks = (to.size() + most - 1) / most;
    const unsigned trail = blocks <= 4 ? 4 * blocks : std::min(blocks, 16u);
    std::uint32_t unused = blocks == 0;  // what the caller holds
    if (blocks > 1) m.hold(blocks - 1);
    for (const listeners::one* next = to.begin(); next != to.end();) {
        const std::uint32_t n = std::min(most, static_cast<std::uint32_t>(to.end() - next));
        if (copies<M>* const block = copies<M>::make(m, n, trail))
            put_each(core, *block, next, n, sum);
        else sum.refused += n, ++unused;
        next += n;
    }
    if (unused != 0) m.let_go(unused);
    if (sum.accepted + sum.refused == 0) core.topics.nobody_heard();
    return sum;
}

/// `hear(shared_message<M>&)` gives those who listen. Takes over a hold.
template <typename M, typename Hear>
published publish(bus_core& core, Hear hear, shared_message<M>* m) noexcept {
    if (!m) return {.why_not = code::overloaded};
    const listeners::reference& to = hear(*m);
    if (to) return deliver(core, *to, *m);
    m->let_go();
    return {.why_not = code::overloaded};
}

/// To those who listen: null if there was no memory to find that out. The message and its copies
/// are one block of memory, if that is not too big.
template <typename M, typename... Args>
published publish_to(bus_core& core, const listeners* to, Args&&... args) noexcept {
    if (!to) return {.why_not = code::overloaded};
    const std::uint32_t n = to->size();
    if (n == 0) return core.topics.nobody_heard(), published();
    const std::size_t room = copies<M>::room_for(n);
    auto* const m = shared_message<M>::make_with_room(room, std::forward<Args>(args)...);
    if (!m) return {.why_not = code::overloaded};
    if (room == 0) return deliver(core, *to, *m);
    published sum;
    put_each(core, *copies<M>::make_behind(*m, n, 4), to->begin(), n, sum);
    if (sum.accepted + sum.refused == 0) core.topics.nobody_heard();
    return sum;
}

/// What is to be published once its sender has succeeded. `To` knows its bus, `to.core()`, and who
/// listens, `to.hear(shared_message<M>&)`.
template <typename M, typename To>
class held_publication final : public held_effect {
public:
    held_publication(To to, shared_message<M>& m) noexcept : to_(std::move(to)), message_(&m) {}
    ~held_publication() {
        if (message_) message_->let_go();
    }

    void release() noexcept override {
        bus_core& core = to_.core();
        if (!core.gone.load(std::memory_order_relaxed)) {
            const auto hear = [this](shared_message<M>& m) { return to_.hear(m); };
            if (!publish(core, hear, detail::exchange(message_, nullptr)))
                core.topics.nobody_heard();  // no memory to find out who listens
        }
        drop();
    }
    void drop() noexcept override {
        std::destroy_at(this);
        deallocate(this);
    }

private:
    To to_;
    shared_message<M>* message_;
};

/// Errors     overloaded: no memory, or what the message or `To` is made of threw.
template <typename M, typename To, typename... Args>
result<void> hold_publication(outbox& out, To to, Args&&... args) noexcept {
    auto* const m = shared_message<M>::make(std::forward<Args>(args)...);
    auto* const held = m ? make_or_not<held_publication<M, To>>(std::move(to), *m) : nullptr;
    if (held) return out.hold(*held), result<void>();
    if (m) m->let_go();
    return failure::because(code::overloaded, effect::none, "no memory for the message");
}

}  // namespace detail

/// Publishes to one topic; from bus.publisher<M>(topic).
///
///     auto placed = bus.publisher<order_placed>("orders.placed");
///     placed.publish(7, "tea");   // builds order_placed{7, "tea"} in place, once
///
/// Threads    any; copies are cheap, and may outlive the bus: then they answer `closed`.
template <typename M>
class publisher {
    static_assert(detail::checked_message<M>());

public:
    const std::string& topic() const noexcept { return line_->topic; }

    /// Puts the message into the queue of each subscriber whose pattern the topic matches and whose
    /// message is M. Never waits, never throws. All share one message.
    ///
    /// Errors     `why_not`: closed, overloaded. A subscriber whose queue is full is counted as
    ///            refused, and is no error; so is nobody who listens.
    /// Ordering   what one coroutine or thread publishes reaches each serial or keyed subscriber in
    ///            that order, as far as it accepts it.
    /// Cost       a few nanoseconds for each subscriber; no operator new in the steady state. What
    ///            29 subscribers have in their queues of one message is one block of 960 bytes,
    ///            which lasts as long as the slowest of them needs it; of up to 28 it has the
    ///            message in it, if that is small.
    template <typename... Args>
    published publish(Args&&... args) const noexcept {
        static_assert(
            requires { M{std::forward<Args>(args)...}; },
            "these arguments make no message of this publisher; write the members as in "
            "M{...}, or pass an M");
        bus_core& core = *line_->core;
        if (core.shut()) return {.why_not = code::closed};
        if (line_->latest) {
            const auto at = line_;  // what the message is built of may destroy this
            return detail::publish<M>(
                core, [&](shared_message<M>& m) { return at->hear(m); },
                shared_message<M>::make(std::forward<Args>(args)...));
        }
        const listeners::reference to = core.topics.hear(*line_);
        return detail::publish_to<M>(core, to.get(), std::forward<Args>(args)...);
    }

private:
    friend class bus;
    friend class outbox;
    struct line : topic_line {
        line(std::shared_ptr<bus_core> c, std::string_view name, bool keeps) : core(std::move(c)) {
            type = &detail::type_of<M>;
            topic = name;
            if (keeps) latest = &core->topics.place_for_latest(*type, topic);
            core->topics.join(*this);
        }
        ~line() { core->topics.leave(*this); }
        listeners::reference hear(shared_message<M>& m) noexcept {
            return latest ? core->topics.hear_and_keep(*this, *latest, m)
                          : core->topics.hear(*this);
        }
        const std::shared_ptr<bus_core> core;
        kept_message* latest = nullptr;
    };
    publisher(std::shared_ptr<bus_core> core, std::string_view topic, bool keeps)
        : line_(std::make_shared<line>(std::move(core), topic, keeps)) {}

    struct held_line {
        std::shared_ptr<line> at;
        bus_core& core() const noexcept { return *at->core; }
        listeners::reference hear(shared_message<M>& m) const noexcept { return at->hear(m); }
    };
    template <typename... Args>
    result<void> hold(outbox& out, Args&&... args) const noexcept {
        static_assert(
            requires { M{std::forward<Args>(args)...}; },
            "these arguments make no message of this publisher; write the members as in "
            "M{...}, or pass an M");
        if (line_->core->shut()) return detail::failure_at(topic(), code::closed);
        return detail::hold_publication<M>(out, held_line{line_}, std::forward<Args>(args)...);
    }

    std::shared_ptr<line> line_;
};

}  // namespace posthaste
