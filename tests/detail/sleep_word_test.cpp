#include "../support/catch.hpp"

#include <posthaste/detail/sleep_word.hpp>

#include <atomic>
#include <cstdint>
#include <thread>

using namespace posthaste;

TEST_CASE("sleep_word: who finds another value does not sleep") {
    const std::atomic<std::uint32_t> w = 1;
    detail::sleep_while(w, 0);
    REQUIRE(w == 1);
}

TEST_CASE("sleep_word: who sleeps is woken by who changes it, many times") {
    std::atomic<std::uint32_t> w = 0;
    std::uint32_t answers = 0;
    std::thread other([&] {
        for (std::uint32_t i = 0; i != 2000; i += 2) {
            while (w == i) detail::sleep_while(w, i);
            ++answers;
            ++w;
            detail::wake_sleeper(w);
        }
    });
    for (std::uint32_t i = 1; i != 2001; i += 2) {
        ++w;
        detail::wake_sleeper(w);
        while (w == i) detail::sleep_while(w, i);
    }
    other.join();
    REQUIRE(answers == 1000);
}
