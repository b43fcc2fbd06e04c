package scim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProject(t *testing.T) {
	t.Parallel()
	const (
		schemas = `"schemas":["` + UserURN + `","` + urnENT + `","` + urnOwn + `"],"id":"u1"`
		user    = `"userName":"ann"`
		name    = `"name":{"familyName":"F","givenName":"G"}`
		emails  = `"emails":[{"value":"w@x","type":"work"},{"value":"h@x"}]`
		entData = `"` + urnENT + `":{"department":"D","manager":{"value":"m1","displayName":"Max"}}`
		meta    = `"meta":{"resourceType":"User","version":"W/\"3\""}`
	)
	resource := `{` + schemas + `,` + user + `,` + name + `,"password":"s3cret",` + emails + `,` + entData + `,"` + urnOwn + `":{"badge":"B1","onDemand":"o","secret":"s","desk":{"number":4,"pin":"9","serial":"S","note":"n"}},` + meta + `}`
	own := func(s string) string { return `"` + urnOwn + `":` + s }
	const ownData = `{"badge":"B1","desk":{"number":4,"serial":"S"}}`
	all := func(parts ...string) string { return `{` + schemas + `,` + strings.Join(parts, ",") + `}` }
	for label, c := range map[string]struct {
		only, without []string
		sent          string
		want          string
	}{
		"by default":                   {want: all(user, name, emails, entData, own(ownData), meta)},
		"R-01 one":                     {only: []string{"userName"}, want: all(user)},
		"R-02 id and schemas stay":     {without: []string{"id,schemas", "meta"}, want: all(user, name, emails, entData, own(ownData))},
		"R-03 password":                {only: []string{"password", urnOwn + ":secret", urnOwn + ":desk.pin"}, want: all(own(`{"desk":{"number":4}}`))},
		"R-04 a part":                  {only: []string{"name.givenName"}, want: all(`"name":{"givenName":"G"}`)},
		"R-05 a part of every element": {only: []string{"emails.value"}, want: all(`"emails":[{"value":"w@x"},{"value":"h@x"}]`)},
		"R-05 a part of some":          {only: []string{"emails.type"}, want: all(`"emails":[{"type":"work"}]`)},
		"R-06 of an extension":         {only: []string{urnENT + ":department"}, want: all(`"` + urnENT + `":{"department":"D"}`)},
		"R-07 an extension":            {only: []string{urnENT}, want: all(entData)},
		"R-07 the core schema":         {only: []string{UserURN}, want: all(user, name, emails)},
		"R-08 URN in any case":         {only: []string{strings.ToUpper(UserURN) + ":username"}, want: all(user)},
		"R-09 a part left out":         {without: []string{urnENT + ":manager.displayName", "emails"}, want: all(user, name, `"`+urnENT+`":{"department":"D","manager":{"value":"m1"}}`, own(ownData), meta)},
		"R-09 an extension left out":   {without: []string{urnENT, urnOwn}, want: all(user, name, emails, meta)},
		"R-12 unknown names":           {only: []string{"bogus", "name.bogus", ""}, want: `{` + schemas + `}`},
		"R-13 on request":              {only: []string{urnOwn + ":onDemand"}, want: all(own(`{"onDemand":"o"}`))},
		"R-13 a part on request":       {only: []string{urnOwn + ":desk.note"}, want: all(own(`{"desk":{"number":4,"note":"n"}}`))},
		"R-13 just sent":               {sent: `{` + own(`{"ONDEMAND":"o","desk":{"note":"n"}}`) + `}`, want: all(user, name, emails, entData, own(`{"badge":"B1","onDemand":"o","desk":{"number":4,"serial":"S","note":"n"}}`), meta)},
		"R-13 just sent, left out":     {sent: `{` + own(`{"onDemand":"o"}`) + `}`, without: []string{urnOwn + ":onDemand"}, want: all(user, name, emails, entData, own(ownData), meta)},
		"R-15 always, in a projected":  {without: []string{urnOwn + ":desk.number", urnOwn + ":desk.serial"}, want: all(user, name, emails, entData, own(`{"badge":"B1","desk":{"number":4}}`), meta)},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			rt := userType()
			p, err := ParseProjection(rt, c.only, c.without)
			if err != nil {
				t.Fatal(err)
			}
			var sent Attributes
			if c.sent != "" {
				sent = decoded(t, c.sent)
			}
			in := decoded(t, resource)
			got := string(rt.EncodeJSON(p.Project(in, sent)))
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if diff := cmp.Diff(in, decoded(t, resource)); diff != "" {
				t.Errorf("Project changed its argument:\n%s", diff)
			}
		})
	}
}

func TestProject_PatchTellsWhatItSent(t *testing.T) {
	t.Parallel()
	rt := userType()
	for _, in := range []string{
		`{"op":"add","path":"` + urnOwn + `:onDemand","value":"o"}`,
		`{"op":"add","value":{"` + urnOwn + `":{"onDemand":"o"}}}`,
	} {
		p, err := ParsePatch(rt, []byte(operations(in)), RFC)
		if err != nil {
			t.Fatal(err)
		}
		proj, err := ParseProjection(rt, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := proj.Project(Attributes{urnOwn: map[string]any{"onDemand": "o"}}, p.Sent())
		if diff := cmp.Diff(got, Attributes{urnOwn: map[string]any{"onDemand": "o"}}); diff != "" {
			t.Errorf("%s, got before want:\n%s", in, diff)
		}
	}
}

func TestParseProjection_R10_NotBoth(t *testing.T) {
	t.Parallel()
	if _, err := ParseProjection(userType(), []string{"userName"}, []string{"title"}); answer(err) != "400 invalidValue" {
		t.Errorf("got %v", err)
	}
	if _, err := ParseProjection(userType(), []string{"userName"}, []string{" "}); err != nil {
		t.Errorf("a blank parameter is none: %v", err)
	}
}

func TestProjection_Wants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		only, without string
		want          bool
	}{
		{"", "", true},
		{"members", "", true},
		{"members.value", "", true},
		{"displayName", "", false},
		{"", "Members", false},
		{"", "members.display", true},
	} {
		p, err := ParseProjection(GroupType(), []string{c.only}, []string{c.without})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Wants("members"); got != c.want {
			t.Errorf("attributes=%s excludedAttributes=%s: got %v", c.only, c.without, got)
		}
	}
}
