package id_test

import (
	"slices"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

func TestNew_GrowsWithTime(t *testing.T) {
	t.Parallel()
	made := make([]id.User, 1000)
	for i := range made {
		made[i] = id.New[id.User]()
		if !id.IsUUID(string(made[i])) {
			t.Fatalf("%q is no UUID", made[i])
		}
	}
	if !slices.IsSorted(made) {
		t.Error("ids made one after the other are not in order, so a listing by id is none by age")
	}
}

func TestAt_IsInTheOrderOfTheMomentsAndOfTheMaking(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
	var made []id.Request
	for i := range 3000 { // two thirds of them come in threes, of one moment
		made = append(made, id.At[id.Request](moment.Add(time.Duration(i/3)*time.Microsecond)))
	}
	for _, m := range made {
		if !id.IsUUID(string(m)) || m[14] != '7' {
			t.Fatalf("%q is no UUIDv7", m)
		}
	}
	if !slices.IsSorted(made) || len(slices.Compact(made)) != 3000 {
		t.Error("ids of moments are not in their order, or not different")
	}
}

func TestFrom_StandsBetweenWhatWasMadeBeforeAndSince(t *testing.T) {
	t.Parallel()
	for _, moment := range []time.Time{
		time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC), time.Date(2026, time.March, 2, 9, 0, 0, 999_999_000, time.UTC),
		time.Date(2099, time.December, 31, 23, 59, 59, 1_000, time.UTC), time.Now().Truncate(time.Microsecond),
	} {
		from := id.From[id.Request](moment)
		for range 100 {
			if before, at := id.At[id.Request](moment.Add(-time.Microsecond)), id.At[id.Request](moment); before >= from || at < from {
				t.Fatalf("%s is not between %s and %s", from, before, at)
			}
		}
	}
	if before, now := id.From[id.Request](time.Now()), id.New[id.Request](); now < before {
		t.Errorf("%s was made before %s", now, before)
	}
	// A moment before all ids is below them all, and not above: what is to go if it is older would all go.
	if from := id.From[id.Request](time.Date(1900, time.January, 1, 0, 0, 0, 0, time.UTC)); from > id.At[id.Request](time.Unix(0, 0)) {
		t.Errorf("%s", from)
	}
}

func TestDeclared_TakesWhatNeedsNoEscaping(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"northwind": true, "london-1": true, "a.b_c": true, "0": true,
		"": false, "North": false, "-a": false, "a/b": false, "a b": false, "ä": false, "a%2f": false,
		string(make([]byte, 64)): false,
	} {
		if got := id.Declared(s); got != want {
			t.Errorf("Declared(%q) = %t, want %t", s, got, want)
		}
	}
}
