// A user's callable, and the message that it shares with others.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/serve/handler.hpp>
#include <posthaste/serve/shared_message.hpp>
#include <posthaste/serve/switchboard.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

namespace posthaste::detail {

template <typename H, typename E>
consteval bool checked_subscriber() {
    static_assert(checked_message<E>());
    constexpr bool takes_it = takes<H, const E>;
    constexpr bool takes_its_own = takes<H, E>;
    static_assert(takes_it || !takes_its_own || std::copy_constructible<E>,
                  "many share this message, and it cannot be copied; write [](const E& e)");
    static_assert(
        takes_it || !(takes_its_own && std::copy_constructible<E>),
        "many share this message, so none may change it; write [](const E& e), or [](E e) "
        "for a copy");
    static_assert(takes_it || takes_its_own,
                  "the handler does not take this message; write [](const E& e), with or without a "
                  "second parameter context& or outbox&");
    if constexpr (takes_it) return checked_answer<H, const E>();
    else return false;
}

/// The handler for the callable H and the shared message E.
template <typename H, typename E>
class subscriber_handler final : public handler {
    static_assert(checked_subscriber<H, E>());

public:
    explicit subscriber_handler(H h) : handler(entries.data(), entries.size()), h_(std::move(h)) {}

private:
    using handling_it = handling<H, const E>;
    H h_;
    static bool each(handler& self, lane& l, envelope& first, int& budget) noexcept {
        return handling_it::each(static_cast<subscriber_handler&>(self).h_, l, first, budget);
    }
    static constexpr std::array<handler::entry, 1> entries{
        {{&type_of<E>,
          [](handler& self, lane& l) noexcept {
              return handling_it::start(static_cast<subscriber_handler&>(self).h_, l);
          },
          handling_it::hears_stop, nullptr, handling_it::hears_stop ? nullptr : &each}}};
};

/// Puts the latest messages of its topics into its queue, as far as there is room and memory.
template <typename E>
void hear_latest(switchboard& board, subscriber& s) noexcept {
    std::size_t heard = 0;
    board.for_each_latest<E>(s.pattern(), [&](shared_message<E>& m) {
        endpoint_core* const to = s.needed();
        const bool room = to && heard != to->capacity();
        copies<E>* const block = room ? copies<E>::make(m, 1) : nullptr;
        if (!block) return s.endpoint().count_refused();
        ++heard;
        m.hold();
        sent<const E>& e = block->number(0, s.how());
        if (to->put(e, false) != endpoint_core::admission::accepted) e.destroy();
    });
}

}  // namespace posthaste::detail
