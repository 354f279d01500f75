// Boost.Asio: awaitable, co_spawn, post.  SPDX-License-Identifier: BSL-1.0
//
// It has no endpoints (its channels are experimental): a call is a coroutine that is spawned where
// the handler belongs, a message a function that is posted there. It allocates by malloc(), from a
// cache, which is not counted.
#include "coroutines.hpp"
#include "wake.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;

/// An io_context and its threads; one that has one thread is told so.
class context {
public:
    explicit context(unsigned threads) : io_(static_cast<int>(threads)) {
        for (unsigned i = 0; i != threads; ++i) threads_.emplace_back([this] { io_.run(); });
    }
    ~context() {
        guard_.reset();
        for (auto& t : threads_) t.join();
    }
    asio::io_context& io() { return io_; }
    void post(auto f) { asio::post(io_, std::move(f)); }

private:
    asio::io_context io_;
    asio::executor_work_guard<asio::io_context::executor_type> guard_{io_.get_executor()};
    std::vector<std::thread> threads_;
};

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
    context on_{1};
};

[[maybe_unused]] const bool contenders[] = {
    contend_singly<wakes<context>>(workload::wake, "Boost.Asio"),
    contend_by_sending<sink>("Boost.Asio"),
};

#if defined(BOOST_ASIO_HAS_CO_AWAIT)

struct asio_coroutines {
    template <typename T>
    using task = asio::awaitable<T>;

    class executor : public context {
    public:
        using context::context;
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
