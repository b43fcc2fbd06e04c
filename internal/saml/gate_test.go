package saml

import (
	"errors"
	"testing"
	"time"
)

// FuzzGate: whatever passes the gate is a tree in which every prefix is declared and every id is alone, and nothing takes
// longer than a bomb may.
func FuzzGate(f *testing.F) {
	for _, seed := range []string{
		`<r/>`, `<?xml version="1.0"?><a:r xmlns:a="b" ID="1"><c Id="2">x &amp; y</c></a:r>`, `<!DOCTYPE r><r/>`, `<r><![CDATA[x]]></r>`,
		`<r a="1" a="2"/>`, `<r><a ID="1"/><b id="1"/></r>`, `<x:r/>`, `<r xmlns:p=""/>`, `<r></s>`, "<r>\x00</r>", `<r>&lt;!</r>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		start := time.Now()
		for _, l := range []limits{messageLimits, metadataLimits} {
			root, err := parse(raw, l)
			var r *Refusal
			if err != nil && !errors.As(err, &r) {
				t.Fatalf("an error that is no refusal: %v", err)
			}
			if err != nil {
				continue
			}
			if err := walk(root, map[string]bool{}); err != nil {
				t.Fatal(err)
			}
			_ = shape(root)
			// What was let in is let in again as it is written.
			again, err := serialize(root.Copy())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parse(again, l); err != nil && len(again) <= l.bytes {
				t.Fatalf("%q passed, and %q did not: %v", raw, again, err)
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

func TestRescue_APanicIsARefusal(t *testing.T) {
	t.Parallel()
	f := func() (err error) {
		defer rescue(&err)
		var nothing *Connection
		return nothing.envelope(nil, Expectation{}, time.Time{})
	}
	var r *Refusal
	if err := f(); !errors.As(err, &r) || r.Check != CheckShape {
		t.Errorf("got %v", err)
	}
}
