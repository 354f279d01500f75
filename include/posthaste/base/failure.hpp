// Why there is no value, and what may have happened.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/detail/exceptions.hpp>

#include <exception>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace posthaste {

/// What went wrong.
enum class code : unsigned char {
    deadline_exceeded,  ///< the time allowed is over
    cancelled,          ///< the caller, or whoever it works for, asked to stop
    rejected,           ///< refused on purpose, by a handler or a policy; or bad input
    overloaded,         ///< no room: a full queue, no memory
    circuit_open,       ///< a breaker keeps callers away for now
    no_handler,         ///< nobody has that name, or nobody there takes this message
    would_deadlock,     ///< it would wait for itself
    handler_failed,     ///< the handler threw, or returned a failure of its own
    no_reply,           ///< the handler ended without a reply
    closed,             ///< the bus, the endpoint or the queue takes no more
    unavailable,        ///< the other process cannot be reached
    undecodable,        ///< bytes that are no such message
};

/// Can the handler have run? Whoever thinks of trying again asks this first.
enum class effect : unsigned char {
    none,      ///< no: it was never started
    unknown,   ///< perhaps, in part or as a whole
    complete,  ///< yes, to its end; also what becomes of `none` in a failure a handler returns
};

constexpr std::string_view to_string(code c) noexcept {
    constexpr std::string_view words[] = {
        "deadline exceeded", "cancelled",  "rejected",       "overloaded",
        "circuit open",      "no handler", "would deadlock", "handler failed",
        "no reply",          "closed",     "unavailable",    "undecodable"};
    const auto which = static_cast<unsigned char>(c);
    return which < std::size(words) ? words[which] : "unknown";
}

constexpr std::string_view to_string(effect e) noexcept {
    constexpr std::string_view words[] = {"none", "unknown", "complete"};
    const auto which = static_cast<unsigned char>(e);
    return which < std::size(words) ? words[which] : "unknown";
}

namespace detail {
/// A text that lasts as long as the program, and so is not copied.
class literal {
public:
    consteval literal(const char* text) noexcept : text_(text) {}
    constexpr const char* text() const noexcept { return text_; }

private:
    const char* text_;
};
}  // namespace detail

/// The outcome that is not a value. Cheap to move; copies copy its texts.
class failure {
public:
    explicit failure(posthaste::code c, posthaste::effect e = posthaste::effect::none,
                     std::string detail = {}) noexcept
        : detail_(std::move(detail)), code_(c), effect_(e) {}
    /// The same with a literal for a detail, which takes no memory.
    static failure because(posthaste::code c, posthaste::effect e,
                           detail::literal detail) noexcept {
        failure f(c, e);
        f.text_ = detail.text();
        return f;
    }

    posthaste::code code() const noexcept { return code_; }
    posthaste::effect effect() const noexcept { return effect_; }

    /// One line for a person: the code in words, the endpoints on the way, the detail.
    std::string message() const {
        std::string text(to_string(code_));
        if (!path_.empty()) text.append(" at ").append(path_);
        if (!detail().empty()) text.append(": ").append(detail());
        return text;
    }
    /// As long as this failure is not changed.
    std::string_view detail() const noexcept { return text_ ? text_ : std::string_view(detail_); }

    /// The endpoints the request came through: "checkout" or "checkout -> inventory".
    const std::string& path() const noexcept { return path_; }

    /// When asking again may help; zero: nobody knows.
    duration retry_after() const noexcept { return retry_after_; }

    /// What the handler threw; null if it did not throw.
    const std::exception_ptr& exception() const noexcept { return exception_; }

    failure& code(posthaste::code c) noexcept { return code_ = c, *this; }
    failure& effect(posthaste::effect e) noexcept { return effect_ = e, *this; }
    failure& retry_after(duration d) noexcept { return retry_after_ = d, *this; }
    failure& exception(std::exception_ptr e) noexcept { return exception_ = std::move(e), *this; }
    failure& detail(std::string d) noexcept {
        text_ = nullptr;
        return detail_ = std::move(d), *this;
    }
    failure& path(std::string p) noexcept { return path_ = std::move(p), *this; }
    /// Puts an endpoint before the path that is there.
    failure& through(std::string_view endpoint) {
        path_ = path_.empty() ? std::string(endpoint) : std::string(endpoint) + " -> " + path_;
        return *this;
    }

private:
    const char* text_ = nullptr;  // instead of detail_
    std::string detail_;
    std::string path_;
    std::exception_ptr exception_;
    duration retry_after_{};
    posthaste::code code_;
    posthaste::effect effect_;
};

/// What or_throw() throws where the failure holds no exception of its own.
class failed : public std::runtime_error {
public:
    explicit failed(failure f) : std::runtime_error(f.message()), why_(std::move(f)) {}
    const failure& why() const noexcept { return why_; }

private:
    failure why_;
};

}  // namespace posthaste
