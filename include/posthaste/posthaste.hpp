// Messages between C++20 coroutines: the table of contents.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/version.hpp>

// base: words
#include <posthaste/base/clock.hpp>
#include <posthaste/base/concepts.hpp>
#include <posthaste/base/failure.hpp>
#include <posthaste/base/message_id.hpp>
#include <posthaste/base/name.hpp>
#include <posthaste/base/result.hpp>

// wait: how a coroutine stands still
#include <posthaste/wait/context.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/semaphore.hpp>
#include <posthaste/wait/sleep.hpp>
#include <posthaste/wait/stop.hpp>

// carry: what travels
#include <posthaste/carry/topic.hpp>

// run: who goes on, where, when
#include <posthaste/run/executor.hpp>
#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/scope.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/run/when_any.hpp>
#include <posthaste/run/yield.hpp>

// serve: conversations
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/bus.hpp>
#include <posthaste/serve/client.hpp>
#include <posthaste/serve/dead_letters.hpp>
#include <posthaste/serve/delivery.hpp>
#include <posthaste/serve/first_of.hpp>
#include <posthaste/serve/gather.hpp>
#include <posthaste/serve/message.hpp>
#include <posthaste/serve/mode.hpp>
#include <posthaste/serve/outbox.hpp>
#include <posthaste/serve/permit.hpp>
#include <posthaste/serve/publisher.hpp>
#include <posthaste/serve/quorum.hpp>
#include <posthaste/serve/scheduled.hpp>
#include <posthaste/serve/stream.hpp>
#include <posthaste/serve/subscription.hpp>

// guard: what stands between a caller and trouble
#include <posthaste/guard/adaptive_limit.hpp>
#include <posthaste/guard/attempt_timeout.hpp>
#include <posthaste/guard/breaker.hpp>
#include <posthaste/guard/budget.hpp>
#include <posthaste/guard/deadline.hpp>
#include <posthaste/guard/dedup.hpp>
#include <posthaste/guard/fallback.hpp>
#include <posthaste/guard/hedge.hpp>
#include <posthaste/guard/limit.hpp>
#include <posthaste/guard/rate.hpp>
#include <posthaste/guard/retry.hpp>
#include <posthaste/guard/shed.hpp>

// prove: what tests include beside this, <posthaste/prove/simulation.hpp> and faults.hpp
