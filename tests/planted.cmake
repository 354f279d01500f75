# Bugs that a test program must notice, and what a test (planted.<name>) plants to see that it does.
# Each: what it is, the header and the text in it that is replaced, and the program, which must fail
# when it is compiled with the changed copy of the headers. The headers themselves hold no trace.
#   -DPOSTHASTE_PLANTED_BUG=<name> builds the whole tree with one of them, to look at.
set(planted_bugs)
function(bug name)
  cmake_parse_arguments(PARSE_ARGV 1 its "" "about;header;find;replace;program;sanitize" "")
  foreach(field about header find replace program sanitize)
    set(${name}_${field} "${its_${field}}" PARENT_SCOPE)
  endforeach()
  file(READ ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../include/posthaste/${its_header} text)
  string(FIND "${text}" "${its_find}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "planted.cmake, ${name}: ${its_header} has no\n${its_find}")
  endif()
  list(APPEND planted_bugs ${name})
  set(planted_bugs ${planted_bugs} PARENT_SCOPE)
endfunction()

# Copies the headers to TO, with that bug in them.
function(plant name from to)
  if(NOT name IN_LIST planted_bugs)
    message(FATAL_ERROR "no planted bug has the name ${name}; there are: ${planted_bugs}")
  endif()
  file(REMOVE_RECURSE ${to}/posthaste)
  file(COPY ${from}/posthaste DESTINATION ${to})
  file(READ ${from}/posthaste/${${name}_header} text)
  string(REPLACE "${${name}_find}" "${${name}_replace}" text "${text}")
  file(WRITE ${to}/posthaste/${${name}_header} "${text}")
endfunction()

bug(mailbox_idle_by_store
  about "lost wake-up: the mailbox goes idle by a load and a store"
  header carry/mailbox.hpp
  find [==[        } while (!word_.compare_exchange_weak(seen, seen | idle_bit,
                                              std::memory_order_acq_rel,  // (4)
                                              std::memory_order_relaxed));
        return true;]==]
  replace [==[        } while (false);
        word_.store(seen | idle_bit, std::memory_order_seq_cst);
        return true;]==]
  program explore/mailbox_explore)
bug(mailbox_claim_not_exclusive
  about "two readers: an empty mailbox is claimed although somebody reads it"
  header carry/mailbox.hpp
  find [==[return seen & idle_bit ? put_result::claimed]==]
  replace [==[return !list(seen) ? put_result::claimed]==]
  program explore/mailbox_explore)
