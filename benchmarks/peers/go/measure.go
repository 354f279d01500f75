// A program that speaks as Google Benchmark's do, as far as report.py asks.
// SPDX-License-Identifier: BSL-1.0
package main

import (
	"flag"
	"fmt"
	"log"
	"runtime"
	"strings"
	"time"
)

// turns does n * batch operations, and returns how many it can prove.
type turns func(n uint64) uint64

// contender is of a workload of workloads.hpp, which says what is counted.
type contender struct {
	name    string
	batch   uint64
	threads int
	make    func() turns
}

// rate is in operations a second, found as measure.hpp and Google Benchmark do it: warm up, then
// more and more until it takes long enough. Allocations are by the runtime's own count.
func (c contender) rate(minTime time.Duration) (rate, allocations float64) {
	runtime.GOMAXPROCS(c.threads)
	turns := c.make()
	timed := func(n uint64) (time.Duration, float64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		if turns(n) != n*c.batch {
			log.Fatal("not all of the work was done")
		}
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		return took, float64(after.Mallocs - before.Mallocs)
	}
	warm := time.Now().Add(5 * time.Millisecond)
	for n := uint64(1); time.Now().Before(warm) && n < 100_000; n *= 4 {
		timed(n)
	}
	for n := uint64(1); ; {
		took, allocations := timed(n)
		if took >= minTime {
			return float64(n*c.batch) / took.Seconds(), allocations / float64(n*c.batch)
		}
		wanted := float64(n) * 1.4 * float64(minTime) / float64(took+1)
		n = min(max(uint64(wanted), n+1), n*10)
	}
}

// measure lists the contenders, or measures them, as the command line says.
func measure(all []contender) {
	list := flag.Bool("benchmark_list_tests", false, "")
	filter := flag.String("benchmark_filter", "", "one, by its whole name, as a regex")
	flag.String("benchmark_format", "json", "always")
	minTime := flag.Float64("benchmark_min_time", 0.5, "seconds")
	flag.Parse()
	name := strings.NewReplacer("^", "", "$", "", `\`, "").Replace(*filter)
	var measured []string
	for _, c := range all {
		if *list {
			fmt.Println(c.name)
		} else if name == "" || c.name == name {
			rate, allocations := c.rate(time.Duration(*minTime * float64(time.Second)))
			measured = append(measured, fmt.Sprintf(
				`  {"name": %q, "items_per_second": %g, "allocations_per_op": %g}`,
				c.name, rate, allocations))
		}
	}
	if !*list {
		fmt.Printf("{\"benchmarks\": [\n%s\n]}\n", strings.Join(measured, ",\n"))
	}
}
