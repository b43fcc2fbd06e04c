package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/a-h/templ"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/store"
)

// frame is what stands around a page of an organization.
type frame struct {
	organization *store.Organization
	viewer       *viewer
	section      string // which link of the navigation the page belongs to
	title        string
	flash        string // what was just done, as a sentence
	waiting      int    // users in the inbox, as far as the viewer may see them
	conflicts    int    // open conflicts
	now          time.Time
}

func (f *frame) documentTitle() string {
	if f.organization == nil {
		return f.title
	}
	return f.title + " · " + f.organization.Name
}

// at gives the address of a page of the organization.
func (f *frame) at(path string, query ...string) templ.SafeURL {
	to := "/o/" + url.PathEscape(string(f.organization.ID))
	if path != "" {
		to += "/" + path
	}
	if len(query) > 0 {
		v := url.Values{}
		for i := 0; i+1 < len(query); i += 2 {
			if query[i+1] != "" {
				v.Set(query[i], query[i+1])
			}
		}
		if q := v.Encode(); q != "" {
			to += "?" + q
		}
	}
	return templ.URL(to)
}

func (f *frame) signOut() templ.SafeURL {
	if f.viewer.operator != nil || f.organization == nil {
		return "/operator/signout"
	}
	return f.at("signout")
}

type block struct {
	title string
	links []link
}

type link struct {
	section, path, name, icon string
	count                     int
}

// navigation lists what the viewer may open: a link that leads to a refusal is not offered.
func (f *frame) navigation() []block {
	v := f.viewer
	var people, setup, oversight []link
	if v.opens() {
		people = append(people, link{"overview", "", "Overview", "home", 0})
	}
	if v.gives() {
		people = append(people, link{"inbox", "inbox", "Needs roles", "inbox", f.waiting})
	}
	if v.may(access.UsersRead) {
		people = append(people, link{"users", "users", "Users", "user", 0})
		people = append(people, link{"invitations", "invitations", "Invitations", "mail", 0})
		if v.everywhere(access.UsersRead) {
			people = append(people, link{"groups", "groups", "Groups", "users", 0})
		}
		people = append(people, link{"resources", "resources", "Resources", "tree", 0})
	}
	if v.may(access.UsersRead) || v.makesRoles() {
		people = append(people, link{"roles", "roles", "Roles", "key", 0})
	}
	if v.operator == nil {
		people = append(people, link{"me", "me", "My access", "shield", 0}, link{"account", "me/security", "My account", "lock", 0},
			link{"letters", "me/letters", "Letters to me", "mail", 0})
	}
	if v.everywhere(access.ConnectionsManage) {
		setup = append(setup, link{"directories", "directories", "Directories", "sync", 0},
			link{"connections", "connections", "Connections", "link", 0},
			link{"domains", "domains", "Domains", "globe", 0},
			link{"rules", "rules", "Sign-in rules", "key", 0},
			link{"providers", "providers", "Service providers", "swap", 0},
			link{"applications", "applications", "Applications", "grid", 0},
			link{"webhooks", "webhooks", "Webhooks", "arrow", 0})
	}
	if v.everywhere(access.UsersManage) {
		oversight = append(oversight, link{"conflicts", "conflicts", "Conflicts", "fork", f.conflicts})
	}
	if v.readsCalendar() {
		oversight = append(oversight, link{"calendar", "calendar", "Calendar", "clock", 0})
	}
	if v.everywhere(access.AuditRead) {
		oversight = append(oversight, link{"audit", "audit", "Audit log", "list", 0})
	}
	var out []block
	for _, b := range []block{{"People and access", people}, {"Sign-in and provisioning", setup}, {"Oversight", oversight}} {
		if len(b.links) > 0 {
			out = append(out, b)
		}
	}
	return out
}

func (f *frame) sectionName() string {
	for _, b := range f.navigation() {
		for _, l := range b.links {
			if l.section == f.section {
				return l.name
			}
		}
	}
	return f.title
}

// when is a time as a page shows it.
type when struct {
	at    time.Time
	now   time.Time
	never string // what is said where there is no time
}

func (f *frame) when(at time.Time, never string) when { return when{at, f.now, never} }

func (m when) zero() bool      { return m.at.IsZero() }
func (m when) machine() string { return m.at.UTC().Format(time.RFC3339) }
func (m when) exact() string   { return m.at.UTC().Format("2 January 2006, 15:04:05 UTC") }

// words says a time as people do: near ones by distance, far ones by date.
func (m when) words() string {
	d := m.now.Sub(m.at)
	past := d >= 0
	// What is over is as old as the units that are full; what is ahead is rounded, or a term of 14 days would begin at 13.
	full := func(unit time.Duration) int { return int(d / unit) }
	if !past {
		d = -d
		full = func(unit time.Duration) int { return int((d + unit/2) / unit) }
	}
	var n int
	var unit string
	switch {
	case d < time.Minute && past:
		return "just now"
	case d < time.Hour:
		n, unit = max(1, full(time.Minute)), "minute"
	case d < 24*time.Hour:
		n, unit = full(time.Hour), "hour"
	case d < 14*24*time.Hour:
		n, unit = full(24*time.Hour), "day"
	default:
		return m.at.UTC().Format("2 Jan 2006")
	}
	if past {
		return plural(n, unit) + " ago"
	}
	return "in " + plural(n, unit)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	switch {
	case strings.HasSuffix(noun, "y") && !strings.HasSuffix(noun, "ay") && !strings.HasSuffix(noun, "ey"):
		noun = strings.TrimSuffix(noun, "y") + "ies"
	case strings.HasSuffix(noun, "s"):
		noun += "es"
	default:
		noun += "s"
	}
	return number(n) + " " + noun
}

// number writes a count with thin spaces between the thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// atLeast writes a count that is not counted beyond a thousand.
func atLeast(n int) string {
	if n >= 1000 {
		return number(1000) + "+"
	}
	return number(n)
}

func initial(name string) string {
	for _, c := range name {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return string(unicode.ToUpper(c))
		}
	}
	return "·"
}

// depth is how far a resource is indented; the stylesheet knows eight steps.
func depth(n int) string { return strconv.Itoa(min(n, 8)) }

// either gives the first text that is not empty.
func either(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

const flashCookie = "vestibule_done"

// setFlash keeps one sentence for the next page. It is shown as text and means nothing.
func (c *Console) setFlash(w http.ResponseWriter, sentence string) {
	http.SetCookie(w, &http.Cookie{
		Name: flashCookie, Value: url.QueryEscape(sentence), Path: "/", MaxAge: 60, HttpOnly: true,
		Secure: c.cookies().Secure, SameSite: http.SameSiteLaxMode,
	})
}

// takeFlash gives that sentence once.
func (c *Console) takeFlash(w http.ResponseWriter, r *http.Request) string {
	k, err := r.Cookie(flashCookie)
	if err != nil || len(k.Value) > 2000 {
		return ""
	}
	http.SetCookie(w, &http.Cookie{
		Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: c.cookies().Secure, SameSite: http.SameSiteLaxMode,
	})
	s, err := url.QueryUnescape(k.Value)
	if err != nil {
		return ""
	}
	return s
}
