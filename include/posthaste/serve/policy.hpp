// What a client puts between a caller and its call.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/base/failure.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/make_shared.hpp>
#include <posthaste/serve/queue_watch.hpp>
#include <posthaste/wait/context.hpp>
#include <posthaste/wait/home.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace posthaste {

class hedger;
class passage;
namespace detail {
struct crossing;
}

/// What a layer says as a call goes in, or as it comes out with a failure or a value.
struct verdict {
    enum class kind : unsigned char {
        pass,    ///< go on: inwards on the way in, outwards on the way out
        later,   ///< the same, after `after`; only on the way in
        refuse,  ///< not inwards: passage::refusal() says why; only on the way in
        again,   ///< inwards once more, after `after`; only on the way out, of a failure
        supply,  ///< supply() gives a value instead of the failure; only on the way out
    };
    kind what = kind::pass;
    duration after{};
};

/// One policy of a client at work: a call goes in through all layers, outermost first, and comes
/// out through those it went into, innermost first. Copies of a policy share one layer, so its
/// state is used by many calls, on many threads, at once.
///
/// Threads    any, several at once.
class layer {
public:
    /// What one call carries through one layer; enter() may set it. 16 bytes, no destructor.
    struct slot {
        std::uint64_t a = 0, b = 0;
    };

    /// Which of them leave() is told: one that has nothing to do for a value saves a call.
    enum class outcomes : unsigned char { all, failures };

    explicit layer(outcomes o = outcomes::all) noexcept : hears_(o) {}
    layer(const layer&) = delete;
    virtual ~layer() = default;

    outcomes hears() const noexcept { return hears_; }

    /// A call goes in. After `pass` and `later` it comes out again, by leave() or abandon(): once,
    /// and once more for each time that leave() says `again`; with a value, only if it hears() of
    /// them. After `later` it waits no longer than until the deadline, and fails.
    virtual verdict enter(passage& p, slot& s) noexcept = 0;
    /// It comes out. `why`: how it failed; nullptr: with a value.
    virtual verdict leave(passage& p, slot& s, const failure* why) noexcept = 0;
    /// It will not come out: its caller's frame was destroyed; or `again` was forbidden by the
    /// deadline or a stop, and it goes on outwards. Gives back what it holds.
    virtual void abandon(slot&) noexcept {}
    /// Puts a value into `*into`, a result<T> that holds `why`, if `type` is &detail::reply_key<T>.
    virtual void supply(const void* /*type*/, const failure& /*why*/, void* /*into*/) noexcept {}

private:
    const outcomes hears_;
};

namespace detail {
struct express_way;
}

/// How a client calls: filled by its policies, outermost first, when it is made.
struct call_settings {
    duration deadline;  ///< for each call as a whole; the caller's own may be nearer
    std::vector<std::shared_ptr<layer>> layers = {};
    bool repeats = false;  ///< a layer may say `again`
    std::shared_ptr<queue_watch> watch = {};  ///< nullptr: nobody minds how old the queue grows
    std::shared_ptr<hedger> hedge = {};  ///< makes several requests of one call
    std::size_t hedged_from = 0;  ///< layers from here on are those of each of these
    std::shared_ptr<const call_settings> inner = {};  ///< by which they go; nullptr: there are none
    const detail::express_way* express = nullptr;  ///< through all layers; nullptr: step by step
    bool own_deadline = false;  ///< `deadline` is a policy's, and no longer the bus's
};
inline constexpr std::size_t max_layers = 12;  ///< of one client

/// A value that changes how a client calls; see guard/. What repeats calls says so by a member
/// `static constexpr bool repeats = true`: then messages must be copyable. What holds a hedge says
/// so, too: `static constexpr bool hedges = true`, beside `repeats`.
template <typename P>
concept policy =
    std::copy_constructible<P> && requires(const P& p, call_settings& s) { p.apply(s); };

namespace detail {
/// Its address stands for a type of reply.
template <typename T>
inline constexpr char reply_key = 0;

template <typename P>
inline constexpr bool repeats = false;
template <typename P>
    requires requires {
        { &P::repeats } -> std::convertible_to<const bool*>;  // static
    }
inline constexpr bool repeats<P> = P::repeats;

template <typename P>
inline constexpr bool hedges = false;
template <typename P>
    requires requires {
        { &P::hedges } -> std::convertible_to<const bool*>;  // static
    }
inline constexpr bool hedges<P> = P::hedges;
}  // namespace detail

/// Several policies as one, outermost first; written `a | b | c`.
template <policy... Ps>
class policies {
public:
    static constexpr bool repeats = (detail::repeats<Ps> || ...);  ///< one of them does
    static constexpr bool hedges = (detail::hedges<Ps> || ...);  ///< one of them does
    /// One does that stands inside of one that hedges.
    static constexpr bool repeats_within_hedge = [](bool within, bool found) {
        ((found = found || (within && detail::repeats<Ps>), within = within || detail::hedges<Ps>),
         ...);
        return found;
    }(false, false);
    explicit policies(std::tuple<Ps...> ps) : ps_(std::move(ps)) {}
    void apply(call_settings& s) const {
        std::apply([&](const Ps&... p) { (p.apply(s), ...); }, ps_);
    }
    const std::tuple<Ps...>& parts() const noexcept { return ps_; }

private:
    std::tuple<Ps...> ps_;
};

