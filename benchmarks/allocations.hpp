// How often operator new was called in this program.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

/// All forms of operator new on all threads; allocations.cpp replaces them. What calls malloc()
/// itself, as Boost.Asio does, is not counted.
std::uint64_t allocations() noexcept;
