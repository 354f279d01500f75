// Which posthaste this is.  SPDX-License-Identifier: BSL-1.0
#pragma once

// The build reads these three lines too: the version is written nowhere else.
#define POSTHASTE_VERSION_MAJOR 0
#define POSTHASTE_VERSION_MINOR 1
#define POSTHASTE_VERSION_PATCH 0
