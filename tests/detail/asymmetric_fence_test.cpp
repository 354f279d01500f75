#include <posthaste/detail/asymmetric_fence.hpp>

#include "../support/catch.hpp"

#if defined(__linux__) && __has_include(<linux/membarrier.h>)
#  include <linux/membarrier.h>
#  include <sys/syscall.h>
#  include <unistd.h>
#endif

using namespace posthaste;

TEST_CASE("asymmetric_fence: costs its light side nothing where the system offers that") {
    const detail::asymmetric_fence one, another;
    CHECK(one.by_system() == another.by_system());  // they meet one another
#if defined(__linux__) && __has_include(<linux/membarrier.h>)
    const long can = ::syscall(SYS_membarrier, static_cast<int>(MEMBARRIER_CMD_QUERY), 0u, 0);
    CHECK(one.by_system() == (can > 0 && (can & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0));
#else
    CHECK_FALSE(one.by_system());
#endif
    one.light();
    another.heavy();
}

TEST_CASE("asymmetric_fence: is an ordinary one where it is told so") {
    const detail::asymmetric_fence ordinary(false);
    CHECK_FALSE(ordinary.by_system());
    ordinary.light();
    ordinary.heavy();
}
