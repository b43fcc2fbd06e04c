// Package outbox describes what leaves the house: a delivery that a transaction posts together with its change, that a
// job carries out afterwards, again and again until the other side has taken it or the tries are used up, and that leaves
// a receipt either way. Nothing is sent from inside a request.
package outbox

import (
	"encoding/json"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Kind says what a delivery is, and so which handler carries it out.
type Kind string

// The kinds of delivery.
const (
	Mail              Kind = "mail"
	BackChannelLogout Kind = "back-channel-logout"
	Webhook           Kind = "webhook"
	SMS               Kind = "sms"
	// ResetAsked is what somebody asked who has forgotten a password. Who is meant is looked up when it is carried out, so that asking
	// is the same work, and takes the same time, for an address that nobody has.
	ResetAsked Kind = "reset-asked"
)

// Delivery is one message to one destination. The store makes ID and Created when a transaction posts it.
type Delivery struct {
	ID           id.Delivery
	Organization id.Organization // '' for the installation's own
	Kind         Kind
	Destination  string          // as a person would name it: an address, an application, a host
	Payload      json.RawMessage // what the handler needs to build the message; secrets in it are sealed by the poster
	Created      int64           // UTC microseconds
	NextAt       int64           // when it is due; now when 0
	Attempts     int             // tries begun so far
	LeasedUntil  int64           // a worker has it until then; 0 for nobody
	Delivered    int64           // 0 until the other side took it
	Failed       int64           // 0 unless it was given up
	LastError    string          // what the last failed try said, safe to show
	Receipt      json.RawMessage // what the other side answered
}

// State says how a delivery stands.
type State string

// The states of a delivery.
const (
	Waiting   State = "waiting"  // on its way
	Retrying  State = "retrying" // a try has failed, and another one follows
	Delivered State = "delivered"
	GivenUp   State = "failed" // the tries are used up, or the other side wants it no more
)

// State says how the delivery stands.
func (d Delivery) State() State {
	switch {
	case d.Delivered > 0:
		return Delivered
	case d.Failed > 0:
		return GivenUp
	case d.LastError != "":
		return Retrying
	}
	return Waiting
}

// Over reports whether nothing more is tried.
func (d Delivery) Over() bool { return d.Delivered > 0 || d.Failed > 0 }

// MaxAttempts is after how many tries a delivery is given up: with Backoff that is a little over a day.
const MaxAttempts = 18

// Backoff is how long to wait after the given number of tries: five seconds, doubling, at most four hours. The caller
// adds jitter, so that what failed together does not come back together.
func Backoff(attempts int) time.Duration {
	d := 5 * time.Second
	for i := 1; i < attempts && d < 4*time.Hour; i++ {
		d *= 2
	}
	return min(d, 4*time.Hour)
}
