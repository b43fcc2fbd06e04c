package directory

import "time"

// Settings is what the operator's file says about a directory beyond its name, dialect and key. The zero value is the
// default of each.
type Settings struct {
	RequestLog RequestLog `json:"request_log,omitzero"`
	RateLimit  RateLimit  `json:"rate_limit,omitzero"`
	Roles      Roles      `json:"roles,omitzero"`
	Brake      Brake      `json:"brake,omitzero"`
	// Extensions is nil where the file says nothing of them, and empty where it wants none.
	Extensions []Extension `json:"extensions,omitzero"`
}

// RateLimit says how many requests a directory is answered.
type RateLimit struct {
	PerMinute int64 `json:"per_minute,omitempty"`
}

const (
	// DefaultPerMinute is a hundred requests a second: several times what any provider sends in its first push, and little
	// enough that a client in a loop does not take the store from everybody else.
	DefaultPerMinute = 6000
	// MaxPerMinute bounds what a file may say; it is beyond what a node can answer.
	MaxPerMinute = 10_000_000
	// RateWindow is what requests are counted in.
	RateWindow = time.Minute
)

// Requests is how many requests are answered in a RateWindow.
func (l RateLimit) Requests() int64 {
	if l.PerMinute <= 0 {
		return DefaultPerMinute
	}
	return l.PerMinute
}
