package audit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/audit"
)

func TestCSVRow_RunsNothingInASpreadsheet(t *testing.T) {
	t.Parallel()
	row := audit.CSVRow(audit.Event{
		At: 1, Action: "user.created", TargetName: `=HYPERLINK("http://evil.example")`, Reason: "@SUM(1)", Actor: audit.Actor{Name: "-1", IP: "192.0.2.1"},
		After: []byte(`{"a":1}`),
	})
	got := map[string]string{}
	for i, column := range audit.CSVHeader {
		if row[i] != "" {
			got[column] = row[i]
		}
	}
	want := map[string]string{
		"time": "1970-01-01T00:00:00.000001Z", "action": "user.created", "target_name": `'=HYPERLINK("http://evil.example")`,
		"reason": "'@SUM(1)", "actor_name": "'-1", "ip": "192.0.2.1", "after": `{"a":1}`,
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}
