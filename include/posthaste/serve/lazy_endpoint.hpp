// An endpoint that is made when its first message comes.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/endpoint_core.hpp>
#include <posthaste/serve/handler.hpp>
#include <posthaste/serve/make_endpoint.hpp>
#include <posthaste/serve/mode.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace posthaste {

/// What an endpoint is made of.
class endpoint_plan {
public:
    virtual ~endpoint_plan() = default;

    /// Once. Throws bad_alloc: then nothing has changed. Runs no code of the user's.
    virtual detail::owned<endpoint_core> carry_out(std::string_view name) = 0;
    /// How the first of its messages is handled.
    virtual const handler_entry& only() const noexcept = 0;
};

namespace detail {

/// An endpoint of that mode; for the messages Ms, if it must know them.
template <typename Mode, typename... Ms>
class plan_of final : public endpoint_plan {
public:
    plan_of(executor& at, dead_letters& dead, owned<handler> h, const Mode& mode)
        : home_(at), dead_(dead), handler_(std::move(h)), mode_(mode) {}

    owned<endpoint_core> carry_out(std::string_view name) override {
        // The handler comes last: where there is no memory for the rest it is still here.
        auto made = make(std::string(name),
                         make_owned<handler>(handler_->entries(), handler_->entry_count()));
        made->take_over(std::move(handler_));
        return made;
    }
    const handler_entry& only() const noexcept override { return *handler_->entries(); }

private:
    owned<endpoint_core> make(std::string name, owned<handler> h) const {
        if constexpr (redelivers<Mode>) {
            auto made = make_endpoint<Ms...>(std::move(name), home_, dead_, std::move(h),
                                             mode_.mode(), true);
            made->deliver_at_least_once(mode_.how());
            return made;
        } else {
            return make_endpoint<Ms...>(std::move(name), home_, dead_, std::move(h), mode_);
        }
    }

    executor& home_;
    dead_letters& dead_;
    owned<handler> handler_;
    const Mode mode_;
};

/// An endpoint that was made at once.
class carried_out final : public endpoint_plan {
public:
    explicit carried_out(owned<endpoint_core> made) noexcept : made_(std::move(made)) {}
    owned<endpoint_core> carry_out(std::string_view) noexcept override { return std::move(made_); }
    const handler_entry& only() const noexcept override { return made_->only(); }

private:
    owned<endpoint_core> made_;
};

/// Made at once where the mode is more than bytes: to copy it may run code of the user's, as that
/// of a function that gives a message's key.
template <typename Mode, typename... Ms>
owned<endpoint_plan> make_plan(std::string_view name, executor& at, dead_letters& dead,
                               owned<handler> h, const Mode& mode) {
    if constexpr (for_any_messages<Mode>) {
        return owned<endpoint_plan>(new plan_of<Mode>(at, dead, std::move(h), mode));
    } else if constexpr (std::is_trivially_copyable_v<Mode>) {
        return owned<endpoint_plan>(new plan_of<Mode, Ms...>(at, dead, std::move(h), mode));
    } else {
        plan_of<Mode, Ms...> plan(at, dead, std::move(h), mode);
        return owned<endpoint_plan>(new carried_out(plan.carry_out(name)));
    }
}

}  // namespace detail

/// A place for an endpoint. Until somebody needs the endpoint there is only the plan of it, which
/// is a tenth of its size: many endpoints and subscribers wait for messages that never come. So to
/// make it may fail where a message is put, for want of memory: then the message is refused.
///
/// Threads    any.
class lazy_endpoint {
public:
    lazy_endpoint() = default;
    explicit lazy_endpoint(detail::owned<endpoint_plan> p) noexcept : plan_(std::move(p)) {}
    lazy_endpoint(const lazy_endpoint&) = delete;
    ~lazy_endpoint() {
        disown_letters();
        delete made_.load(std::memory_order_relaxed);
    }

    /// From now on there is one, though it may not be made yet. False: there was one before.
    bool give(detail::owned<endpoint_plan>&& p) noexcept {
        const std::lock_guard guard(lock_);
        if (planned()) return false;
        plan_ = std::move(p);
        return true;
    }

    /// nullptr: it has not been needed yet.
    endpoint_core* made() const noexcept { return made_.load(std::memory_order_acquire); }  // (1)
    /// Makes it, if need be. `keeper`: whoever keeps it, if it may go before the bus does. nullptr:
    /// there is none; or no memory for it, which sets `no_memory`.
    POSTHASTE_NOINLINE endpoint_core* make(std::string_view name, endpoint_keeper* keeper = nullptr,
                                           bool* no_memory = nullptr) noexcept {
        const std::lock_guard guard(lock_);
        endpoint_core* const before = made_.load(std::memory_order_relaxed);
        if (before || !plan_) return before;
        detail::guarded(
            [&] {
                auto e = plan_->carry_out(name);
                if (keeper) e->kept_by(*keeper);
                if (closed_) e->close();
                if (discards_) e->discard();
                plan_.reset();
                made_.store(e.release(), std::memory_order_release);  // (1)
            },
            [&](const std::exception_ptr&) {
                if (no_memory) *no_memory = true;
            });
        return made_.load(std::memory_order_relaxed);
    }

    // --- what is asked of an endpoint, whether it is made or not ---

    void close() noexcept {
        if (endpoint_core* const e = made_or([this] { closed_ = true; })) e->close();
    }
    void discard() noexcept {
        if (endpoint_core* const e = made_or([this] { discards_ = true; })) e->discard();
    }
    void forget_handler() noexcept {
        detail::owned<endpoint_plan> gone;  // after the lock: the handler is the user's
        if (endpoint_core* const e = made_or([&] { gone = std::move(plan_); })) e->forget_handler();
    }
    bool rests() const noexcept {
        const endpoint_core* const e = made();
        return !e || e->rests();
    }
    /// Before it is destroyed. After this what keeps dead letters may be gone before it.
    void disown_letters() noexcept {
        endpoint_core* const e = made();
        if (e && !detail::exchange(disowned_, true)) e->disown_letters();
    }
    /// Apart from what this thread itself is giving up.
    bool idle() const noexcept {
        const endpoint_core* const e = made();
        return !e || e->idle(e->dropped_here());
    }
    std::uint64_t begun() const noexcept {
        endpoint_core* const e = made();
        return e ? e->begun() : 0;
    }
    /// `at_rest`: it is shut, and all has ended.
    account counts(bool at_rest = false) const {
        std::uint32_t refused = 0;
        endpoint_core* const e = made_or([&] { refused = refused_; });
        account a = !e ? account() : at_rest ? e->last_counts() : e->counts();
        a.refused += refused;
        return a;
    }
    /// A message that was refused before it was put.
    void count_refused() noexcept {
        const std::lock_guard guard(lock_);
        ++refused_;
    }

private:
    bool planned() const noexcept { return plan_ || made_.load(std::memory_order_relaxed); }
    template <typename F>
    endpoint_core* made_or(F f) const noexcept {
        const std::lock_guard guard(lock_);
        f();
        return made_.load(std::memory_order_relaxed);
    }

    // (1) releases an endpoint, as it was made, to those who find it, who acquire it.
    // relaxed: under lock_, which guards all below; or where nobody else is about.
    std::atomic<endpoint_core*> made_ = nullptr;
    detail::owned<endpoint_plan> plan_;
    mutable detail::spin_lock lock_;
    bool closed_ = false, discards_ = false;
    bool disowned_ = false;
    std::uint32_t refused_ = 0;  // here, the others by the endpoint
};

}  // namespace posthaste
