// A fence between two threads that only one of them pays for.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#if defined(__linux__)
#  include <sys/syscall.h>
#  include <unistd.h>
#endif

namespace posthaste::detail {

/// For two threads that each write a word, pass a fence, and then read the other's: one of them, at
/// least, sees what the other has written. Where one does so all the time and the other hardly
/// ever, light() costs the first no instruction: heavy() has the system pass a fence on all
/// processors that run this process just then, and a thread that does not run has passed one. (As
/// folly's asymmetricThreadFence; P1202.) Where the system does not, both are ordinary fences.
///
/// Threads    any; of the two one is to pass light(), one heavy(), or both heavy().
/// Cost       light() a branch, elsewhere an ordinary fence; heavy() a system call, some
///            microseconds. The first one made asks the system: in a process that has several
///            threads by then, up to some ten milliseconds.
class asymmetric_fence {
public:
    asymmetric_fence() noexcept : asymmetric_fence(offered()) {}
    /// False: both are ordinary ones, whatever the system can do.
    explicit asymmetric_fence(bool by_system) noexcept : by_system_(by_system) {}

    /// Does light() cost nothing?
    bool by_system() const noexcept { return by_system_; }

    void light() const noexcept {
        if (by_system_) std::atomic_signal_fence(std::memory_order_seq_cst);  // (1)
        else std::atomic_thread_fence(std::memory_order_seq_cst);  // (2)
    }
    void heavy() const noexcept {
        if (by_system_) return fence_everywhere();
        std::atomic_thread_fence(std::memory_order_seq_cst);  // (2)
    }

private:
    // (1) keeps the compiler from moving the read before the write; the processor may. The fence
    //     that heavy() has it pass lies before the write, and so before the read, which then sees
    //     what was written before heavy(); or behind the write, which then is seen after heavy().
    // (2) Were either of the two weaker, both might read what was there before the other wrote.
#if defined(__linux__) && defined(SYS_membarrier)
    // Of linux/membarrier.h, whose older versions do not know them: Linux 4.14.
    static constexpr int private_expedited = 8, register_private_expedited = 16;
    static bool offered() noexcept {
        static const bool is = does(register_private_expedited);
        return is;
    }
    static bool does(int command) noexcept {
        return ::syscall(SYS_membarrier, command, 0u, 0) == 0;
    }
    static void fence_everywhere() noexcept {
        if (does(private_expedited)) return;
        // It has been forbidden since. No processor holds a write back for that long.
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
#else
    static bool offered() noexcept { return false; }
    static void fence_everywhere() noexcept {}
#endif

    const bool by_system_;
};

}  // namespace posthaste::detail
