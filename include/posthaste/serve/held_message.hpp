// A message that waits for its sender's success.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/outbox.hpp>
#include <posthaste/serve/schedule.hpp>
#include <posthaste/serve/scheduled.hpp>

#include <memory>
#include <utility>

namespace posthaste::detail {

/// One that is to be sent at once then, into the place that it has in the queue.
template <typename M>
struct held_message final : sent<M>, held_effect {
    template <typename... Args>
    held_message(std::shared_ptr<const address> to, const address::route& where, Args&&... args)
        : sent<M>(std::forward<Args>(args)...), to_(std::move(to)), at_(*where.to) {
        this->kind = &kind_of<held_message>;
        this->how = where.how;
    }

    void release() noexcept override {
        const auto kept = std::move(to_);  // *this may be gone as soon as it is put
        if (kept->gone.load(std::memory_order_relaxed)) this->destroy();
        else at_.put_promised(*this);
    }
    void drop() noexcept override {
        const auto kept = std::move(to_);
        at_.break_promise();
        this->destroy();
    }

private:
    std::shared_ptr<const address> to_;
    endpoint_core& at_;
};

/// One that is to wait for its time then.
class held_for_later final : public held_effect {
public:
    held_for_later(std::shared_ptr<const address> to, schedule::item& what) noexcept
        : to_(std::move(to)), what_(what) {}

    void release() noexcept override {
        if (to_->gone.load(std::memory_order_relaxed)) what_.drop();
        else to_->later->add(what_);
        end();
    }
    void drop() noexcept override {
        what_.drop();
        end();
    }

private:
    void end() noexcept {
        std::destroy_at(this);
        deallocate(this);
    }
    std::shared_ptr<const address> to_;
    schedule::item& what_;
};

/// Errors     closed; overloaded: full, or no memory.
template <typename M, typename... Args>
result<void> hold_message(outbox& out, const std::shared_ptr<const address>& to,
                          const address::route& where, Args&&... args) noexcept {
    const address& at = *to;  // what the message is built of may be all that keeps `to`
    auto* const e = make_or_not<held_message<M>>(to, where, std::forward<Args>(args)...);
    if (!e) return no_memory_at(at.name);
    const auto admission = where.to->promise_place(*e);
    if (admission == endpoint_core::admission::accepted) return out.hold(*e), result<void>();
    failure why = not_admitted(at.name, admission);
    e->destroy();
    return why;
}
/// Errors     overloaded: no memory.
template <typename M, typename... Args>
result<void> hold_until(outbox& out, std::shared_ptr<const address> to, const address::route& where,
                        time_point due, Args&&... args) noexcept {
    auto* const e =
        make_or_not<delayed<M>>(*to, where, due, duration::zero(), std::forward<Args>(args)...);
    auto* const held = e ? make_or_not<held_for_later>(to, *e) : nullptr;
    if (held) return out.hold(*held), result<void>();
    if (e) e->destroy();
    return no_memory_at(to->name);
}

}  // namespace posthaste::detail
