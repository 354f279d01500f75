// The layer that copies of a policy share.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/serve/policy.hpp>

#include <memory>
#include <utility>

namespace posthaste::detail {

/// As a std::shared_ptr<Layer>, of which each policy would have what there is to instantiate for
/// itself, in every program that includes it.
template <typename Layer>
class shared_layer {
public:
    template <typename... Args>
    explicit shared_layer(std::in_place_t, Args&&... args)
        : at_(static_cast<layer*>(new Layer(std::forward<Args>(args)...))) {}

    Layer* operator->() const noexcept { return static_cast<Layer*>(at_.get()); }
    operator const std::shared_ptr<layer>&() const noexcept { return at_; }

private:
    std::shared_ptr<layer> at_;
};

}  // namespace posthaste::detail
