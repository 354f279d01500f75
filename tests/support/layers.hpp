// Calls that go through one layer by hand.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/prove/simulation.hpp>
#include <posthaste/serve/policy.hpp>

#include <functional>
#include <string>
#include <utility>

namespace posthaste::testing {

/// The one layer of a policy.
template <policy P>
layer& layer_of(const P& p) {
    call_settings s{std::chrono::seconds(5)};
    p.apply(s);
    return *s.layers.at(0);  // the policy keeps it
}

/// What an engine does with a call, step by step.
class one_call {
public:
    one_call(home& at, layer& l, duration allowance = std::chrono::seconds(1))
        : p_(at, false), layer_(&l) {
        p_.allowance = allowance;
    }
    one_call(const one_call&) = delete;
    ~one_call() { abandon(); }

    verdict enter() {
        p_.read_clock();
        const verdict v = layer_->enter(p_, slot_);
        inside_ = v.what != verdict::kind::refuse;
        return v;
    }
    bool goes_in() { return enter().what == verdict::kind::pass; }
    bool is_inside() const { return inside_; }

    verdict succeed() { return leave(nullptr); }
    verdict fail(code c, effect e = effect::unknown) { return fail(failure(c, e)); }
    verdict fail(const failure& f) { return leave(&f); }
    void abandon() {
        if (std::exchange(inside_, false)) layer_->abandon(slot_);
    }

    const failure& refusal() { return p_.refusal(); }

private:
    verdict leave(const failure* why) {
        inside_ = false;
        p_.read_clock();
        return layer_->leave(p_, slot_, why);
    }

    passage p_;
    layer* layer_;
    layer::slot slot_;
    bool inside_ = false;
};

/// What a constructor says to bad input; "" if nothing.
inline std::string refusal_of(const std::function<void()>& construct) {
    try {
        construct();
    } catch (const failed& f) {
        if (f.why().code() != code::rejected || f.why().effect() != effect::none) return "oddly";
        return std::string(f.why().detail());
    }
    return "";
}

}  // namespace posthaste::testing
