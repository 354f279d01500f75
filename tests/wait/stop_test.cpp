#include "../support/catch.hpp"

#include <posthaste/wait/stop.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using namespace posthaste;

TEST_CASE("stop: an empty token is never stopped, and takes callbacks that never run") {
    const stop_token none;
    CHECK_FALSE(none.stop_possible());
    CHECK_FALSE(none.stop_requested());
    int calls = 0;
    {
        const stop_callback on_stop(none, [&] { ++calls; });
    }
    CHECK(calls == 0);
    CHECK(none == stop_token());
}

TEST_CASE("stop: is requested once") {
    stop_source source;
    const stop_token token = source.token();
    CHECK(token.stop_possible());
    CHECK_FALSE(token.stop_requested());
    CHECK(source.request_stop());
    CHECK_FALSE(source.request_stop());
    CHECK(token.stop_requested());
    CHECK(source.stop_requested());
    CHECK(token == source.token());
    stop_source other;
    CHECK_FALSE(token == other.token());
}

TEST_CASE("stop_callback: is called once, by the request") {
    stop_source source;
    int calls = 0;
    const stop_callback first(source.token(), [&] { ++calls; });
    const stop_callback second(source.token(), [&] { calls += 10; });
    const stop_callback third(source.token(), [&] { calls += 100; });
    CHECK(calls == 0);
    source.request_stop();
    CHECK(calls == 111);
    source.request_stop();
    CHECK(calls == 111);
}

TEST_CASE("stop_callback: is called at once where stop was requested before") {
    stop_source source;
    source.request_stop();
    int calls = 0;
    const stop_callback late(source.token(), [&] { ++calls; });
    CHECK(calls == 1);
    source.request_stop();
    CHECK(calls == 1);
}

TEST_CASE("stop_callback: sees that stop was requested") {
    stop_source source;
    bool seen = false, again = true;
    const stop_callback on_stop(source.token(), [&] {
        seen = source.stop_requested();
        again = source.request_stop();  // from within: it was requested already
    });
    source.request_stop();
    CHECK(seen);
    CHECK_FALSE(again);
}

TEST_CASE("stop_callback: destroyed before the request it is not called, wherever it stood") {
    for (int gone = 0; gone != 3; ++gone) {
        stop_source source;
        std::vector<int> called;
        using callback = stop_callback<std::function<void()>>;
        std::vector<std::unique_ptr<callback>> all;
        for (int i = 0; i != 3; ++i) {
            all.push_back(
                std::make_unique<callback>(source.token(), [&called, i] { called.push_back(i); }));
        }
        all[static_cast<std::size_t>(gone)].reset();
        source.request_stop();
        CHECK(called.size() == 2);
        for (const int i : called) CHECK(i != gone);
    }
}

TEST_CASE("stop_callback: may be destroyed by itself, while it runs") {
    stop_source source;
    struct itself {
        std::unique_ptr<stop_callback<std::function<void()>>> callback;
        int calls = 0;
    } here;
    int after = 0;
    const stop_callback first(source.token(), [&] { ++after; });
    const auto destroy_itself = [&here] {
        itself& kept = here;  // the capture goes with the callback
        kept.callback.reset();
        ++kept.calls;
    };
    here.callback =
        std::make_unique<stop_callback<std::function<void()>>>(source.token(), destroy_itself);
    CHECK(source.request_stop());
    CHECK(here.calls == 1);
    CHECK_FALSE(here.callback);
    CHECK(after == 1);  // those that come after it are called all the same
}

TEST_CASE("stop_callback: may destroy another that has not been called, or has been") {
    stop_source source;
    int calls = 0;
    std::optional<stop_callback<std::function<void()>>> a, b;
    a.emplace(source.token(), [&] {
        ++calls;
        b.reset();
    });
    b.emplace(source.token(), [&] {
        ++calls;
        a.reset();
    });
    source.request_stop();
    CHECK(calls == 1);
    CHECK(a.has_value() != b.has_value());  // one of them was called, and removed the other

    stop_source again;
    std::optional<stop_callback<std::function<void()>>> called;
    std::optional<stop_callback<std::function<void()>>> remover;
    int order = 0, called_at = 0, removed_at = 0;
    remover.emplace(again.token(), [&] {
        called.reset();
        removed_at = ++order;
    });
    called.emplace(again.token(), [&] { called_at = ++order; });  // the last one comes first
    again.request_stop();
    CHECK(called_at == 1);
    CHECK(removed_at == 2);
}

TEST_CASE("stop_callback: one that is made while the callbacks run is called at once") {
    stop_source source;
    int inner = 0;
    const stop_callback outer(source.token(), [&] {
        const stop_callback nested(source.token(), [&] { ++inner; });
        CHECK(inner == 1);
    });
    source.request_stop();
    CHECK(inner == 1);
}

TEST_CASE("stop_callback: its destructor waits for it, when another thread is in it") {
    for (int round = 0; round != 50; ++round) {
        stop_source source;
        std::atomic<bool> inside = false, about_to_destroy = false;
        int written = 0;  // plain: the destructor's return must order it
        using callback = stop_callback<std::function<void()>>;
        auto on_stop = std::make_unique<callback>(source.token(), [&] {
            inside = true;
            while (!about_to_destroy) std::this_thread::yield();
            for (int i = 0; i != round; ++i) std::this_thread::yield();
            written = 1;
        });
        std::thread requester([&] { source.request_stop(); });
        while (!inside) std::this_thread::yield();
        about_to_destroy = true;
        on_stop.reset();
        CHECK(written == 1);
        requester.join();
    }
}

TEST_CASE("stop_callback: one source's callbacks may stop another source") {
    stop_source outer, inner;
    int calls = 0;
    const stop_callback forward(outer.token(), [&] { inner.request_stop(); });
    const stop_callback end(inner.token(), [&] { ++calls; });
    outer.request_stop();
    CHECK(calls == 1);
    CHECK(inner.stop_requested());
}

TEST_CASE("stop_link: tells by arm() whether it will be called, and may be armed again") {
    struct counting : stop_link {
        int calls = 0;
        counting() noexcept
            : stop_link([](detail::stop_node& n) noexcept {
                  ++static_cast<counting&>(static_cast<stop_link&>(n)).calls;
              }) {}
    };
    stop_source first, second;
    counting link;
    link.disarm();  // not armed
    CHECK(link.arm(stop_token()));
    CHECK(link.arm(first.token()));
    link.disarm();
    first.request_stop();
    CHECK(link.calls == 0);
    CHECK_FALSE(link.arm(first.token()));
    CHECK(link.calls == 0);  // not called at once, as a stop_callback is
    CHECK(link.arm(second.token()));
    second.request_stop();
    CHECK(link.calls == 1);
    link.disarm();
    link.disarm();
    CHECK(link.calls == 1);
}

TEST_CASE("stop_source: reset() makes it as new") {
    stop_source source;
    const stop_token token = source.token();
    source.reset();
    int calls = 0;
    source.request_stop();
    source.reset();
    CHECK_FALSE(token.stop_requested());
    const stop_callback on_stop(token, [&] { ++calls; });
    CHECK(calls == 0);
    CHECK(source.request_stop());
    CHECK(calls == 1);
}
