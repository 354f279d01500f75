// A send that may wait for room.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/maybe.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/call.hpp>
#include <posthaste/serve/envelope.hpp>

#include <coroutine>
#include <optional>
#include <utility>

namespace posthaste {

namespace detail {

/// Stands in a waiting room for a message, which goes into the queue without it.
template <typename M>
struct room_request final : called_envelope {
    using content = M;
    std::optional<failure> refused;

    explicit room_request(envelope& m) noexcept : called_envelope(kind_of<room_request>) {
        only_room = true;
        message = &m;
    }
    ~room_request() {
        if (refused || cell.how() != ending::replied) message->destroy();
    }
    void fail(failure f) noexcept override { refused = std::move(f); }
    void succeed() noexcept override {}
};

}  // namespace detail

/// What client.send_when_room() gives: `co_await` it for a result<void>. Requires what call() does.
/// Where there is room, it costs what a send does.
template <typename M>
class [[nodiscard]] send_operation {
public:
    static constexpr bool keeps_home = true;
    send_operation(const address& to, detail::sent<M>* e, duration allowance) noexcept
        : to_(to), message_(e), allowance_(allowance) {}
    send_operation(send_operation&& not_yet) noexcept
        : to_(not_yet.to_),
          message_(detail::exchange(not_yet.message_, nullptr)),
          allowance_(not_yet.allowance_) {}
    POSTHASTE_ALWAYS_INLINE ~send_operation() {
        if (message_) message_->destroy();
    }

    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        if (put_at_once(h.promise())) return false;
        return ask_for_room(h.promise());
    }
    result<void> await_resume() noexcept {
        if (!site_) [[likely]]
            return {};
        return hear();
    }

private:
    // False also where it is to be refused: whoever asks for room finds out why.
    bool put_at_once(const frame& f) noexcept {
        const address::route route = to_.find(detail::type_of<M>);
        if (!message_ || !route.how || to_.shut() || f.under->stop_requested() ||
            allowance_ <= duration::zero() || f.under->over())
            return false;
        message_->how = route.how;
        if (!route.to->put_at_once(*message_)) return false;
        message_ = nullptr;
        return true;
    }
    POSTHASTE_NOINLINE bool ask_for_room(frame& f) noexcept {
        if (message_) request_ = detail::make_or_not<detail::room_request<M>>(*message_);
        if (request_) message_ = nullptr;
        site_.emplace(to_, request_, request_, allowance_);
        return site_->begin(f);
    }
    POSTHASTE_NOINLINE result<void> hear() noexcept {
        result<void> r;
        if (!site_->end()) r = site_->why();
        else if (request_->refused) r = *std::move(request_->refused);  // shut while it waited
        site_->leave();
        return r;
    }

    const address& to_;
    detail::sent<M>* message_;
    const duration allowance_;
    detail::room_request<M>* request_ = nullptr;
    detail::maybe<call_site> site_;  // none: it was put at once
};

}  // namespace posthaste
