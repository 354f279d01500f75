// Where a call was when its caller gave it up.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace posthaste {

/// As far as it is known: looked up when a call has failed, and only then.
struct whereabouts {
    enum class place : unsigned char {
        room,     ///< waiting for room in a full queue
        queue,    ///< accepted, not begun
        handler,  ///< its handler was running
    };
    place at = place::queue;
    duration since = forever;  ///< how long it was there; `forever`: nobody read the clock
    /// How many were to leave the queue before it; less than 0: unknown. Up to 15 more than that
    /// where places are taken ahead, but not more than are in the queue beside it.
    std::int64_t ahead = -1;

    /// What the handler does that it waits for: its own, or that of one ahead.
    struct {
        bool known = false;
        bool one_of_many = false;
        duration running = forever;  ///< as `since`
        duration waiting = forever;  ///< as `since`
        std::string_view reply_from;  ///< "": for nobody that is known
    } handler;

    std::string text() const {
        switch (at) {
            case place::room: return "waiting for room" + lasting(since);
            case place::queue: return "queued" + lasting(since) + line() + front();
            case place::handler: break;
        }
        std::string words =
            since == forever ? "the handler was running" : "running" + lasting(since);
        if (!handler.reply_from.empty())
            words.append(", waiting for a reply from ").append(handler.reply_from);
        return words;
    }

private:
    static std::string lasting(duration d) {
        return d == forever ? std::string() : " for " + in_words(d);
    }
    // In whole units, four digits at most.
    static std::string in_words(duration d) {
        constexpr std::string_view units[] = {" ns", " us", " ms"};
        auto n = d.count();
        for (const std::string_view unit : units) {
            if (n < 10000 && (n == 0 || n % 1000 != 0)) return std::to_string(n).append(unit);
            n /= 1000;
        }
        return std::to_string(n).append(" s");
    }
    std::string line() const {
        if (ahead < 0) return {};
        return ahead == 0 ? ", none ahead" : ", " + std::to_string(ahead) + " ahead";
    }
    std::string front() const {
        if (!handler.known) return {};
        std::string words = handler.one_of_many ? "; one of its handlers" : "; its handler";
        const bool runs = handler.running != forever;
        if (runs) words.append(" has been running").append(lasting(handler.running));
        if (handler.reply_from.empty()) return runs ? words : words + " is running";
        if (runs) words += " and";
        if (runs || handler.waiting == forever)
            return words.append(" waits for a reply from ").append(handler.reply_from);
        return words.append(" has waited for a reply from ")
            .append(handler.reply_from)
            .append(lasting(handler.waiting));
    }
};

}  // namespace posthaste
