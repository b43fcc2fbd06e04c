package directory

import "time"

// Brake says how many people a directory may take away at once before new rights that it brings are held and administrators
// are asked. The zero value is the default.
type Brake struct {
	Percent       int64 `json:"percent,omitempty"` // of its records
	Minimum       int64 `json:"minimum,omitempty"` // and at least so many
	WindowSeconds int64 `json:"window_seconds,omitempty"`
}

// The defaults: a fifth of a directory does not leave within an hour unless somebody changed an assignment by mistake.
const (
	DefaultBrakePercent = 20
	DefaultBrakeMinimum = 20
	DefaultBrakeWindow  = time.Hour
)

// AtLeast is how many departures are never too many, plus one.
func (b Brake) AtLeast() int64 {
	if b.Minimum <= 0 {
		return DefaultBrakeMinimum
	}
	return b.Minimum
}

// Share is the percentage of a directory's records.
func (b Brake) Share() int64 {
	if b.Percent <= 0 {
		return DefaultBrakePercent
	}
	return b.Percent
}

// In is the window departures are counted in.
func (b Brake) In() time.Duration {
	if b.WindowSeconds <= 0 {
		return DefaultBrakeWindow
	}
	return time.Duration(b.WindowSeconds) * time.Second
}

// Threshold is the number of departures at which a directory of so many records is braked.
func (b Brake) Threshold(records int64) int64 {
	return max(b.AtLeast(), (records*b.Share()+99)/100)
}
