// Learns from calls how many at a time are best.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/guard/in_range.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace posthaste {

/// By what a limit adapts.
enum class adapt : unsigned char {
    gradient,  ///< calls that take longer than they used to
    aimd,      ///< calls that are lost, as TCP does: one more, or a tenth less
};

/// The defaults are those of Netflix' concurrency-limits (Gradient2Limit, AIMDLimit) but for what
/// there fits networks alone. There a limit is 20 to 200, calls under 100 us do not count, and a
/// window is a second; here it may be 1, as for an endpoint that does one thing at a time, all
/// calls count, and a window is as long as the calls make it, 10 ms to 1 s.
struct adaptive_limit_options {
    adapt by = adapt::gradient;
    int initial = 20;         ///< least to most
    int least = 1;            ///< at least 1: some call must find out that all is well again
    int most = 1000;          ///< at least `least`
    double backoff = 0.9;     ///< what is left after calls were lost; above 0, below 1
    duration slow = forever;  ///< a call that takes longer counts as lost; more than zero
    double tolerance = 1.5;  ///< gradient: so many times as long as usual is all right; 1 to 100
    double smoothing = 0.2;  ///< gradient: how much of a step is made; above 0, at most 1
    int queue = 4;  ///< gradient: more calls than seem right are tried; 1 to 1000
    duration memory = std::chrono::minutes(10);  ///< gradient: to forget what is usual; > zero
};

namespace detail {

/// The limit, from samples: calls that ended with a value, and calls that were lost. It changes at
/// the end of a window of at least ten samples (fewer where some were lost), and of twice the time
/// of the quickest call, 10 ms to 1 s: so that what a thousand calls met at once changes it once,
/// not a thousand times.
///
/// Threads    one at a time.
class limit_finder {
public:
    explicit limit_finder(const adaptive_limit_options& o) : options_(o), limit_(o.initial) {
        in_range(o.least >= 1, "adaptive_limit: least must be at least 1");
        in_range(o.most >= o.least, "adaptive_limit: most must be at least `least`");
        in_range(o.initial >= o.least && o.initial <= o.most,
                 "adaptive_limit: initial must be between least and most");
        in_range(o.backoff > 0 && o.backoff < 1,
                 "adaptive_limit: backoff must be above 0 and below 1");
        in_range(o.slow > duration(0), "adaptive_limit: slow must be more than zero");
        in_range(o.tolerance >= 1 && o.tolerance <= 100,
                 "adaptive_limit: tolerance must be 1 to 100");
        in_range(o.smoothing > 0 && o.smoothing <= 1,
                 "adaptive_limit: smoothing must be above 0 and at most 1");
        in_range(o.queue >= 1 && o.queue <= 1000, "adaptive_limit: queue must be 1 to 1000");
        in_range(o.memory > duration(0), "adaptive_limit: memory must be more than zero");
    }

    std::size_t limit() const noexcept { return static_cast<std::size_t>(limit_); }

    /// A call ended with a value after `took`; `in_flight` as it began, itself included.
    void add(time_point now, duration took, std::size_t in_flight) noexcept {
        if (took > options_.slow) return lose(now, in_flight);
        took = std::max(took, duration(1));
        quickest_ = samples_++ == 0 ? took : std::min(quickest_, took);
        sum_ += static_cast<double>(took.count());
        close_window(now, in_flight);
    }
    void lose(time_point now, std::size_t in_flight) noexcept {
        ++lost_;
        close_window(now, in_flight);
    }

private:
    static constexpr int enough =
        10;  // samples for a window; windows for a first idea of what is usual

    void close_window(time_point now, std::size_t in_flight) noexcept {
        if (peak_ == 0) opened_ = now;
        peak_ = std::max(peak_, in_flight);
        const duration length = std::clamp<duration>(quickest_, std::chrono::milliseconds(5),
                                                     std::chrono::milliseconds(500)) *
                                2;
        if (now - opened_ < length || (samples_ < enough && lost_ == 0)) return;
        const double mean = samples_ == 0 ? 0 : sum_ / samples_;
        if (samples_ != 0 && options_.by == adapt::gradient) learn_usual(mean, now - opened_);
        const bool in_use = static_cast<double>(peak_) * 2 >= limit_;
        if (lost_ != 0) limit_ *= options_.backoff;
        else if (!in_use) {
        }  // nothing is known of what more calls would meet
        else if (options_.by == adapt::aimd)
            limit_ += 1;
        else follow_gradient(mean);
        limit_ = std::clamp(limit_, double(options_.least), double(options_.most));
        peak_ = 0;
        samples_ = lost_ = 0;
        sum_ = 0;
    }

    // It rises slowly, so that an overload does not become usual, and falls quickly.
    void learn_usual(double mean, duration window) noexcept {
        const double part = std::min(0.1, static_cast<double>(window.count()) /
                                              static_cast<double>(options_.memory.count()));
        if (windows_ < enough) ++windows_;
        usual_ += (mean - usual_) * (windows_ < enough ? std::max(part, 1.0 / windows_) : part);
        if (usual_ > 2 * mean) usual_ *= 0.95;
    }
    void follow_gradient(double mean) noexcept {
        const double gradient = std::clamp(options_.tolerance * usual_ / mean, 0.5, 1.0);
        const double aim = limit_ * gradient + options_.queue;
        limit_ += (aim - limit_) * options_.smoothing;
    }

    const adaptive_limit_options options_;
    double limit_;
    double usual_ = 0;  // nanoseconds a call takes when nothing is wrong
    int windows_ = 0;  // it was learned from; up to `enough`
    // This window.
    time_point opened_{};
    std::size_t peak_ = 0;  // in flight; 0: it has not begun
    int samples_ = 0, lost_ = 0;
    double sum_ = 0;
    duration quickest_{};  // of the last window that had one, until this has
};

}  // namespace detail
}  // namespace posthaste