namespace detail {
/// What a policy supplies must be a reply of one of the messages; it says so by a member
/// `template <typename Reply> static constexpr bool supplies`.
template <typename P, typename... Replies>
inline constexpr bool fits = true;
template <typename P, typename... Replies>
    requires requires { P::template supplies<void>; }
inline constexpr bool fits<P, Replies...> = (P::template supplies<Replies> || ...);
template <typename... Ps, typename... Replies>
inline constexpr bool fits<policies<Ps...>, Replies...> = (fits<Ps, Replies...> && ...);

template <typename P>
inline constexpr bool repeats_within_hedge = false;
template <typename... Ps>
inline constexpr bool repeats_within_hedge<policies<Ps...>> = policies<Ps...>::repeats_within_hedge;

/// Those of a client that hedges in two: outside, and for each request.
inline call_settings parted(call_settings all) {
    if (!all.hedge) return all;
    call_settings inner{forever};
    for (std::size_t i = all.hedged_from; i != all.layers.size(); ++i)
        inner.layers.push_back(all.layers[i]);
    while (all.layers.size() != all.hedged_from) all.layers.pop_back();
    inner.watch = all.watch;
    if (!inner.layers.empty() || inner.watch)
        all.inner = detail::make_shared<const call_settings>(std::move(inner));
    return all;
}

template <typename P>
std::tuple<P> parts_of(const P& p) {
    return std::tuple<P>(p);
}
template <typename... Ps>
std::tuple<Ps...> parts_of(const policies<Ps...>& p) {
    return p.parts();
}
template <typename... Ps>
policies<Ps...> as_policies(std::tuple<Ps...> ps) {
    return policies<Ps...>(std::move(ps));
}
}  // namespace detail

/// `deadline(300ms) | retry() | breaker()`: first the outermost.
template <policy A, policy B>
auto operator|(const A& outer, const B& inner) {
    return detail::as_policies(std::tuple_cat(detail::parts_of(outer), detail::parts_of(inner)));
}

/// Who decides whether there may be one call more than were asked for; see guard/budget.hpp.
class extra_calls {
public:
    /// True: one more, which is counted now. Threads: any.
    virtual bool take(passage& p) noexcept = 0;

protected:
    ~extra_calls() = default;
};

/// One call on its way through its client's layers, as they see it.
///
/// Threads    one at a time: whoever moves the call on.
class passage {
public:
    passage(home& at, bool idempotent) noexcept : passage(at, nullptr, forever, idempotent) {}
    /// What is called works under `under`, and may take so long.
    passage(home& at, const context* under, duration allowed, bool idempotent) noexcept
        : allowance(std::max(allowed, duration::zero())),
          at_(&at),
          under_(under),
          began_(at.coarse_now()),
          coarse_(began_),
          idempotent_(idempotent) {}
    passage& operator=(const passage&) = delete;

    home& at() const noexcept { return *at_; }
    /// Exact, and tens of nanoseconds.
    time_point now() const noexcept { return at_->now(); }
    /// Milliseconds late at most, and as good as free: as of the last read_clock(). So a handler
    /// that ran at once, and well, has taken no time by it.
    time_point coarse_now() const noexcept { return coarse_; }
    /// Whoever moves the call on does so when it has stood still, or failed.
    void read_clock() noexcept { coarse_ = at_->coarse_now(); }
    std::uint64_t random() const noexcept { return at_->random(); }

    /// The message says that it does no harm to handle it twice:
    /// `static constexpr bool idempotent = true`.
    bool idempotent() const noexcept { return idempotent_; }
    /// The caller gives up.
    bool stopped() const noexcept { return under_ && under_->stop_requested(); }

    /// What is inside may take so long, as far as policies say; enter() may make it less. As the
    /// call comes out it is again what it was, less the time that has passed if there was a pause.
    duration allowance = forever;
    /// How long what is inside may take, the caller's own deadline included. Reads the clock.
    duration time_left() noexcept {
        const time_point t = now();
        duration left = allowance == forever ? forever : allowance - (since_begin(t) - passed_);
        const time_point bound = under_ ? under_->deadline() : never;
        if (bound != never) left = std::min<duration>(left, bound - t);
        return std::max(left, duration::zero());
    }

    /// Its time was over before it was made, so that how it ends tells nothing of the callee.
    bool over_before() const noexcept {
        return allowance <= duration::zero() || (under_ && under_->deadline() <= began_);
    }

    /// Whom to ask before there is one call more; nullptr: nobody. enter() may set it for those
    /// inside; as `allowance`.
    extra_calls* extra = nullptr;
    /// Why the call was refused, where enter() says `refuse`.
    failure& refusal() noexcept { return refusal_ ? *refusal_ : refusal_.emplace(code::rejected); }

private:
    friend class guarded_call;
    friend struct detail::crossing;
    passage(passage&&) = default;

    // How long it has taken at `t`; when first asked, by the coarse clock: to milliseconds.
    duration since_begin(time_point t) noexcept {
        if (!detail::exchange(exact_, true)) began_ = t - (at_->coarse_now() - began_);
        return t - began_;
    }

    home* at_;
    const context* under_;
    time_point began_;
    time_point coarse_;
    duration passed_{};  // of the time since then `allowance` knows so much
    std::optional<failure> refusal_;
    bool exact_ = false;
    bool idempotent_;
};

}  // namespace posthaste
