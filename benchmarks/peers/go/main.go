// Go: goroutines and channels.  SPDX-License-Identifier: BSL-1.0
//
// An endpoint is a goroutine that takes requests from a channel; the reply comes by a channel that
// the caller keeps. Channels are bounded, and who finds one full waits: so no window is needed, as
// in window.hpp. There is no deadline, no cancellation, no account. All are goroutines, producers
// too; threads are GOMAXPROCS.
package main

import (
	"fmt"
	"log"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// --- call ----------------------------------------------------------------------------------------

type request struct {
	to    uint64
	reply chan<- uint64 // nil: nobody waits
}
type handler func(to uint64) uint64

func plain(to uint64) uint64 { return to + 1 }
func suspending(to uint64) uint64 {
	runtime.Gosched()
	return to + 1
}

func endpoint(handle handler) chan<- request {
	requests := make(chan request, 64)
	go func() {
		for r := range requests {
			if answer := handle(r.to); r.reply != nil {
				r.reply <- answer
			}
		}
	}()
	return requests
}

func callInTurn(to chan<- request, n uint64) (sum uint64) {
	reply := make(chan uint64, 1)
	for range n {
		to <- request{sum, reply}
		sum = <-reply
	}
	return sum
}

func calls(handle handler) turns {
	to := endpoint(handle)
	return func(n uint64) uint64 { return callInTurn(to, n) }
}

// callsBehindSends: each after a message that needs no reply.
func callsBehindSends() turns {
	to := endpoint(plain)
	return func(n uint64) (sum uint64) {
		reply := make(chan uint64, 1)
		for range n {
			to <- request{sum, nil}
			to <- request{sum, reply}
			sum = <-reply
		}
		return sum
	}
}

func nestedCalls() turns {
	to := endpoint(plain)
	for range 4 {
		next, reply := to, make(chan uint64, 1)
		to = endpoint(func(to uint64) uint64 {
			next <- request{to, reply}
			return <-reply
		})
	}
	return func(n uint64) uint64 { return callInTurn(to, n) }
}

// callsWithDeadline: one timer for all of them.
func callsWithDeadline() turns {
	to := endpoint(suspending)
	return func(n uint64) (sum uint64) {
		const after = 300 * time.Millisecond
		reply, timer := make(chan uint64, 1), time.NewTimer(after)
		for range n {
			timer.Reset(after)
			to <- request{sum, reply}
			select {
			case sum = <-reply:
			case <-timer.C:
				log.Fatal("no answer")
			}
			timer.Stop()
		}
		return sum
	}
}

func callers(number, batch uint64) func() turns {
	return func() turns {
		to := endpoint(plain)
		return func(n uint64) uint64 {
			var done atomic.Uint64
			var all sync.WaitGroup
			for range number {
				all.Add(1)
				go func() {
					done.Add(callInTurn(to, n))
					all.Done()
				}()
			}
			all.Wait()
			return done.Load() / (number / batch)
		}
	}
}

// gatherOfCalls: 8 requests to one endpoint, all under way at once; their replies come by one
// channel.
func gatherOfCalls() turns {
	to := endpoint(plain)
	return func(n uint64) (done uint64) {
		replies := make(chan uint64, 8)
		for i := range n {
			for range 8 {
				to <- request{i, replies}
			}
			right := uint64(0)
			for range 8 {
				if <-replies == i+1 {
					right++
				}
			}
			done += right / 8
		}
		return done
	}
}

// --- send ----------------------------------------------------------------------------------------

type numbered interface {
	fields() (producer, number uint32)
}

type bytes8 struct{ producer, number uint32 }
type bytes64 struct {
	bytes8
	_ [56]byte
}
type bytes1024 struct {
	bytes8
	_ [1016]byte
}

func (m bytes8) fields() (producer, number uint32) { return m.producer, m.number }

func shareOf(n, producer, producers uint64) uint64 {
	if producer < n%producers {
		return n/producers + 1
	}
	return n / producers
}

// consume counts until last; if in order, each producer's messages must come as they were sent.
func consume[M numbered](queue <-chan M, inOrder bool, handled, last *atomic.Uint64,
	end chan<- bool) {
	var expected [4]uint32
	var total uint64 // of all consumers
	for m := range queue {
		if inOrder {
			producer, number := m.fields()
			if number != expected[producer] {
				log.Fatal("out of order")
			}
			expected[producer]++
			total++
		} else {
			total = handled.Add(1)
		}
		if total == last.Load() {
			end <- true
		}
	}
}

// sends from some producers, until the last is handled by one of the consumers.
func sends[M numbered](room int, producers, consumers uint64, message func(bytes8) M) func() turns {
	return func() turns {
		queue, end := make(chan M, room), make(chan bool)
		var handled, last atomic.Uint64
		var sent [4]uint64
		for range consumers {
			go consume(queue, consumers == 1, &handled, &last, end)
		}
		return func(n uint64) uint64 {
			last.Add(n)
			for p := range producers {
				first := sent[p]
				sent[p] += shareOf(n, p, producers)
				go func(last uint64) {
					for number := first; number != last; number++ {
						queue <- message(bytes8{uint32(p), uint32(number)})
					}
				}(sent[p])
			}
			<-end // the consumers have counted them
			return n
		}
	}
}

// --- publish -------------------------------------------------------------------------------------

// publishes to a channel for each subscriber.
func publishes(subscribers int) func() turns {
	return func() turns {
		next := uint64(0)
		queues := make([]chan uint64, subscribers)
		var waiting sync.WaitGroup
		var last atomic.Uint64
		for s := range queues {
			queue := make(chan uint64, 1024)
			queues[s] = queue
			go func() {
				expected := uint64(0)
				for number := range queue {
					if number != expected {
						log.Fatal("out of order")
					}
					if expected++; expected == last.Load() {
						waiting.Done()
					}
				}
			}()
		}
		return func(n uint64) uint64 {
			last.Store(next + n)
			waiting.Add(subscribers)
			for range n {
				for _, q := range queues {
					q <- next
				}
				next++
			}
			waiting.Wait()
			return n * uint64(subscribers)
		}
	}
}

// --- spawn, scale --------------------------------------------------------------------------------

const spawned, ringMembers = 1_000_000, 10_000

func spawns() turns {
	return func(n uint64) uint64 {
		var ended atomic.Uint64
		for range n {
			var all sync.WaitGroup
			all.Add(spawned)
			for range spawned {
				go func() {
					ended.Add(1)
					all.Done()
				}()
			}
			all.Wait()
		}
		return ended.Load()
	}
}

func tree(first, leaves uint64, to chan<- uint64) {
	if leaves == 1 {
		to <- first
		return
	}
	parts, sum := make(chan uint64, 10), uint64(0)
	for i := range uint64(10) {
		go tree(first+i*(leaves/10), leaves/10, parts)
	}
	for range 10 {
		sum += <-parts
	}
	to <- sum
}

func skynet() turns {
	return func(n uint64) (leaves uint64) {
		sum := make(chan uint64, 1)
		for range n {
			tree(0, spawned, sum)
			if <-sum == spawned*(spawned-1)/2 {
				leaves += spawned
			}
		}
		return leaves
	}
}

func ring() turns {
	var hops uint64 // of whoever has the message
	end := make(chan struct{})
	first := make(chan uint64, 1)
	from := first
	for member := range ringMembers {
		own, to := from, first
		if member+1 != ringMembers {
			to = make(chan uint64, 1)
		}
		from = to
		go func() {
			for left := range own {
				hops++
				if left == 1 {
					end <- struct{}{}
				} else {
					to <- left - 1
				}
			}
		}()
	}
	return func(n uint64) uint64 {
		hops = 0
		first <- n
		<-end
		return hops
	}
}

// --- the suite -----------------------------------------------------------------------------------

func contenders() (all []contender) {
	add := func(workload, name string, batch uint64, threads int, make func() turns) {
		all = append(all, contender{workload + "/" + name + "/real_time", batch, threads, make})
	}
	add("call an idle endpoint", "Go", 1, 1, func() turns { return calls(plain) })
	add("call an idle endpoint", "Go, 2 threads", 1, 2, func() turns { return calls(plain) })
	add("call an endpoint that is busy", "Go", 1, 1, callsBehindSends)
	add("5 nested calls", "Go", 1, 1, nestedCalls)
	add("call a handler that suspends", "Go", 1, 1, func() turns { return calls(suspending) })
	add("call with a deadline that does not fire", "Go", 1, 1, callsWithDeadline)
	add("call an idle endpoint, two threads at once", "Go", 1, 2, callers(2, 1))
	add("64 callers, one endpoint, one thread", "Go", 64, 1, callers(64, 64))
	add("64 callers, one endpoint, two threads", "Go", 64, 2, callers(64, 64))
	add("await 8 tasks at once", "Go, gather of calls", 1, 1, gatherOfCalls)

	const window, room = 4096, 1024
	same := func(m bytes8) bytes8 { return m }
	to64 := func(m bytes8) bytes64 { return bytes64{bytes8: m} }
	to1024 := func(m bytes8) bytes1024 { return bytes1024{bytes8: m} }
	add("send 8 bytes in order, 1 producer", "Go", 1, 2, sends(window, 1, 1, same))
	for _, p := range []uint64{2, 4} {
		name := fmt.Sprintf("send 8 bytes in order, %d producers", p)
		add(name, "Go", 1, 2, sends(window, p, 1, same))
	}
	add("send 64 bytes in order, 1 producer", "Go", 1, 2, sends(window, 1, 1, to64))
	add("send 64 bytes in order, 4 producers", "Go", 1, 2, sends(window, 4, 1, to64))
	add("send 1024 bytes in order, 1 producer", "Go", 1, 2, sends(window, 1, 1, to1024))
	add("send 1024 bytes in order, 4 producers", "Go", 1, 2, sends(window, 4, 1, to1024))
	add("send to 4 consumers, 4 producers", "Go", 1, 2, sends(window, 4, 4, same))
	add("send to a full queue, 4 producers", "Go", 1, 2, sends(room, 4, 1, same))
	add("send to a full queue, 4 producers, 4 consumers", "Go", 1, 2, sends(room, 4, 4, same))

	for _, s := range []int{8, 64} {
		name := fmt.Sprintf("publish to %d", s)
		add(name, "Go", uint64(s), 1, publishes(s))
		add(name, "Go, 2 threads", uint64(s), 2, publishes(s))
	}
	add("spawn tasks, one thread", "Go", spawned, 1, spawns)
	add("spawn tasks, two threads", "Go", spawned, 2, spawns)
	add("skynet, two threads", "Go", spawned, 2, skynet)
	add("ring of 10,000 endpoints", "Go", 1, 1, ring)
	return all
}

func main() { measure(contenders()) }
