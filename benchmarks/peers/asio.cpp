// Boost.Asio: awaitable, co_spawn, post.  SPDX-License-Identifier: BSL-1.0
//
// It has no endpoints (its channels are in asio_channel.cpp): a call is a coroutine that is spawned
// where the handler belongs, a message a function that is posted there. It allocates by malloc(),
// from a cache, which is not counted.
#include "asio_context.hpp"
#include "coroutines.hpp"
#include "wake.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>
#include <vector>

namespace {

template <std::size_t Bytes>
class sink {
public:
    explicit sink(std::size_t) {}
    receiver<in_order> handled;

    class producer {
    public:
        explicit producer(sink& to) : to_(to) {}
        void send(const numbered<Bytes>& m) {
            to_.on_.post([&to = to_, m] { to.handled.one(m); });
        }

    private:
        sink& to_;
    };

private:
    asio_context on_{1};
};

/// A strand a key.
template <std::uint32_t Keys>
class strands {
public:
    explicit strands(std::size_t) {
        keys_.reserve(Keys);
        for (std::uint32_t k = 0; k != Keys; ++k) keys_.push_back(asio::make_strand(on_.io()));
    }
    receiver<in_any_order> handled;

    class producer {
    public:
        explicit producer(strands& to) : to_(to) {}
        void send(const numbered<8>& m) {
            asio::post(to_.keys_[m.number % Keys], [&to = to_, m] { to.handled.one(m); });
        }

    private:
        strands& to_;
    };

private:
    asio_context on_{2};
    std::vector<asio::strand<asio::io_context::executor_type>> keys_;
};

template <std::uint32_t Keys>
bool by_key() {
    return contend<sends<strands<Keys>, 8>>(workload::send_keyed(Keys), "Boost.Asio, strands",
                                            std::size_t{2});
}

[[maybe_unused]] const bool contenders[] = {
    contend_singly<wakes<asio_context>>(workload::wake, "Boost.Asio"),
    contend_by_sending<sink>("Boost.Asio"),
    by_key<1>(),
    by_key<100>(),
    by_key<1'000'000>(),
};

#if defined(BOOST_ASIO_HAS_CO_AWAIT)

struct asio_coroutines {
    template <typename T>
    using task = asio::awaitable<T>;

    class executor : public asio_context {
    public:
        using asio_context::asio_context;
        template <typename T>
        T run(task<T> t) {
            return asio::co_spawn(io(), std::move(t), asio::use_future).get();
        }
    };
    class tasks {
    public:
        explicit tasks(executor& on) : on_(on) {}
        void spawn(task<void> t) {
            ++left_;
            asio::co_spawn(on_.io(), std::move(t), [this](std::exception_ptr) { --left_; });
        }
        task<void> join() {
            while (left_ != 0) co_await asio::post(on_.io(), asio::use_awaitable);
        }

    private:
        executor& on_;
        std::atomic<std::uint64_t> left_ = 0;
    };
};

template <bool Suspends>
class calls {
public:
    std::uint64_t operator()(std::uint64_t n) { return on_.run(call_in_turn(n)); }

private:
    using task = asio::awaitable<std::uint64_t>;
    task add_one(std::uint64_t to) {
        if constexpr (Suspends) co_await asio::post(on_.io(), asio::use_awaitable);
        co_return to + 1;
    }
    task call_in_turn(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i)
            sum = co_await asio::co_spawn(on_.io(), add_one(sum), asio::use_awaitable);
        co_return sum;
    }
    asio_coroutines::executor on_{1};
};

class calls_from_outside {
public:
    std::uint64_t operator()(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) sum = on_.run(add_one(sum));
        return sum;
    }

private:
    static asio::awaitable<std::uint64_t> add_one(std::uint64_t to) { co_return to + 1; }
    asio_coroutines::executor on_{1};
};

[[maybe_unused]] const bool coroutine_contenders[] = {
    contend<coroutines::awaits<asio_coroutines>>(workload::await_task, "Boost.Asio"),
    contend<coroutines::spawns<asio_coroutines, 1>>(workload::spawn_1, "Boost.Asio"),
    contend<coroutines::spawns<asio_coroutines, 2>>(workload::spawn_2, "Boost.Asio"),
    contend<calls<false>>(workload::call_idle, "Boost.Asio"),
    contend<calls<true>>(workload::call_suspending, "Boost.Asio"),
    contend<calls_from_outside>(workload::call_parked, "Boost.Asio"),
};

#endif

}  // namespace
