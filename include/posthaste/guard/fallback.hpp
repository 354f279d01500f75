// A value where there would be a failure.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/shared_as.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/policy.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

namespace posthaste {
namespace detail {

/// What a fallback made of `F` gives: the type of `F`, or of what it returns.
template <typename F>
struct substitute {
    using type = F;
};
template <std::invocable<const failure&> F>
struct substitute<F> {
    using returned = std::remove_cvref_t<std::invoke_result_t<const F&, const failure&>>;
    template <typename T>
    struct inner {
        using type = T;
    };
    template <typename T>
    struct inner<result<T>> {
        using type = T;
    };
    using type = typename inner<returned>::type;
};

/// A fallback at work.
template <typename F>
class substitution final : public layer {
    using reply = typename substitute<F>::type;

public:
    explicit substitution(F from) : layer(outcomes::failures), from_(std::move(from)) {}

    verdict enter(passage&, slot&) noexcept override { return {}; }
    verdict leave(passage&, slot&, const failure* why) noexcept override {
        if (!why || why->code() == code::cancelled) return {};
        return {verdict::kind::supply};
    }
    void supply(const void* type, const failure& why, void* into) noexcept override {
        if (type != &reply_key<reply>) return;  // of another message of the client
        auto& r = *static_cast<result<reply>*>(into);
        guarded([&] { r = make(why); },
                [](const std::exception_ptr&) {});  // then it stays as it is
    }

private:
    result<reply> make(const failure& why) const {
        if constexpr (!std::invocable<const F&, const failure&>) {
            return from_;
        } else if constexpr (std::is_void_v<std::invoke_result_t<const F&, const failure&>>) {
            std::invoke(from_, why);
            return {};
        } else {
            return std::invoke(from_, why);
        }
    }

    const F from_;
};

}  // namespace detail

/// What a call gives where it fails: a value, or what a function makes of the failure.
///
///     auto stock = bus.client<check>("inventory", fallback(0) | deadline(300ms));
///     auto price = bus.client<price_of>("prices", fallback([](const failure&) -> result<long> {
///         return last_price;   // or a failure, which is the call's then
///     }));
///
/// It gives the very type of the message's reply; to a message of the client that has another one
/// it gives nothing. A call that is cancelled has none either. What stands inside of it, as a
/// breaker, sees the failures.
///
/// Requires   the function may be called by several threads at once.
/// Errors     where the function, or a copy of the value, throws, the call's failure stays.
/// Threads    any, several at once.
/// Cost       none without a failure.
template <typename F>
class fallback {
public:
    template <typename Reply>
    static constexpr bool supplies = std::same_as<Reply, typename detail::substitute<F>::type>;

    explicit fallback(F from) : core_(std::in_place, std::move(from)) {}

    void apply(call_settings& s) const { s.layers.push_back(core_); }

private:
    detail::shared_as<layer, detail::substitution<F>> core_;
};

template <typename F>
struct detail::layers_of<fallback<F>> {
    using type = known_layers<substitution<F>>;
};

}  // namespace posthaste
