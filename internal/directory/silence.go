package directory

import (
	"slices"
	"time"
)

// What a rhythm is learned from.
const (
	// RhythmWindow is how far back calls are looked at: four weeks hold four weekends.
	RhythmWindow = 28 * 24 * time.Hour
	// RhythmApart is how far apart two calls are at least: a cycle of thousands of requests is one call.
	RhythmApart = time.Hour
	// rhythmCalls are wanted before a rhythm is believed.
	rhythmCalls = 10
	// patienceLeast is waited for at least, however often a directory calls: a provider has its bad hours, too.
	patienceLeast = 3 * time.Hour
)

// The patience with a directory that has not been heard of enough. Entra calls about every 40 minutes whatever happens there; Google
// looks every few hours. The others call when something changes, and a week without any change is rare in a directory of people.
var patience = map[string]time.Duration{"entra": 3 * time.Hour, "google": 24 * time.Hour}

const eventPatience = 7 * 24 * time.Hour

// Rhythm is how often a directory calls.
type Rhythm struct {
	Pause    time.Duration // the longest that is usual between two calls; zero where that is not known yet
	Patience time.Duration // after so long without a call it is silent
}

// RhythmOf learns a directory's rhythm from its calls, newest first and RhythmApart at least. The longest pause of all is left out,
// since one outage must not teach that outages are usual; the second longest is what recurs (nights, weekends), which a percentile
// would cut off wherever calls within the day are many.
func RhythmOf(dialect string, calls []time.Time) Rhythm {
	if len(calls) < rhythmCalls {
		if p, polls := patience[dialect]; polls {
			return Rhythm{Patience: p}
		}
		return Rhythm{Patience: eventPatience}
	}
	pauses := make([]time.Duration, 0, len(calls)-1)
	for i := range calls[1:] {
		pauses = append(pauses, calls[i].Sub(calls[i+1]))
	}
	slices.Sort(pauses)
	usual := pauses[len(pauses)-2]
	return Rhythm{Pause: usual, Patience: max(usual+usual/2, patienceLeast)}
}

// Silent says that a directory has not called for longer than it usually does. One that has never called is not silent, it was not
// begun with; and one that nothing lets in cannot call.
func (r Rhythm) Silent(d *Directory, now time.Time) bool {
	return d.Usable(now) && !d.LastRequest.IsZero() && now.Sub(d.LastRequest) > r.Patience
}

// Usable says that a directory has a credential that opens its door.
func (d *Directory) Usable(now time.Time) bool {
	return len(d.Clients) > 0 || slices.ContainsFunc(d.Tokens, func(t Token) bool { return t.Live(now) })
}

// Name is what people tell a token by.
func (t *Token) Name() string {
	if t.Source == TokenFromFile || t.Prefix == "" {
		return t.ID
	}
	return t.Prefix + "…"
}
