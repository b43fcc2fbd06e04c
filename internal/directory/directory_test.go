package directory

import (
	"testing"

	"pgregory.net/rapid"
)

func TestStatusOf(t *testing.T) {
	t.Parallel()
	yes, no := []bool{true}, []bool{false}
	for _, tt := range []struct {
		name  string
		facts Facts
		want  Status
	}{
		{"no source is left", Facts{}, Deleted},
		{"the one record says active", Facts{Records: yes}, Active},
		{"the one record says inactive", Facts{Records: no}, Suspended},
		{"another directory's record outvotes", Facts{Records: []bool{false, true}}, Active},
		{"a just-in-time source does not outvote", Facts{Records: no, Local: JustInTime}, Suspended},
		{"an invitation does not outvote", Facts{Records: no, Local: Invitation}, Suspended},
		{"kept without directory outvotes", Facts{Records: no, KeptWithoutDirectory: true}, Active},
		{"kept without directory after the record went", Facts{KeptWithoutDirectory: true}, Active},
		{"signed in just in time", Facts{Local: JustInTime}, Active},
		{"invited and not accepted", Facts{Local: Invited}, Pending},
		{"a record makes an invited user active", Facts{Local: Invited, Records: yes}, Active},
		{"suspended by an administrator", Facts{Records: yes, SuspendedByAdministrator: true}, Suspended},
		{"suspended, kept without directory", Facts{KeptWithoutDirectory: true, SuspendedByAdministrator: true}, Suspended},
		{"suspended, then deleted by its directory", Facts{SuspendedByAdministrator: true}, Deleted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := StatusOf(tt.facts); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// Nobody whom every record calls inactive is active unless an administrator kept him.
func TestStatusOf_ALeaverIsNeverActive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := Facts{
			SuspendedByAdministrator: rapid.Bool().Draw(t, "suspended"),
			Local:                    rapid.SampledFrom([]LocalSource{NoSource, JustInTime, Invited, Invitation, ByOperator}).Draw(t, "local"),
			Records:                  make([]bool, rapid.IntRange(1, 4).Draw(t, "records")),
		}
		if got := StatusOf(f); got == Active || got == Pending {
			t.Fatalf("%+v is %s", f, got)
		}
	})
}
