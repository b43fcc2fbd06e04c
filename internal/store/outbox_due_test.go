package store_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// A look passes over what a worker has no place for, however much of it there is, and takes nothing; who was chosen is leased, and
// nobody else.
func TestOutbox_ALookPassesOverWhatIsFull(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		db := storetest.Open(t, kind, storetest.WithClock(clock))
		put := func(o id.Organization, n int, k outbox.Kind, destination string) {
			list := make([]outbox.Delivery, n)
			for i := range list {
				list[i] = outbox.Delivery{Kind: k, Destination: destination, Payload: json.RawMessage(`{}`)}
			}
			post(t, db, o, list...)
			clock.Advance(time.Second)
		}
		put("northwind", 20, outbox.Webhook, "https://slow.example")
		put("northwind", 1, outbox.Webhook, "https://quick.example")
		put("northwind", 1, outbox.Mail, "https://slow.example")
		put("eastwind", 1, outbox.Webhook, "https://slow.example")
		put("eastwind", 1, outbox.SMS, "•• 12")
		look := func(n int, full outbox.Full) (list []outbox.Delivery, names []string) {
			t.Helper()
			list, err := db.DueDeliveries(t.Context(), n, full)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range list {
				names = append(names, string(d.Organization)+" "+string(d.Kind)+" "+d.Destination)
			}
			return list, names
		}
		slowHook, quickHook := "northwind webhook https://slow.example", "northwind webhook https://quick.example"
		letter, east, code := "northwind mail https://slow.example", "eastwind webhook https://slow.example", "eastwind sms •• 12"
		for name, c := range map[string]struct {
			full outbox.Full
			want []string
		}{
			"nothing":         {outbox.Full{}, []string{slowHook, slowHook, slowHook, slowHook}},
			"a kind":          {outbox.Full{Kinds: []outbox.Kind{outbox.Webhook}}, []string{letter, code}},
			"an organization": {outbox.Full{Organizations: []string{outbox.OfOrganization(outbox.Webhook, "northwind")}}, []string{letter, east, code}},
			"a destination":   {outbox.Full{Destinations: []string{outbox.OfDestination(outbox.Webhook, "https://slow.example")}}, []string{quickHook, letter, code}},
			"all of them": {outbox.Full{
				Kinds: []outbox.Kind{outbox.SMS}, Organizations: []string{outbox.OfOrganization(outbox.Webhook, "northwind")},
				Destinations: []string{outbox.OfDestination(outbox.Mail, "https://slow.example")},
			}, []string{east}},
		} {
			if _, got := look(4, c.full); !slices.Equal(got, c.want) {
				t.Errorf("without %s: got %v, want %v", name, got, c.want)
			}
		}
		chosen, _ := look(4, outbox.Full{Kinds: []outbox.Kind{outbox.Webhook}})
		for _, want := range []int{2, 0} { // by the first who asks, and not by the second
			taken, err := db.LeaseDeliveries(t.Context(), 10, time.Minute, chosen[0].ID, chosen[1].ID)
			if err != nil || len(taken) != want {
				t.Fatalf("took %v (%v), want %d", taken, err, want)
			}
		}
		if left, _ := look(100, outbox.Full{}); len(left) != 22 {
			t.Errorf("%d are due beside what is leased, want 22", len(left))
		}
		clock.Advance(time.Minute)
		if again, _ := look(100, outbox.Full{}); len(again) != 24 {
			t.Errorf("%d are due after the lease, want 24", len(again))
		}
	})
}
