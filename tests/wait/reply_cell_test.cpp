#include "../support/catch.hpp"

#include <posthaste/detail/exchange.hpp>
#include <posthaste/wait/reply_cell.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>

using namespace posthaste;

TEST_CASE("reply_cell: a handler begins unless the call has ended") {
    reply_cell open;
    CHECK(open.how() == ending::open);
    CHECK_FALSE(open.was_begun());
    CHECK(open.begin());
    CHECK(open.was_begun());

    for (const ending how : {ending::replied, ending::expired, ending::cancelled}) {
        reply_cell ended;
        CHECK(ended.settle(how).won);
        CHECK_FALSE(ended.begin());
        CHECK_FALSE(ended.was_begun());
        CHECK(ended.how() == how);
    }
}

TEST_CASE("reply_cell: begun alone is begun") {
    reply_cell cell;
    cell.begin_alone();
    CHECK(cell.was_begun());
    CHECK(cell.how() == ending::open);
    CHECK(cell.settle(ending::expired).begun);
}

TEST_CASE("reply_cell: the first ending wins, and stays") {
    constexpr std::array all{ending::replied, ending::expired, ending::cancelled};
    for (const ending first : all) {
        for (const ending second : all) {
            reply_cell cell;
            CHECK(cell.settle(first).won);
            CHECK_FALSE(cell.settle(second).won);
            CHECK(cell.how() == first);
        }
    }
}

TEST_CASE("reply_cell: whoever ends the call learns whether to wake the caller") {
    reply_cell waited_for;
    CHECK(waited_for.wait());
    const auto first = waited_for.settle(ending::replied);
    CHECK(first.won);
    CHECK(first.waiting);
    CHECK_FALSE(first.begun);
    const auto second = waited_for.settle(ending::expired);
    CHECK_FALSE(second.won);
    CHECK_FALSE(second.waiting);  // the one who won wakes it, nobody else

    reply_cell from_before;
    from_before.wait_alone();
    CHECK(from_before.settle(ending::replied).waiting);
    CHECK(from_before.wait());  // it is being woken

    reply_cell not_yet;
    CHECK_FALSE(not_yet.settle(ending::replied).waiting);
    CHECK_FALSE(not_yet.wait());  // so the caller must not suspend
    CHECK(not_yet.how() == ending::replied);
}

TEST_CASE("reply_cell: the verdict says whether the handler had begun, to the loser as well") {
    reply_cell cell;
    CHECK(cell.begin());
    CHECK(cell.settle(ending::cancelled).begun);
    CHECK(cell.settle(ending::replied).begun);
}

TEST_CASE("reply_cell: whoever leaves second destroys the envelope, exactly one does") {
    {
        reply_cell cell;
        CHECK_FALSE(cell.caller_leaves());
        CHECK(cell.handler_leaves());
    }
    {
        reply_cell cell;
        CHECK_FALSE(cell.handler_leaves());
        CHECK(cell.caller_leaves());
    }
}

TEST_CASE("reply_cell: a handler that wins leaves at once, and the caller is the last") {
    reply_cell cell;
    CHECK(cell.begin());
    bool last = true;
    CHECK(cell.settle_and_leave(ending::replied, last).won);
    CHECK_FALSE(last);
    CHECK(cell.how() == ending::replied);
    CHECK(cell.caller_leaves());
}

TEST_CASE("reply_cell: a handler that is late leaves after the caller, or before it") {
    {
        reply_cell cell;
        CHECK(cell.begin());
        CHECK(cell.settle(ending::expired).won);
        CHECK_FALSE(cell.caller_leaves());
        bool last = false;
        CHECK_FALSE(cell.settle_and_leave(ending::replied, last).won);
        CHECK(last);
    }
    {
        reply_cell cell;
        CHECK(cell.begin());
        CHECK(cell.settle(ending::expired).won);
        bool last = true;
        CHECK_FALSE(cell.settle_and_leave(ending::replied, last).won);
        CHECK_FALSE(last);
        CHECK(cell.how() == ending::expired);
        CHECK(cell.caller_leaves());
    }
}

