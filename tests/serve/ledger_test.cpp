#include <posthaste/serve/ledger.hpp>

#include "../support/catch.hpp"

#include <chrono>
#include <cstdint>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;

TEST_CASE("ledger: there is room for as many as its capacity, and for one more when one has left") {
    ledger l(2);
    CHECK(l.capacity() == 2);
    CHECK(l.accept_if_room() == 1);
    CHECK(l.accept_if_room() == 2);
    CHECK(l.accept_if_room() == 0);
    SECTION("to a lane") { l.to_lane(); }
    SECTION("to the only lane") { l.to_the_lane(); }
    SECTION("given up") { l.drop(); }
    SECTION("a place that was not needed") {
        l.grant_place();
        l.give_place_back();
    }
    SECTION("or was not accepted, after all") {
        l.not_accepted();
        CHECK(l.accept_if_room() == 2);
        CHECK(l.accept_if_room() == 0);
        return;
    }
    CHECK(l.gone() == 1);
    CHECK(l.accept_if_room() == 3);
    CHECK(l.accept_if_room() == 0);
}

TEST_CASE("ledger: what must be accepted is, and there is room again when so many have left") {
    ledger l(1);
    CHECK(l.accept() == 1);
    CHECK(l.accept() == 2);
    l.to_lane();
    CHECK(l.accept_if_room() == 0);
    l.to_lane();
    CHECK(l.accept_if_room() == 3);
}

TEST_CASE("ledger: without room none is accepted") { CHECK(ledger(0).accept_if_room() == 0); }

TEST_CASE("ledger: an account adds up at any time") {
    ledger l(8);
    ledger::lanes in_lanes;
    const auto account_now = [&] { return l.counts(in_lanes, 0); };
    for (int i = 0; i != 5; ++i) CHECK(l.accept_if_room() != 0);
    CHECK(account_now().accepted == 5);
    CHECK(account_now().left == 5);

    l.to_lane(), in_lanes.running = 1;
    CHECK(account_now().left == 5);
    in_lanes.running = 0, in_lanes.handled = 1;
    l.to_the_lane(), in_lanes.failed = 1;
    l.drop();
    in_lanes.ran_inline = 1, ++in_lanes.handled;
    const account a = account_now();
    CHECK(a.accepted == 6);
    CHECK(a.handled == 2);
    CHECK(a.failed == 1);
    CHECK(a.dropped == 1);
    CHECK(a.left == 2);
    CHECK(a.adds_up());
}

TEST_CASE("ledger: a place is in no account before it has a message") {
    ledger l(2);
    CHECK(l.accept_if_room() != 0);
    l.grant_place();
    CHECK(l.accept_if_room() != 0);
    l.grant_place();
    CHECK(l.counts({}, 0).accepted == 0);
    CHECK(l.counts({}, 0).left == 0);
    l.use_place();
    CHECK(l.counts({}, 0).accepted == 1);
    CHECK(l.counts({}, 0).left == 1);
    l.place_not_used();
    l.give_place_back();
    CHECK(l.gone() == 1);
    CHECK(l.counts({}, 0).accepted == 0);
    CHECK(l.counts({}, 0).left == 0);
}

TEST_CASE("ledger: what is delivered again is in the queue, and was accepted once") {
    ledger l(2);
    CHECK(l.accept_if_room() != 0);
    l.to_lane();
    l.accept();
    const account a = l.counts({}, 1);
    CHECK(a.accepted == 1);
    CHECK(a.left == 1);
    CHECK(a.redelivered == 1);
}

TEST_CASE("ledger: at the end, who is refused just now is not in it") {
    ledger l(2);
    CHECK(l.accept_if_room() != 0);
    l.to_lane();
    CHECK(l.accept_if_room() != 0);  // and then its sender finds the queue shut
    ledger::lanes in_lanes;
    in_lanes.handled = 1;
    const account a = l.last_counts(in_lanes, 0);
    CHECK(a.accepted == 1);
    CHECK(a.left == 0);
    CHECK(a.adds_up());
}

TEST_CASE("ledger: senders who come one at a time have all the room, and are counted one by one") {
    for (const std::uint64_t capacity : {1u, 127u, 128u, 200u, 1024u, 2000u}) {
        ledger l(capacity);
        const auto expect = [&](std::uint64_t accepted, std::uint64_t gone) {
            const account a = l.counts({}, 0);
            return a.accepted == accepted && a.left == accepted - gone;
        };
        std::uint64_t wrong = 0;
        for (std::uint64_t i = 1; i <= capacity; ++i)
            wrong += l.accept_here() != i || !expect(i, 0);
        CHECK(wrong == 0);
        CHECK(l.accept_here() == 0);
        CHECK(expect(capacity, 0));
        l.to_the_lane();
        CHECK(l.accept_here() == capacity + 1);
        CHECK(l.accept_here() == 0);
        l.not_accepted();
        CHECK(expect(capacity, 1));
        CHECK(l.accept_here() == capacity + 1);
        CHECK(l.accept_here() == 0);
        for (std::uint64_t i = 0; i != capacity; ++i) l.to_the_lane();
        CHECK(expect(capacity + 1, capacity + 1));
    }
}

TEST_CASE("ledger: what they take ahead, others do not have, and nobody has too much") {
    for (const auto& [capacity, ahead] :
         {std::pair{127u, 1u}, {128u, 2u}, {1024u, 16u}, {1u << 20, 16u}}) {
        ledger l(capacity);
        CHECK(l.accept_here() == 1);
        std::uint64_t others = 0;
        while (l.accept_if_room() != 0) ++others;
        CHECK(others == capacity - ahead);
        CHECK(l.counts({}, 0).accepted == others + 1);
        CHECK(l.counts({}, 0).left == others + 1);
        std::uint64_t here = 1;
        while (l.accept_here() != 0) ++here;
        CHECK(here == ahead);
        CHECK(l.counts({}, 0).left == capacity);
    }
}

TEST_CASE("ledger: what is refused or late is counted beside, and the latest reply stays that") {
    ledger l(1);
    l.refuse(), l.refuse(), l.not_refused();
    l.late(2ms), l.late(3ms), l.late(1ms);
    const account a = l.counts({}, 0);
    CHECK(a.refused == 1);
    CHECK(a.late == 3);
    CHECK(a.late_by == 3ms);
    CHECK(a.accepted == 0);
}

TEST_CASE("ledger: what senders count may stand elsewhere") {
    senders_counts beside;
    ledger l(1);
    l.count_at(beside);
    CHECK(l.accept_if_room() == 1);
    CHECK(l.accept_if_room() == 0);
    l.to_lane();
    CHECK(l.accept_if_room() == 2);
    l.refuse();
    CHECK(beside.accepted == 2);
    CHECK(beside.known_gone == 1);
    CHECK(beside.refused == 1);
    CHECK(l.counts({}, 0).accepted == 2);
}
