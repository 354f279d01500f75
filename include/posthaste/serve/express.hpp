// The way through all layers of a client in one piece.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/serve/policy.hpp>

#include <cstddef>
#include <memory>
#include <tuple>
#include <utility>

namespace posthaste::detail {

/// A layer that a call is in, and what it may take there, as it was at the entrance.
struct stage {
    duration until;  // from the beginning of the call
    extra_calls* extra;
    layer::slot slot;
};

/// What a layer says on the way in; a pause of nothing is none.
inline verdict on_the_way_in(verdict v) noexcept {
    if (v.what == verdict::kind::pass || v.what == verdict::kind::refuse) return v;
    v.what = v.after > duration::zero() ? verdict::kind::later : verdict::kind::pass;
    return v;
}

/// Nearly every call goes in and out with nothing that holds it up. Where the types of all layers
/// are known, that is one function inwards and one outwards, which cost half of what it costs to
/// ask one layer after the other; what else may happen a guarded_call does, step by step.
struct express_way {
    /// Inwards, as a call begins, as far as they let it pass. `inside`: past so many.
    verdict (*in)(const call_settings& by, passage& p, stage* s, std::size_t& inside) noexcept;
    /// Outwards through all, with a value. What the passage allows these layers do not ask then.
    void (*out)(const call_settings& by, passage& p, stage* s) noexcept;
};

template <typename... Layers>
struct express {
    static constexpr std::size_t count = sizeof...(Layers);

    template <std::size_t I>
    static auto& at(const call_settings& by) noexcept {
        return static_cast<std::tuple_element_t<I, std::tuple<Layers...>>&>(*by.layers[I]);
    }
    template <std::size_t I>
    static bool passes(const call_settings& by, passage& p, stage* s, verdict& v) noexcept {
        s[I].until = p.allowance;
        s[I].extra = p.extra;
        std::construct_at(&s[I].slot);
        v = on_the_way_in(at<I>(by).enter(p, s[I].slot));
        return v.what == verdict::kind::pass;
    }
    template <std::size_t I>
    static void leave(const call_settings& by, passage& p, stage* s) noexcept {
        if (at<I>(by).hears() == layer::outcomes::all) at<I>(by).leave(p, s[I].slot, nullptr);
    }
    static verdict in(const call_settings& by, passage& p, stage* s, std::size_t& inside) noexcept {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            verdict v;
            if (((inside = I, passes<I>(by, p, s, v)) && ...)) inside = count;
            return v;
        }(std::make_index_sequence<count>());
    }
    static void out(const call_settings& by, passage& p, stage* s) noexcept {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (leave<count - 1 - I>(by, p, s), ...);
        }(std::make_index_sequence<count>());
    }
    static constexpr express_way way{in, out};
};

/// The types of the layers that a policy adds, if it says so: by a specialisation, which holds for
/// exactly its own type.
template <typename... Layers>
struct known_layers {};
struct unknown_layers {};
template <typename P>
struct layers_of {
    using type = unknown_layers;
};
template <typename... As, typename... Bs>
known_layers<As..., Bs...> operator+(known_layers<As...>, known_layers<Bs...>);
template <typename... As>
unknown_layers operator+(known_layers<As...>, unknown_layers);
template <typename B>
unknown_layers operator+(unknown_layers, B);
template <typename... Ps>
struct layers_of<policies<Ps...>> {
    using type = decltype((known_layers<>() + ... + typename layers_of<Ps>::type()));
};

inline const express_way* way_through(unknown_layers) noexcept { return nullptr; }
template <typename... Layers>
const express_way* way_through(known_layers<Layers...>) noexcept {
    if constexpr (sizeof...(Layers) == 0) return nullptr;
    else return &express<Layers...>::way;
}

}  // namespace posthaste::detail
