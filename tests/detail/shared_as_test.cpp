#include <posthaste/detail/shared_as.hpp>

#include "../support/catch.hpp"

#include <posthaste/serve/policy.hpp>

#include <memory>
#include <utility>

namespace {

using namespace posthaste;

class counted final : public layer {
public:
    counted(int& alive, int number) noexcept : alive_(alive), number_(number) { ++alive_; }
    ~counted() override { --alive_; }
    verdict enter(passage&, slot&) noexcept override { return {}; }
    verdict leave(passage&, slot&, const failure*) noexcept override { return {}; }
    int number() const noexcept { return number_; }

private:
    int& alive_;
    const int number_;
};

}  // namespace

TEST_CASE("shared_as: copies and a client's settings share one layer, which the last ends") {
    int alive = 0;
    call_settings settings{forever};
    {
        const detail::shared_as<layer, counted> one(std::in_place, alive, 7);
        const auto other = one;
        CHECK(alive == 1);
        CHECK(other->number() == 7);
        CHECK(one.operator->() == other.operator->());
        settings.layers.push_back(other);
    }
    CHECK(alive == 1);
    settings.layers.clear();
    CHECK(alive == 0);
}