bug(mailbox_takes_by_store
  about "a lost letter: the list is taken by a load and a store"
  header carry/mailbox.hpp
  find [==[return turned(word_.fetch_and(shut_bit, std::memory_order_acq_rel));  // (3)]==]
  replace [==[const auto all = word_.load(std::memory_order_seq_cst);
        word_.store(all & shut_bit, std::memory_order_seq_cst);
        return turned(all);]==]
  program explore/mailbox_explore)
bug(mailbox_not_turned_round
  about "letters come out in the wrong order"
  header carry/mailbox.hpp
  find [==[return turned(word_]==]
  replace [==[return list(word_]==]
  program explore/mailbox_explore)
bug(mailbox_accepts_after_shut
  about "a letter is accepted after the shut"
  header carry/mailbox.hpp
  find [==[            if (seen & shut_bit) return put_result::refused;
]==]
  replace [==[]==]
  program explore/mailbox_explore)
bug(mailbox_passes_by_what_is_there
  about "out of order: what is put where it is read passes by what was put elsewhere"
  header carry/mailbox.hpp
  find [==[word_.load(std::memory_order_relaxed) != 0) return put(l);]==]
  replace [==[word_.load(std::memory_order_relaxed) & shut_bit) return put(l);]==]
  program explore/mailbox_explore)
bug(ledger_counts_half_of_a_step
  about "an account counts places that are just being taken ahead"
  header serve/ledger.hpp
  find [==[const bool taking = ahead % 2 != 0 || ]==]
  replace [==[const bool taking = ]==]
  program explore/ledger_explore)
bug(work_queue_sends_nobody
  about "a letter waits, and a place is free: a reader that finds more sends nobody"
  header carry/work_queue.hpp
  find [==[one_more = !open_place();]==]
  replace [==[open_place();]==]
  program explore/work_queue_explore)
bug(reply_cell_settles_by_store
  about "resumed twice: a call is ended by a load and a store"
  header wait/reply_cell.hpp
  find [==[        } while (!replace(seen, seen | besides | (static_cast<unsigned>(how) << 4),
                          std::memory_order_acq_rel));  // (4)]==]
  replace [==[        } while (false);
        word_.store(seen | besides | (static_cast<unsigned>(how) << 4), std::memory_order_seq_cst);]==]
  program explore/reply_cell_explore)
bug(reply_cell_waits_blindly
  about "parked for ever: the caller waits for a call that has ended"
  header wait/reply_cell.hpp
  find [==[        do {
            if (seen & (waiting | ending_mask)) return seen & waiting;
        } while (!replace(seen, seen | waiting,]==]
  replace [==[        do {
        } while (!replace(seen, seen | waiting,]==]
  program explore/reply_cell_explore)
bug(place_given_back_unseen
  about "a bus is at rest while whoever gave a place back gives up whom it let in"
  header serve/endpoint_core.hpp
  find [==[    void give_place_back() noexcept {
        const dropping meanwhile(*this);
]==]
  replace [==[    void give_place_back() noexcept {
]==]
  program explore/endpoint_core_explore)
bug(reply_cell_leaves_by_store
  about "destroyed twice or never: the sides leave by a load and a store"
  header wait/reply_cell.hpp
  find [==[        return word_.fetch_or(side, std::memory_order_acq_rel) & other;  // (6)]==]
  replace [==[        const unsigned now = word_.load(std::memory_order_seq_cst);
        return word_.store(now | side, std::memory_order_seq_cst), now & other;]==]
  program explore/reply_cell_explore)
bug(reply_cell_begins_too_late
  about "a call that has ended is begun all the same"
  header wait/reply_cell.hpp
  find [==[        while (!(seen & ending_mask)) {
            if]==]
  replace [==[        for (;;) {
            if]==]
  program explore/reply_cell_explore)
bug(ring_steals_by_store
  about "taken twice: a thief moves the head by a store"
  header run/work_ring.hpp
  find [==[            if (!victim.head_.compare_exchange_weak(head, head + count,
                                                    std::memory_order_release,  // (3)
                                                    std::memory_order_relaxed)) {
                continue;
            }
]==]
  replace [==[            victim.head_.store(head + count, std::memory_order_seq_cst);
]==]
  program explore/work_ring_explore)
bug(ring_steals_one_too_many
  about "taken twice: what the thief runs stays in its ring"
  header run/work_ring.hpp
  find [==[tail_.exchange(mine + count - 1,]==]
  replace [==[tail_.exchange(mine + count,]==]
  program explore/work_ring_explore)
bug(ring_overwrites_when_full
  about "lost: a full ring takes one more"
  header run/work_ring.hpp
  find [==[if (tail - head == capacity) return false;]==]
  replace [==[if (tail - head > capacity) return false;]==]
  program explore/work_ring_explore)
bug(stop_callback_not_waited_for
  about "a stop callback runs after its deregistration has returned"
  header wait/stop.hpp
  find [==[                if (running_ != &node) return;
                if (caller_ == &detail::this_thread()) return void(*node.gone_ = true);]==]
  replace [==[                if (running_ != &node) return;
                return void(*node.gone_ = true);]==]
  program race/stop_race)
bug(waiter_touched_after_wake
  about "a waiter that was woken, and may be gone, is written to"
  header wait/waiter_list.hpp
  find [==[    w->state_ = waiter::state::woken;
    w->frame_->wake();]==]
  replace [==[    w->frame_->wake();
    w->state_ = waiter::state::woken;]==]
  program race/event_race)
bug(timer_disarm_not_waited_for
  about "a timer fires after its disarming has returned"
  header run/pool_clock.hpp
  find [==[        const std::lock_guard guard(w.lock);
        w.timers.disarm(t);]==]
  replace [==[        w.timers.disarm(t);]==]
  program race/thread_pool_race sanitize thread)
bug(held_up_not_watched
  about "work held up for ever: nobody watches a worker that left something in its next-up slot"
  header run/next_slot.hpp
  find [==[        hold_up();
        return true;]==]
  replace [==[        hold_up();
        return false;]==]
  program explore/pool_clock_explore)
bug(inline_call_ends_unfenced
  about "a call that is over is ended: nothing is between its end and the question who looks"
  header run/inline_calls.hpp
  find [==[        fence_.light();  // (3)
]==]
  replace [==[]==]
  program explore/inline_calls_explore)
bug(inline_call_begins_unfenced
  about "a blocked call that nobody watches: nothing is between its begin and that question"
  header run/inline_calls.hpp
  find [==[        fence_.light();  // (2)
]==]
  replace [==[]==]
  program explore/inline_calls_explore)
bug(inline_call_ends_beside_a_look
  about "a call ends, and its place is used again, while the watcher looks at it"
  header run/inline_calls.hpp
  find [==[        if (looks_.load(std::memory_order_acquire)) return end_beside_a_look(c);  // (4)
]==]
  replace [==[]==]
  program race/inline_calls_race sanitize thread)
bug(parking_no_second_look
  about "lost wake-up: a worker sleeps without another look"
  header run/sleepers.hpp
  find [==[        if (anything()) {
            const]==]
  replace [==[        if (false) {
            const]==]
  program explore/parking_explore)
bug(parking_searcher_not_counted
  about "lost wake-up: the last one that searched wakes nobody"
  header run/sleepers.hpp
  find [==[if (counts_.stop_search() && anything()) work_is_there();]==]
  replace [==[static_cast<void>(counts_.stop_search()), static_cast<void>(anything);]==]
  program explore/parking_explore)
bug(parking_wakes_nobody
  about "lost wake-up: the word is changed, and who sleeps there not told"
  header run/sleepers.hpp
  find [==[        detail::wake_sleeper(b->woken_);]==]
  replace [==[        static_cast<void>(b);]==]
  program explore/parking_explore)
bug(parking_looks_before_announcing
  about "lost wake-up: a worker looks for work, then announces its sleep"
  header run/sleepers.hpp
  find [==[        {
            const std::lock_guard guard(lock_);
            self.below_ = detail::exchange(first_, &self);
            self.asleep_ = true;
            counts_.sleep(was_searching);
        }
        if (anything()) {]==]
  replace [==[        const bool any = anything();
        {
            const std::lock_guard guard(lock_);
            self.below_ = detail::exchange(first_, &self);
            self.asleep_ = true;
            counts_.sleep(was_searching);
        }
        if (any) {]==]
  program explore/parking_explore)
bug(ring_looks_before_visible
  about "lost wake-up: work is put so that the look for sleepers may pass it"
  header run/work_ring.hpp
  find [==[        tail_.exchange(tail + 1, std::memory_order_seq_cst);  // (2)
        return true;]==]
  replace [==[        tail_.store(tail + 1, std::memory_order_release);
        return true;]==]
  program explore/work_ring_explore)
bug(frames_left_at_shutdown
  about "the bus goes, and leaves the frames that stand still"
  header serve/bus_core.hpp
  find [==[        if (home.idle_here()) destroy_what_stands_still();
        else stops_by(never);]==]
  replace [==[        if (!home.idle_here()) stops_by(never);]==]
  program plain/bus_ends)
bug(deadline_not_checked_at_dequeue
  about "a call that has expired in the queue is started"
  header serve/endpoint_core.hpp
  find [==[if (r.deadline <= now) come_late(r);]==]
  replace [==[if (false) come_late(r);]==]
  program plain/bus_ends)
bug(posted_call_not_counted
  about "a call that is posted itself counts as queued for ever"
  header serve/endpoint_core.hpp
  find [==[        self.of.taken_straight();
]==]
  replace [==[]==]
  program race/call_race)
bug(posted_call_without_claim
  about "a call is posted itself although another one is at work"
  header serve/endpoint_core.hpp
  find [==[!taken_straight_from_ || !straight_.box->claim()]==]
  replace [==[!taken_straight_from_]==]
  program race/call_race)
bug(outbox_of_a_failed_attempt
  about "what a handler held is sent, although it has failed"
  header serve/endpoint_core.hpp
  find [==[failed ? outbox_.drop() : outbox_.release();]==]
  replace [==[outbox_.release();]==]
  program race/redelivery_race)
bug(outbox_without_lock
  about "two tasks of one handler use its outbox, and one message is lost"
  header serve/outbox.hpp
  find [==[        const std::lock_guard guard(lock_);
]==]
  replace [==[]==]
  program race/redelivery_race sanitize thread)
bug(spin_lock_by_load_and_store
  about "two hold the lock: it is taken by a load and a store"
  header detail/spin_lock.hpp
  find [==[        return !held_.exchange(true, std::memory_order_acquire);  // (1)]==]
  replace [==[        if (held_.load(std::memory_order_acquire)) return false;
        return held_.store(true, std::memory_order_relaxed), true;]==]
  program explore/spin_lock_explore)
bug(unclaimed_without_fence
  about "who shuts an endpoint does not see that its lane was taken unclaimed just then"
  header serve/endpoint_core.hpp
  find [==[        if (home.one_by_one()) detail::asymmetric_fence().heavy();  // (7)]==]
  replace [==[]==]
  program explore/endpoint_core_explore)
bug(unclaimed_without_second_look
  about "a lane is taken unclaimed although the endpoint was shut just then"
  header serve/endpoint_core.hpp
  find [==[        if (box.is_free()) return true;
        l.be_done();
        return false;]==]
  replace [==[        return true;]==]
  program explore/endpoint_core_explore)
bug(lane_taken_twice
  about "a lane reads on that is taken unclaimed on the stack below"
  header serve/endpoint_core.hpp
  find [==[    if (!self.is_taken_below(w)) self.read_on();]==]
  replace [==[    self.read_on();]==]
  program explore/endpoint_core_explore)
bug(called_lane_forgotten
  about "a lane that came while it was taken unclaimed is not posted again"
  header serve/endpoint_core.hpp
  find [==[    if (was_called) of.home().post(*called_by_);]==]
  replace [==[    static_cast<void>(was_called);]==]
  program explore/endpoint_core_explore)
bug(call_at_home_though_stopped_elsewhere
  about "a call is ended by stores, and another thread may stop its caller"
  header serve/endpoint_core.hpp
  find [==[        return ends_at_home_ && !callers.stop_possible();]==]
  replace [==[        static_cast<void>(callers);
        return ends_at_home_;]==]
  program race/call_at_home_race)
bug(call_at_home_though_it_gives_way
  about "a call is ended by stores, and another thread sends what it gives way to"
  header serve/endpoint_core.hpp
  find [==[alone() && full_ != when_full::drop_oldest && full_ != when_full::wait]==]
  replace [==[alone() && full_ != when_full::wait]==]
  program race/call_ends_elsewhere_race)
bug(call_at_home_though_it_waits_for_room
  about "a call is ended by stores, and another thread shuts the room it waits for"
  header serve/endpoint_core.hpp
  find [==[alone() && full_ != when_full::drop_oldest && full_ != when_full::wait]==]
  replace [==[alone() && full_ != when_full::drop_oldest]==]
  program race/call_ends_elsewhere_race)
bug(call_at_home_though_timed_elsewhere
  about "a call is ended by stores, and its timer fires on another thread"
  header serve/endpoint_core.hpp
  find [==[ends_at_home_(alone() &&]==]
  replace [==[ends_at_home_(home_.one_by_one() &&]==]
  program race/call_ends_elsewhere_race)
bug(call_at_home_though_handled_elsewhere
  about "a call is ended by stores, and handled on another thread"
  header serve/call.hpp
  find [==[const bool here = &at == &endpoint_->home() && endpoint_->ends]==]
  replace [==[const bool here = at.one_by_one() && endpoint_->ends]==]
  program race/call_ends_elsewhere_race)
