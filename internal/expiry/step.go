package expiry

import "time"

// Steps are how many days ahead people are told, and how loudly pages speak of it.
var Steps = []Step{{60, "info"}, {30, "warn"}, {14, "warn"}, {7, "warn"}, {1, "bad"}}

// Step is one of the days ahead.
type Step struct {
	Days int
	Tone string
}

// LastWord is the step after the end.
const LastWord = 0

// lastWordFor is how long after an end it is still worth a letter: who starts to be told on a day when something has been over for a
// year has lived without it.
const lastWordFor = 7 * 24 * time.Hour

// Tone says how loudly a page speaks of something that ends at a time; "" for what is far.
func Tone(at, now time.Time) string {
	step, near := stepOf(at, now)
	switch {
	case !near:
		return ""
	case step == LastWord:
		return "bad"
	}
	for _, s := range Steps {
		if s.Days == step {
			return s.Tone
		}
	}
	return ""
}

// stepOf gives the nearest step that a time has reached.
func stepOf(at, now time.Time) (days int, near bool) {
	left := at.Sub(now)
	if left <= 0 {
		return LastWord, true
	}
	for _, s := range Steps {
		if left <= time.Duration(s.Days)*24*time.Hour {
			days, near = s.Days, true
		}
	}
	return days, near
}

// Told is what people were last told of a thing; the zero value is nothing.
type Told struct {
	At   time.Time // the end they were told of
	Step int
}

// Due says which step is to be told now. Each is told once for one end; an end that has moved begins anew, and steps that were
// missed are not made up for: the nearest says it all. A step that lies before the thing was made says nothing to anybody, since
// whoever made it chose the end.
func Due(i Item, told Told, now time.Time) (step int, due bool) {
	if !i.Told {
		return 0, false
	}
	step, near := stepOf(i.At, now)
	known := told.At.Equal(i.At)
	switch {
	case !near, known && told.Step <= step:
		return 0, false
	case step == LastWord:
		return step, !i.Spare && (known || now.Sub(i.At) <= lastWordFor)
	}
	return step, !i.At.Add(-time.Duration(step) * 24 * time.Hour).Before(i.Made)
}
