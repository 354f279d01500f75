// What an endpoint needs to run under the explorer.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include "explorer_lock.hpp"

#define asymmetric_fence fence_by_system
#include <posthaste/detail/asymmetric_fence.hpp>
#undef asymmetric_fence
namespace posthaste::detail {
struct asymmetric_fence : testing::explore::asymmetric_fence {
    asymmetric_fence() noexcept = default;
    explicit asymmetric_fence(bool) noexcept {}
};
}  // namespace posthaste::detail

#include <posthaste/serve/endpoint_core.hpp>

#include <array>
#include <utility>

namespace posthaste::testing::explore {

/// An executor that runs what is posted at once, on the thread that posts it, or never.
class desk final : public executor {
public:
    explicit desk(bool runs) noexcept : runs_(runs) {}
    time_point now() const noexcept override { return {}; }
    void post(work& w) noexcept override {
        if (runs_) w.run(w);
    }
    void arm(timer&, time_point) noexcept override {}
    void disarm(timer&) noexcept override {}
    void drive(detail::flag&) override {}
    bool drive_while(bool (*)(void*), void*, time_point) override { return true; }
    void drive_ready() noexcept override {}
    bool idle_here() const noexcept override { return true; }

private:
    const bool runs_;
};

struct job {};

/// A call of a job; nobody destroys it.
struct asked final : called_envelope {
    asked() noexcept : called_envelope(kind) {}
    void fail(failure) noexcept override {}
    void succeed() noexcept override {}
    static constexpr envelope_kind kind{&detail::type_of<job>, [](envelope&) noexcept {}, true,
                                        false};
};

/// A job that was sent; nobody destroys it.
struct told final : envelope {
    told() noexcept : envelope(kind) {}
    static constexpr envelope_kind kind{&detail::type_of<job>, [](envelope&) noexcept {}, false,
                                        false};
};

/// Has `handle(lane&)` of a scenario's state called for each job.
template <typename State>
class handled_by final : public handler {
public:
    explicit handled_by(State& s) : handler(entries.data(), 1), state_(s) {}

private:
    State& state_;
    static constexpr std::array<entry, 1> entries{{{&detail::type_of<job>,
                                                    [](handler& h, lane& l) noexcept {
                                                        static_cast<handled_by&>(h).state_.handle(
                                                            l);
                                                        l.close_case(nullptr, true);
                                                        return true;
                                                    },
                                                    true}}};
};

}  // namespace posthaste::testing::explore
