// Command bench measures Vestibule from outside, as a process, against floors measured in the same run, alternating with
// them: pgbench's insert of a SCIM-shaped row, a raw SQLite insert, a hello handler, a bare decode-and-encode of the same
// body, and the bare signer. What it prints are ratios and CPU time per operation, which travel between machines; the rates
// beside them do not. Run it by `make bench`; it asserts nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

type options struct {
	binary     string
	rounds     int
	span       time.Duration
	population int
	groups     []int
	stores     []string
	only       []string
	sync       int
	pg         *pgFloor // made once for all stores
}

func main() {
	log.SetFlags(0)
	var o options
	var groups, stores, only, child string
	flag.StringVar(&o.binary, "binary", "bin/vestibule", "the vestibule to measure")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; the median is printed")
	flag.DurationVar(&o.span, "span", 1500*time.Millisecond, "how long one measurement of one round takes")
	flag.IntVar(&o.population, "population", 100_000, "users held when the large figures are taken")
	flag.StringVar(&groups, "groups", "1000,10000,100000", "group sizes for PATCH")
	flag.StringVar(&stores, "stores", "postgres,sqlite", "stores to measure")
	flag.StringVar(&only, "only", "create,changes,reads,search,groups,tokens", "what to measure")
	flag.IntVar(&o.sync, "sync", 0, "instead of everything else, sync so many users for the first time")
	flag.StringVar(&child, "child", "", "run as the floor's server at this address (used by bench itself)")
	flag.Parse()
	if child != "" {
		log.Fatal(serveFloor(child))
	}
	for _, g := range strings.Split(groups, ",") {
		n, err := strconv.Atoi(g)
		if err != nil {
			log.Fatalf("-groups: %q is not a number", g)
		}
		o.groups = append(o.groups, n)
	}
	o.stores, o.only = strings.Split(stores, ","), strings.Split(only, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o options) error {
	floor, err := startFloor(ctx)
	if err != nil {
		return err
	}
	defer floor.stop()
	signers := measureSigners(o.span)
	fmt.Printf("signer: ES256 %.0f/s, RS256 %.0f/s (2 goroutines)\n", signers.es256, signers.rs256)
	for _, kind := range o.stores {
		fmt.Printf("\n== %s, %d rounds of %s\n", kind, o.rounds, o.span)
		if err := measureStore(ctx, o, kind, floor, signers); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// measureStore measures each thing on a store of its own: what one leaves behind, in the tables and for the jobs, is not the next one's.
func measureStore(ctx context.Context, o options, kind string, floor *floorServer, signers signerRates) error {
	if kind == "postgres" {
		pg, err := newPGFloor(os.Getenv("VESTIBULE_TEST_POSTGRES"))
		if err != nil {
			return err
		}
		o.pg = pg
	}
	fresh := func(measure func(v *vestibule) error) error {
		v, err := startVestibule(ctx, o, kind)
		if err != nil {
			return err
		}
		defer v.stop()
		return measure(v)
	}
	idle := func(v *vestibule) {
		fmt.Printf("idle: %.1f MB resident; ready after %s on an existing store (5 starts: %s)\n", v.idleRSS, v.readyMedian, v.readyAll)
	}
	if o.sync > 0 {
		return fresh(func(v *vestibule) error {
			idle(v)
			return v.measureSync(ctx)
		})
	}
	first := true
	for _, m := range []struct {
		name    string
		measure func(v *vestibule) error
	}{
		{"create", func(v *vestibule) error { return v.measureCreate(ctx, floor) }},
		{"changes", func(v *vestibule) error { return v.measureChanges(ctx) }},
		{"reads", func(v *vestibule) error { return v.measureReads(ctx, floor) }},
		{"search", func(v *vestibule) error { return v.measureSearch(ctx) }},
		{"groups", func(v *vestibule) error { return v.measureGroups(ctx) }},
		{"tokens", func(v *vestibule) error { return v.measureTokens(ctx, floor, signers) }},
	} {
		if !slices.Contains(o.only, m.name) {
			continue
		}
		err := fresh(func(v *vestibule) error {
			if first {
				idle(v)
			}
			first = false
			return m.measure(v)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}
