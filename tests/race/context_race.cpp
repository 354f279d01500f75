// One context, asked by several tasks on several threads at once: all hear the same deadline.
#include <posthaste/posthaste.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <tuple>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct ask {
    using reply = int;
    int n;
};

task<time_point> hear() {
    co_await yield();  // any of the pool's threads may go on with it
    const context& ctx = co_await this_context;
    co_return ctx.deadline();
}

}  // namespace

int main(int argc, char** argv) {
    const int calls = argc > 1 ? std::atoi(argv[1]) : 20'000;
    std::atomic<int> wrong = 0;
    bus_options options;
    options.threads = 3;
    bus app(options);
    app.handle<ask>("asks",
                    [&](ask a) -> task<int> {  // it is run inline: nobody has read the clock
                        const auto heard = co_await when_all(hear(), hear(), hear());
                        const auto [one, two, three] = heard;
                        if (one == never || one != two || two != three) ++wrong;
                        co_return a.n;
                    });
    const auto c = app.client<ask>("asks", deadline(1h));
    const auto call_all = [&]() -> task<int> {
        int answered = 0;
        for (int n = 0; n != calls; ++n) {
            const auto r = co_await c.call(n);
            answered += r.has_value();
        }
        co_return answered;
    };
    const int answered = app.run(call_all);
    std::printf("%d of %d answered, %d with deadlines that differ\n", answered, calls,
                wrong.load());
    return answered == calls && wrong == 0 ? 0 : 1;
}
