// Checks of preconditions, on in debug builds.  SPDX-License-Identifier: BSL-1.0
#pragma once

#ifndef POSTHASTE_ASSERT
#  include <cassert>
#  define POSTHASTE_ASSERT(condition) assert(condition)
#endif
