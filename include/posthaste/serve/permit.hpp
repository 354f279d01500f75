// A place in a queue, had before there is a message for it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/call.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/held_message.hpp>
#include <posthaste/serve/outbox.hpp>

#include <coroutine>
#include <cstdint>
#include <memory>
#include <utility>

namespace posthaste {

/// A place in the queue of an endpoint, from client.reserve(): what is sent into it finds room. It
/// gives itself back; then the next one who waits for room is let in.
///
///     auto place = co_await log.reserve();          // waits while the queue is full
///     if (!place) co_return place.error().message();
///     auto ok = place->send(make_line());           // only now is there anything to be sent
///
/// Requires   what its message is built of does not destroy it.
/// Threads    one at a time; any.
/// Cost       of reserve(): one recycled block, as of a send; none of a permit.
template <typename M>
class [[nodiscard]] permit {
public:
    permit(std::shared_ptr<const address> to, const address::route& where) noexcept
        : to_(std::move(to)), where_(where) {}
    permit(permit&& other) noexcept : to_(std::move(other.to_)), where_(other.where_) {}
    permit& operator=(permit other) noexcept {
        std::swap(to_, other.to_);
        std::swap(where_, other.where_);
        return *this;
    }
    ~permit() { release(); }

    /// Sends M{members...}, or an M, into the place, which is used up then.
    ///
    /// Errors     closed, where the endpoint was shut meanwhile; overloaded: no memory, and the
    ///            place is still there; rejected: there is no place (any more).
    template <typename... Args>
    result<void> send(Args&&... args) noexcept {
        if (!to_) return used_up();
        if (to_->gone.load(std::memory_order_relaxed)) return closed();
        envelope* const e = detail::make_or_not<detail::sent<M>>(std::forward<Args>(args)...);
        if (!e) return no_memory();
        e->how = where_.how;
        const auto admission = where_.to->put_in_place(*e);
        if (admission == endpoint_core::admission::overloaded) {
            e->destroy();
            return no_memory();
        }
        const std::shared_ptr<const address> to = std::move(to_);
        if (admission == endpoint_core::admission::accepted) return {};
        e->destroy();
        return detail::failure_at(to->name, code::closed);
    }

    /// Gives the place back; nothing, if it is used up.
    void release() noexcept {
        if (const auto to = detail::exchange(to_, nullptr)) where_.to->give_place_back();
    }
    /// It has a place still.
    explicit operator bool() const noexcept { return to_ != nullptr; }

private:
    friend class outbox;
    template <typename... Args>
    result<void> hold(outbox& out, Args&&... args) noexcept {
        if (!to_) return used_up();
        if (to_->shut()) return closed();
        auto* const e =
            detail::make_or_not<detail::held_message<M>>(to_, where_, std::forward<Args>(args)...);
        if (!e) return no_memory();
        const auto admission = where_.to->promise_that_place(*e);
        if (admission != endpoint_core::admission::accepted) {
            e->destroy();
            return admission == endpoint_core::admission::closed ? closed() : no_memory();
        }
        to_.reset();
        return out.hold(*e), result<void>();
    }
    static failure used_up() noexcept {
        return failure::because(code::rejected, effect::none, "the permit is used up");
    }
    failure closed() noexcept {
        failure why = detail::failure_at(to_->name, code::closed);
        release();
        return why;
    }
    failure no_memory() const noexcept {
        return detail::failure_at(to_->name, code::overloaded, effect::none,
                                  "no memory for the message");
    }

    std::shared_ptr<const address> to_;
    address::route where_;
};

namespace detail {

/// Stands in a waiting room for a place instead of a message.
template <typename M>
struct place_request final : called_envelope {
    using content = M;
    result<void> answer;

    place_request() noexcept : called_envelope(kind_of<place_request>) { only_room = true; }
    ~place_request() {
        if (granted) granted->give_place_back();  // nobody came for it
    }
    void fail(failure f) noexcept override { answer = std::move(f); }
    void succeed() noexcept override {}
};

}  // namespace detail

/// What client.reserve() gives: `co_await` it for a result<permit<M>>. Requires what call() does.
template <typename M>
class [[nodiscard]] reserve_operation {
public:
    static constexpr bool keeps_home = true;
    reserve_operation(const std::shared_ptr<const address>& to, detail::place_request<M>* e,
                      duration allowance) noexcept
        : to_(to), site_(*to, e, e, allowance), envelope_(e) {}

    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        return site_.begin(h.promise());
    }
    result<permit<M>> await_resume() noexcept {
        const bool ended = site_.end();
        result<permit<M>> r = !ended               ? result<permit<M>>(site_.why())
                              : !envelope_->answer ? std::move(envelope_->answer).error()
                                                   : take();
        site_.leave();
        return r;
    }

private:
    result<permit<M>> take() noexcept {
        endpoint_core* const at = detail::exchange(envelope_->granted, nullptr);
        return permit<M>(to_, address::route{at, envelope_->how});
    }

    std::shared_ptr<const address> to_;
    call_site site_;
    detail::place_request<M>* envelope_;
};

}  // namespace posthaste
