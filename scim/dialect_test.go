package scim

import "testing"

func TestDialects_NameASourceForEachDeviationOnce(t *testing.T) {
	t.Parallel()
	used := map[Deviation]bool{}
	for _, d := range Dialects {
		if got, ok := DialectNamed(d.Name); !ok || got != d {
			t.Errorf("%s is not found by its name", d.Name)
		}
		seen := map[Deviation]bool{}
		for _, a := range d.Allowances {
			used[a.Deviation] = true
			if seen[a.Deviation] || a.Source == "" {
				t.Errorf("%s: %s stands twice or has no source", d.Name, a.Deviation)
			}
			seen[a.Deviation] = true
		}
	}
	if len(RFC.Allowances) != 0 || (*Dialect)(nil).Allows(SameID) {
		t.Error("the standard forgives something")
	}
	for _, x := range []Deviation{
		BooleanStrings, CreateOnMiss, RemoveByValue, SubAfterFilter, LooseComplex, EmptyClears, LegacySchemas, NoSchemas,
		KeepMembers, SameID, ReadOnlyInPatch, IgnoreUnknown, SkipUnknownMembers, SkipRefusedRoles, UniqueGroupNames,
	} {
		if !used[x] {
			t.Errorf("no dialect uses %s", x)
		}
	}
	if _, ok := DialectNamed("nobody"); ok {
		t.Error("an unknown dialect is found")
	}
}
