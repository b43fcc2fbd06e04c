package scim

import (
	"strings"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// Fold maps a string to the form in which values of a caseExact=false attribute are compared:
// canonical decomposition, full case folding, composition (Unicode 3.13, D145, in form C). Two
// strings that differ only in case or in composition fold to the same bytes.
func Fold(s string) string {
	if ascii(s) {
		return lower(s)
	}
	folded := cases.Fold().String(norm.NFD.String(s))
	return norm.NFC.String(strings.Map(foldCherokee, folded))
}

// foldCherokee folds the one script whose small letters fold to capitals (Unicode CaseFolding.txt).
// The library swaps the two instead.
func foldCherokee(r rune) rune {
	switch {
	case r >= 0xab70 && r <= 0xabbf:
		return r - 0xab70 + 0x13a0
	case r >= 0x13f8 && r <= 0x13fd:
		return r - 8
	}
	return r
}

// UserNameKey maps a user name to the form in which it is unique (RFC 7644 section 5 asks for the
// PRECIS profile UsernameCaseMapped of RFC 8265 section 3.3): full-width and half-width forms become
// ordinary ones, and Fold does the rest. On every name that the profile accepts it unites at least
// what the profile unites. Names that the profile refuses (it allows no blanks) have a key too:
// refusing them would lock out people whom their directory knows.
func UserNameKey(s string) string {
	if !ascii(s) {
		s = width.Fold.String(s)
	}
	return Fold(s)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Folded is the copy of a resource that a store keeps to filter by: every caseExact=false string
// folded, the resource type's Key by UserNameKey, every dateTime int64 microseconds since 1970 UTC,
// empty strings left out. On it a Filter needs only plain comparisons of bytes and numbers.
func Folded(rt *ResourceType, a Attributes) Attributes {
	out := make(Attributes, len(a))
	foldObject(rt, commonAttributes, a, out)
	foldObject(rt, rt.Schema.Attributes, a, out)
	for _, x := range rt.Extensions {
		if m, ok := a[x.Schema.ID].(map[string]any); ok {
			if f := foldObject(rt, x.Schema.Attributes, m, map[string]any{}); len(f) > 0 {
				out[x.Schema.ID] = f
			}
		}
	}
	return out
}

// EncodeFolded is EncodeJSON of Folded, without the copy between and without what the server adds: id and meta.
func (rt *ResourceType) EncodeFolded(a Attributes) []byte {
	e := encoder{}
	e.b.Grow(usualSize)
	e.b.WriteByte('{')
	e.fold(rt, foldedFirst, a)
	e.fold(rt, rt.Schema.Attributes, a)
	for _, x := range rt.Extensions {
		if m, ok := a[x.Schema.ID].(map[string]any); ok {
			before := e.b.Len()
			e.name(x.Schema.ID)
			e.b.WriteByte('{')
			if !e.fold(rt, x.Schema.Attributes, m) {
				e.b.Truncate(before)
				continue
			}
			e.b.WriteByte('}')
		}
	}
	e.b.WriteByte('}')
	return e.b.Bytes()
}

var foldedFirst = []*Attribute{schemasAttribute, externalIDAttribute}

// fold writes the attributes of an object as a filter sees them, and tells whether there were any.
func (e *encoder) fold(rt *ResourceType, attributes []*Attribute, m map[string]any) (any bool) {
	for _, a := range attributes {
		v := m[a.Name]
		if v == nil || a.Returned == ReturnedNever {
			continue
		}
		before := e.b.Len()
		e.name(a.Name)
		if !e.foldValue(rt, a, v) {
			e.b.Truncate(before)
			continue
		}
		any = true
	}
	return any
}

// foldValue writes what foldObject makes of a value, or answers false where a filter sees none.
func (e *encoder) foldValue(rt *ResourceType, a *Attribute, v any) bool {
	switch v := v.(type) {
	case []any:
		e.b.WriteByte('[')
		some := false
		for _, x := range v {
			before := e.b.Len()
			if some {
				e.b.WriteByte(',')
			}
			if !e.foldValue(rt, a, x) {
				e.b.Truncate(before)
				continue
			}
			some = true
		}
		e.b.WriteByte(']')
		return some
	case map[string]any:
		e.b.WriteByte('{')
		some := e.fold(rt, a.Sub, v)
		e.b.WriteByte('}')
		return some
	case string:
		if v != "" && a.Type != TypeDateTime {
			writeString(&e.b, foldText(rt, a, v))
			return true
		}
	}
	folded := foldValue(rt, a, v)
	if folded == nil {
		return false
	}
	e.one(a, folded)
	return true
}

func foldObject(rt *ResourceType, attributes []*Attribute, m, out map[string]any) map[string]any {
	for _, a := range attributes {
		if a.Returned == ReturnedNever {
			continue
		}
		list, ok := m[a.Name].([]any)
		if !ok {
			if v := foldValue(rt, a, m[a.Name]); v != nil {
				out[a.Name] = v
			}
			continue
		}
		var folded []any
		for _, x := range list {
			if v := foldValue(rt, a, x); v != nil {
				folded = append(folded, v)
			}
		}
		if folded != nil {
			out[a.Name] = folded
		}
	}
	return out
}

// foldValue gives nil for what a filter sees as no value.
func foldValue(rt *ResourceType, a *Attribute, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if m := foldObject(rt, a.Sub, v, make(map[string]any, len(v))); len(m) > 0 {
			return m
		}
		return nil
	case string:
		if v == "" {
			return nil
		}
		if a.Type == TypeDateTime {
			if micros, ok := parseDateTime(v); ok {
				return micros
			}
			return nil
		}
		return foldText(rt, a, v)
	}
	return v
}

func foldText(rt *ResourceType, a *Attribute, s string) string {
	switch {
	case a.CaseExact:
		return s
	case rt.Key != "" && sameName(a.Name, rt.Key) && a == rt.Schema.Attribute(rt.Key):
		return UserNameKey(s)
	}
	return Fold(s)
}

// parseDateTime reads an xsd:dateTime (RFC 7643 section 2.3.5). One without a zone is taken as UTC.
func parseDateTime(s string) (micros int64, ok bool) {
	if strings.Contains(s, ",") { // time.Parse takes it for a decimal point
		return 0, false
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMicro(), true
		}
	}
	return 0, false
}
