// EXPECT: work_ring: the capacity must be 2, 4, 8, ...; write 256
#include <posthaste/run/work_ring.hpp>

posthaste::basic_work_ring<posthaste::detail::std_atomics, 100> ring;
