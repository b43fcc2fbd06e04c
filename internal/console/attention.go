package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/expiry"
	"github.com/vestibule-id/vestibule/internal/store"
)

// matter is something that wants attention before it becomes trouble: what it is, and where one does something about it.
type matter struct {
	Tone  string
	Said  string
	To    templ.SafeURL
	Where string
}

// ending says how soon something ends, where that is soon: "", "" for what is good for long.
func ending(at, now time.Time) (tone, said string) {
	if at.IsZero() {
		return "", ""
	}
	tone = expiry.Tone(at, now)
	on := at.UTC().Format("2 Jan 2006")
	switch left := at.Sub(now); {
	case tone == "":
		return "", ""
	case left <= 0:
		return tone, "expired on " + on
	case left < 24*time.Hour:
		return tone, "expires " + when{at: at, now: now}.words()
	default:
		return tone, "expires in " + plural(int(left/(24*time.Hour)), "day") + ", on " + on
	}
}

// endingMatters are those of the list that end soon.
func endingMatters(v *visit, list []expiry.Item) []matter {
	var out []matter
	for _, i := range list {
		tone, said := ending(i.At, v.now)
		if said == "" || !i.Told {
			continue
		}
		if i.Spare {
			tone = "info"
		}
		m := matter{Tone: tone, Said: i.What + " " + said + ". " + i.Then}
		if i.Path != "" {
			m.To, m.Where = v.at(i.Path), i.Where
		}
		out = append(out, m)
	}
	return out
}

// silent says that a directory has not called for longer than it usually does, or "".
func silent(d *directory.Directory, r directory.Rhythm, now time.Time) string {
	if !r.Silent(d, now) {
		return ""
	}
	return fmt.Sprintf("%s last called %s. %s Look there whether provisioning is paused, and whether it is told an error.",
		d.Name, when{at: d.LastRequest, now: now}.words(), usual(d, r))
}

// usual says how often a directory calls: as it was seen to, or as its provider is known to.
func usual(d *directory.Directory, r directory.Rhythm) string {
	switch {
	case r.Pause >= 48*time.Hour:
		return "Its pauses have been " + plural(int(r.Pause/(24*time.Hour)), "day") + " at most so far, but for one."
	case r.Pause > 0:
		return "Its pauses have been " + plural(int((r.Pause+time.Hour-1)/time.Hour), "hour") + " at most so far, but for one."
	}
	if r.Patience >= 7*24*time.Hour {
		return "It calls when something changes; a week without any change is rare."
	}
	return cadence[d.Dialect]
}

// directoryMatters is what about one directory wants attention.
func directoryMatters(v *visit, d *directory.Directory, r directory.Rhythm) []matter {
	out := endingMatters(v, expiry.List(expiry.Facts{Directories: []directory.Directory{*d}}, v.now))
	if said := silent(d, r, v.now); said != "" {
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
			out = append(out, matter{"warn", "Nobody active is " + name + " of " + v.organization.Name + ".", v.at("invitations/new"), "Invite somebody"})
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
