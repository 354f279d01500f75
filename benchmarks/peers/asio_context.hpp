// Asio, of Boost or by itself, and threads for it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <utility>  // for boost/asio/awaitable.hpp

#if defined(ASIO_STANDALONE)
#  include <asio.hpp>
using asio::error_code;
#else
#  include <boost/asio.hpp>
namespace asio = boost::asio;
using boost::system::error_code;
#endif

#include <thread>
#include <vector>

/// An io_context and its threads; one that has one thread is told so.
class asio_context {
public:
    explicit asio_context(unsigned threads) : io_(static_cast<int>(threads)) {
        for (unsigned i = 0; i != threads; ++i) threads_.emplace_back([this] { io_.run(); });
    }
    asio_context(const asio_context&) = delete;
    ~asio_context() { join(); }
    asio::io_context& io() { return io_; }
    void post(auto f) { asio::post(io_, std::move(f)); }

    /// Waits until nothing is left to do, for good.
    void join() {
        guard_.reset();
        for (auto& t : threads_) t.join();
        threads_.clear();
    }

private:
    asio::io_context io_;
    asio::executor_work_guard<asio::io_context::executor_type> guard_{io_.get_executor()};
    std::vector<std::thread> threads_;
};
