// A message under way.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/serve/message.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/reply_cell.hpp>

#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace posthaste {

class handler;
class lane;
struct request;

/// How a handler takes one type of message.
struct handler_entry {
    const detail::message_type* type;
    bool (*start)(handler&, lane&) noexcept;  ///< true: it has ended
    bool suspends;                            ///< it is a coroutine
    bool hears_stop;  ///< it can know that a stop was requested, while it runs
};

/// What queues carry: the message and what is needed to handle it. Lives in recycled memory.
struct envelope : letter {
    const detail::message_type* type;
    void (*destroy)(envelope&) noexcept;
    void* message = nullptr;  ///< the M
    request* call = nullptr;  ///< the same envelope, if somebody waits for its end
    const handler_entry* how = nullptr;
    unsigned attempt = 1;
    bool waits_for_room = false;  ///< stands in a waiting_room, under its lock

    envelope(const detail::message_type& t, void (*d)(envelope&) noexcept) noexcept
        : type(&t), destroy(d) {}
    envelope(const envelope&) = delete;

    template <typename M>
    M& as() noexcept {
        return *static_cast<M*>(message);
    }
};

/// The part of an envelope that its caller and its handler share.
struct request {
    reply_cell cell;
    frame* caller = nullptr;
    lane* where = nullptr;        ///< who handles it, once it was begun
    time_point deadline = never;  ///< of the caller, for those who find it in a queue, or late
    bool only_room = false;       ///< a send that waits for room: it ends when it is accepted

    /// Stores how it ended, for the caller. Only by the handler's side, before it settles.
    virtual void fail(failure f) noexcept = 0;
    virtual void succeed() noexcept = 0;  ///< for a message without a reply

protected:
    ~request() = default;
};

namespace detail {

/// A failure there, and why; without `where`, if there is no memory for that.
inline failure failure_at(std::string_view where, code c, effect e = effect::none,
                          literal why = "") noexcept {
    failure f = failure::because(c, e, why);
    guarded([&] { f.path(std::string(where)); }, [](const std::exception_ptr&) {});
    return f;
}
/// Puts `where` before its path, if there is memory for that.
inline failure& add_to_path(failure& f, std::string_view where) noexcept {
    guarded([&] { f.through(where); }, [](const std::exception_ptr&) {});
    return f;
}

template <typename Envelope, typename... Args>
Envelope* make_envelope(Args&&... args) {
    static_assert(alignof(Envelope) <= alignof(std::max_align_t),
                  "a message must not be over-aligned; hold what is in a std::unique_ptr");
    void* memory = allocate(sizeof(Envelope));
    if (!memory) return nullptr;
    return guarded([&] { return ::new (memory) Envelope(std::forward<Args>(args)...); },
                   [&](const std::exception_ptr& e) -> Envelope* {
                       deallocate(memory);
                       rethrow(e);
                   });
}

/// Builds an M from its members, as M{...} would.
template <typename M>
struct boxed {
    M value;
    template <typename... Args>
    explicit boxed(std::in_place_t, Args&&... args) : value{std::forward<Args>(args)...} {}
    template <typename Given>
        requires std::same_as<std::remove_cvref_t<Given>, M>
    explicit boxed(std::in_place_t, Given&& given) : value(std::forward<Given>(given)) {}
};

template <typename M>
struct sent final : envelope {
    boxed<M> box;

    template <typename... Args>
    explicit sent(Args&&... args)
        : envelope(type_of<M>,
                   [](envelope& e) noexcept {
                       sent* const self = static_cast<sent*>(&e);
                       std::destroy_at(self);
                       deallocate(self);
                   }),
          box(std::in_place, std::forward<Args>(args)...) {
        message = &box.value;
    }
};

template <typename M>
struct called final : envelope, request {
    using reply = reply_t<M>;
    boxed<M> box;
    std::optional<result<reply>> answer;  ///< the handler's side's, until it settles

    template <typename... Args>
    explicit called(Args&&... args)
        : envelope(type_of<M>,
                   [](envelope& e) noexcept {
                       called* const self = static_cast<called*>(&e);
                       std::destroy_at(self);
                       deallocate(self);
                   }),
          box(std::in_place, std::forward<Args>(args)...) {
        message = &box.value;
        call = this;
    }
    void fail(failure f) noexcept override { answer.emplace(std::move(f)); }
    void succeed() noexcept override {
        if constexpr (std::is_void_v<reply>) answer.emplace();
    }
};

}  // namespace detail

}  // namespace posthaste
