package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/store"
)

// matter is something that wants attention before it becomes trouble: what it is, and where one does something about it.
type matter struct {
	Tone  string
	Said  string
	To    templ.SafeURL
	Where string
}

// warnings are how many days before its end a token is spoken of, and how loudly.
var warnings = []struct {
	days int
	tone string
}{{1, "bad"}, {7, "warn"}, {14, "warn"}, {30, "warn"}, {60, "info"}}

// expiry says how soon a token ends, where that is soon: "", "" for one that is good for long.
func expiry(t *directory.Token, now time.Time) (tone, said string) {
	if t.Expires.IsZero() {
		return "", ""
	}
	left := t.Expires.Sub(now)
	on := t.Expires.UTC().Format("2 Jan 2006")
	if left <= 0 {
		return "bad", "expired on " + on
	}
	for _, w := range warnings {
		if left > time.Duration(w.days)*24*time.Hour {
			continue
		}
		if left < 24*time.Hour {
			return w.tone, "expires " + when{at: t.Expires, now: now}.words()
		}
		return w.tone, "expires in " + plural(int(left/(24*time.Hour)), "day") + ", on " + on
	}
	return "", ""
}

// silences say, by dialect, after how long without a call a directory is not as usual. Entra calls about every 40 minutes
// whatever happens there, so three rounds missed are a sign; Google looks every few hours. The others call when something
// changes, and a week without any change at all is rare in a directory of people.
var silences = map[string]time.Duration{"entra": 2 * time.Hour, "google": 24 * time.Hour}

const eventSilence = 7 * 24 * time.Hour

// silent says that a directory has not called for longer than it usually does, or "".
func silent(d *directory.Directory, now time.Time) string {
	after, polls := silences[d.Dialect]
	if !polls {
		after = eventSilence
	}
	if d.LastRequest.IsZero() || now.Sub(d.LastRequest) <= after {
		return ""
	}
	usual := cadence[d.Dialect]
	if !polls {
		usual = "It calls when something changes; a week without any change is rare."
	}
	return fmt.Sprintf("%s last called %s. %s Look there whether provisioning is paused, and whether it is told an error.",
		d.Name, when{at: d.LastRequest, now: now}.words(), usual)
}

// directoryMatters is what about one directory wants attention.
func directoryMatters(v *visit, d *directory.Directory) []matter {
	var out []matter
	tokens := v.at("directories/" + string(d.ID) + "/tokens")
	live := slices.ContainsFunc(d.Tokens, func(t directory.Token) bool { return t.Live(v.now) }) || len(d.Clients) > 0
	for i := range d.Tokens {
		t := &d.Tokens[i]
		tone, said := expiry(t, v.now)
		switch {
		case said == "":
			continue
		case !t.Live(v.now) && live:
			tone, said = "info", said+" and opens nothing any more; it can be taken away"
		case t.Live(v.now):
			said += ". Make a second one and enter it there before that day"
		}
		out = append(out, matter{tone, fmt.Sprintf("The token %s of %s %s.", tokenName(t), d.Name, said), tokens, "See its tokens"})
	}
	if said := silent(d, v.now); said != "" && live {
		out = append(out, matter{"warn", said, v.at("directories"), "See directories"})
	}
	return out
}

// seatMatter says that seats are few, or none: from nine tenths on.
func seatMatter(v *visit, limit, used int64) []matter {
	switch {
	case limit == 0 || used*10 < limit*9:
		return nil
	case used >= limit:
		return []matter{{"bad", "All seats are taken. Whoever is pushed now waits without access until one is free.", v.at("users"), "See users"}}
	}
	return []matter{{"warn", fmt.Sprintf("%s of %s are used; %s left.", number(int(used)), plural(int(limit), "seat"),
		number(int(limit-used))), v.at("users"), "See users"}}
}

// holderMatters says which protected roles hang on one person.
func holderMatters(v *visit, tx *store.Tx) ([]matter, error) {
	var out []matter
	for _, role := range v.viewer.ground.Catalogue.Protected() {
		holders, err := tx.ProtectedHolders(v.ctx, role, 2)
		if err != nil {
			return nil, err
		}
		name := v.viewer.ground.Catalogue.Name(role)
		_, flagged := v.organization.Flags["last-holder/"+string(role)]
		switch {
		case len(holders) == 1:
			out = append(out, matter{
				"warn", fmt.Sprintf("%s is the only active %s. Make somebody else %s too, so that one person's absence locks nobody out.",
					holders[0].User.Name, name, name), v.at("users/" + string(holders[0].User.ID)), "Open " + holders[0].User.Name,
			})
		case len(holders) == 0 && !flagged:
			out = append(out, matter{"warn", "Nobody active is " + name + " of " + v.organization.Name + ".", v.at("users"), "See users"})
		}
	}
	return out, nil
}

// flagMatters are what the organization was flagged for, such as a directory that took the last owner away.
func flagMatters(v *visit) []matter {
	var out []matter
	for name, sentence := range v.organization.Flags {
		m := matter{Tone: "bad", Said: either(sentence, name)}
		if strings.HasPrefix(name, "last-holder/") && v.viewer.may(access.UsersRead) {
			m.To, m.Where = v.at("users"), "Choose who takes over"
		}
		if of, is := strings.CutPrefix(name, "brake/"); is && v.viewer.everywhere(access.ConnectionsManage) {
			m.To, m.Where = v.at("directories/"+of+"/wave"), "Undo or release it"
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b matter) int { return strings.Compare(a.Said, b.Said) })
	return out
}
