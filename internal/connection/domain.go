package connection

import (
	"slices"
	"time"
)

// ChallengeName is where the record stands that proves a domain.
func ChallengeName(domain string) string { return "_vestibule-challenge." + domain }

// How a proof is looked at again: daily, and a record that has gone is waited for this long, since zones are edited by people.
const (
	ProofEvery = 24 * time.Hour
	ProofGrace = 7 * 24 * time.Hour
)

// Proof is where the proof of a domain stands.
type Proof struct {
	Challenge string
	Verified  time.Time // zero: not proven yet, or no longer
	Failing   time.Time // since when the record of a proven domain is missing; zero: it is there
	Lapsed    time.Time // when it was given up; zero: never
}

// State of a proof, as a word.
func (p Proof) State() string {
	switch {
	case !p.Lapsed.IsZero():
		return "lapsed"
	case p.Verified.IsZero():
		return "waiting"
	case !p.Failing.IsZero():
		return "failing"
	}
	return "proven"
}

// Judge gives the proof after the zone was asked. An answer that could not be had says nothing either way.
func (p Proof) Judge(records []string, answered bool, now time.Time) Proof {
	stands := slices.Contains(records, p.Challenge)
	switch {
	case !answered:
	case stands && p.Verified.IsZero():
		p.Verified, p.Failing, p.Lapsed = now, time.Time{}, time.Time{}
	case stands:
		p.Failing = time.Time{}
	case p.Verified.IsZero():
	case p.Failing.IsZero():
		p.Failing = now
	case !now.Before(p.Failing.Add(ProofGrace)):
		p.Verified, p.Failing, p.Lapsed = time.Time{}, time.Time{}, now
	}
	return p
}
