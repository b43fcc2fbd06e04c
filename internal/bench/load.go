package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// result is one measurement: how many operations in how long, their latencies, and the CPU the measured side used.
type result struct {
	n         int64
	failed    int64
	firstFail error
	elapsed   time.Duration
	latencies []time.Duration
	cpu       time.Duration // of the measured processes
	cpuOther  time.Duration // of the database beside them
}

func (r result) rate() float64 { return float64(r.n) / r.elapsed.Seconds() }

func (r result) cpuPer() float64 { return perOp(r.cpu, r.n) }

func (r result) cpuOtherPer() float64 { return perOp(r.cpuOther, r.n) }

func perOp(d time.Duration, n int64) float64 {
	if n == 0 {
		return 0
	}
	return float64(d.Microseconds()) / float64(n)
}

// p50 is the median latency in milliseconds.
func (r result) p50() float64 {
	if len(r.latencies) == 0 {
		return 0
	}
	slices.Sort(r.latencies)
	return float64(r.latencies[len(r.latencies)/2].Microseconds()) / 1000
}

// load runs op in a closed loop with workers for span. op gets the worker's number and a counter of its own.
func load(ctx context.Context, workers int, span time.Duration, cpu, other func() time.Duration, op func(worker, i int) error) result {
	return loadPrepared(ctx, workers, span, cpu, other, func(int, int) error { return nil }, op)
}

// loadPrepared is load with something before each operation that is not part of its latency (but is of the CPU).
func loadPrepared(ctx context.Context, workers int, span time.Duration, cpu, other func() time.Duration, prepare, op func(worker, i int) error) result {
	var r result
	var mu sync.Mutex
	var failed atomic.Int64
	cpu0, other0 := cpu(), other()
	start := time.Now()
	end := start.Add(span)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var own []time.Duration
			var first error
			for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
				err := prepare(w, i)
				t := time.Now()
				if err == nil {
					err = op(w, i)
				}
				if err != nil {
					failed.Add(1)
					if first == nil {
						first = err
					}
					continue
				}
				own = append(own, time.Since(t))
			}
			mu.Lock()
			r.latencies = append(r.latencies, own...)
			if r.firstFail == nil {
				r.firstFail = first
			}
			mu.Unlock()
		})
	}
	wg.Wait()
	r.elapsed = time.Since(start)
	r.n = int64(len(r.latencies))
	r.failed = failed.Load()
	r.cpu, r.cpuOther = cpu()-cpu0, other()-other0
	return r
}

func noCPU() time.Duration { return 0 }

// processCPU reads a process's user and system time, its reaped children's too.
func processCPU(pid int) func() time.Duration {
	return func() time.Duration { return statCPU(pid) }
}

// treeCPU is processCPU with the living children added: a PostgreSQL with its backends.
func treeCPU(pid int) func() time.Duration {
	return func() time.Duration {
		total := statCPU(pid)
		children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, file := range children {
			b, _ := os.ReadFile(file)
			for _, f := range strings.Fields(string(b)) {
				if child, err := strconv.Atoi(f); err == nil {
					total += statCPU(child)
				}
			}
		}
		return total
	}
}

// clockTick is USER_HZ, 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

func statCPU(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	var ticks int64
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(f[i], 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * clockTick
}

// residentMB is a process's resident set.
func residentMB(pid int) float64 { return statusMB(pid, "VmRSS:") }

// peakMB is the most that it was since resetPeak.
func peakMB(pid int) float64 { return statusMB(pid, "VmHWM:") }

// resetPeak lets the peak begin anew, at what is resident now, which it gives (proc(5), clear_refs).
func resetPeak(pid int) (float64, error) {
	err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	return residentMB(pid), err
}

func statusMB(pid int, field string) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

func median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	s := slices.Clone(xs)
	slices.Sort(s)
	return s[len(s)/2]
}

// series keeps one figure over the rounds.
type series map[string][]float64

func (s series) add(name string, x float64) { s[name] = append(s[name], x) }

func (s series) median(name string) float64 { return median(s[name]) }

// spread prints the median with its extremes: a wide one means the machine was noisy.
func (s series) spread(name string) string {
	xs := s[name]
	if len(xs) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(xs), slices.Min(xs), slices.Max(xs))
}

func verdict(holds bool) string {
	if holds {
		return "met"
	}
	return "NOT MET"
}

func failures(what string, rs ...result) {
	for _, r := range rs {
		if r.failed > 0 {
			fmt.Printf("  %s: %d of %d failed: %v\n", what, r.failed, r.failed+r.n, r.firstFail)
		}
	}
}