TEST_CASE("reply_cell: who cuts it short has ended it before what the caller needs is kept") {
    reply_cell cell;
    CHECK(cell.begin());
    CHECK(cell.wait());
    const auto v = cell.cut_short(ending::expired);
    CHECK(v.won);
    CHECK(v.waiting);
    CHECK(v.begun);
    CHECK(cell.how() == ending::expired);
    CHECK_FALSE(cell.settle(ending::replied).won);
    CHECK_FALSE(cell.cut_short(ending::cancelled).won);
    cell.has_kept();
    CHECK(cell.how_in_the_end() == ending::expired);
    CHECK_FALSE(cell.handler_leaves());
    CHECK(cell.caller_leaves());
}

namespace {
long modified = 0;  // by what nobody can come between
template <typename T>
struct counting_atomic : std::atomic<T> {
    using std::atomic<T>::atomic;
    bool compare_exchange_weak(T& seen, T next, std::memory_order a, std::memory_order b) {
        return ++modified, std::atomic<T>::compare_exchange_weak(seen, next, a, b);
    }
    T fetch_or(T bits, std::memory_order a) {
        return ++modified, std::atomic<T>::fetch_or(bits, a);
    }
};
struct counting_atomics {
    template <typename T>
    using atomic = counting_atomic<T>;
};
}  // namespace

TEST_CASE("reply_cell: at home a call that is answered takes no read-modify-write") {
    using counted = basic_reply_cell<counting_atomics>;
    const auto ends = [](counted& cell) {
        bool last = true;
        CHECK(cell.wait());
        const auto v = cell.settle_and_leave(ending::replied, last);
        CHECK(v.won);
        CHECK(v.waiting);
        CHECK(v.begun);
        CHECK_FALSE(last);
        CHECK(cell.how_in_the_end() == ending::replied);
        CHECK(cell.caller_leaves());
        return detail::exchange(modified, 0);
    };
    for (const bool home : {true, false}) {
        counted queued, begun;
        queued.wait_alone(home);
        CHECK(queued.begin());
        CHECK(ends(queued) == (home ? 0 : 2));
        begun.begin_alone(home);
        CHECK(ends(begun) == (home ? 0 : 2));
    }
}

TEST_CASE("reply_cell: in every order of steps one ends the call and one leaves last") {
    const bool home = GENERATE(false, true);
    // Each letter is a step: b(egin) and r(eply) in this order, w(ait), (e)xpire, (c)ancel.
    // The caller leaves at the end, the handler with its reply, or with its refused begin.
    std::string order = "bcerw";
    int orders = 0;
    do {
        if (order.find('b') > order.find('r')) continue;
        ++orders;
        reply_cell cell;
        if (home) cell.wait_alone(true);
        int won = 0, woken = 0, last = 0;
        bool suspended = false, started = false;
        const auto count = [&](reply_cell::verdict v) {
            won += v.won;
            woken += v.won && v.waiting;
            CHECK(v.begun == started);
        };
        for (const char step : order) {
            bool handler_is_last = false;
            if (step == 'b') {
                started = cell.begin();
                if (!started) last += cell.handler_leaves();
            } else if (step == 'r' && started) {
                count(cell.settle_and_leave(ending::replied, handler_is_last));
                last += handler_is_last;
            } else if (step == 'w') {
                suspended = cell.wait();
            } else if (step == 'e') {
                count(cell.settle(ending::expired));
            } else if (step == 'c') {
                count(cell.settle(ending::cancelled));
            }
        }
        last += cell.caller_leaves();
        INFO(order);
        CHECK(won == 1);
        CHECK(woken == suspended);
        CHECK(last == 1);
        CHECK(cell.was_begun() == started);
    } while (std::next_permutation(order.begin(), order.end()));
    CHECK(orders == 60);
}
