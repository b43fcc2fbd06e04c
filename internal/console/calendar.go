package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/expiry"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountCalendar adds the page of what expires next, and the same as a calendar file.
func (c *Console) mountCalendar(r chi.Router) {
	r.Get("/calendar", c.view("calendar", "Calendar", c.calendar))
	r.Get("/calendar.ics", c.show(c.calendarFile))
}

// endingLine is one thing that ends.
type endingLine struct {
	expiry.Item
	Name string // of its kind
	Ends when
	Tone string
	Said string // how soon, where that is soon
	Link templ.SafeURL
}

type calendarPage struct {
	*frame
	Kinds  []choice
	Within []choice
	Lines  []endingLine
	Hidden int // that the filter leaves out
	Query  []string
}

// horizons are how far ahead the page looks.
var horizons = []struct {
	value, name string
	days        int
}{{"", "At any time", 0}, {"30", "Within 30 days", 30}, {"60", "Within 60 days", 60}, {"365", "Within a year", 365}}

// readsCalendar says whether the viewer may see something that ends.
func (v *viewer) readsCalendar() bool {
	return v.everywhere(access.ConnectionsManage) || v.everywhere(access.UsersRead)
}

func (c *Console) calendarOf(v *visit, tx *store.Tx) (calendarPage, error) {
	p := calendarPage{frame: v.frame}
	if !v.viewer.readsCalendar() {
		return p, fault.New(fault.Forbidden, "This page needs the permission %q or %q for all of %s, and you hold neither there.",
			access.ConnectionsManage, access.UsersRead, v.organization.Name)
	}
	kind, within := v.r.URL.Query().Get("kind"), v.r.URL.Query().Get("within")
	p.Query = []string{"kind", kind, "within", within}
	all, err := tx.Expiries(v.ctx)
	if err != nil {
		return p, err
	}
	names := map[expiry.Kind]string{}
	p.Kinds = []choice{{Value: "", Name: "Everything", Chosen: kind == ""}}
	for _, k := range expiry.Kinds {
		names[k.Kind] = k.Name
		p.Kinds = append(p.Kinds, choice{Value: string(k.Kind), Name: k.Name, Chosen: kind == string(k.Kind)})
	}
	days := 0
	for _, h := range horizons {
		p.Within = append(p.Within, choice{Value: h.value, Name: h.name, Chosen: within == h.value})
		if h.value == within {
			days = h.days
		}
	}
	for _, i := range all {
		if !v.viewer.everywhere(i.For) {
			continue
		}
		if kind != "" && kind != string(i.Kind) || days > 0 && i.At.After(v.now.AddDate(0, 0, days)) {
			p.Hidden++
			continue
		}
		l := endingLine{Item: i, Name: names[i.Kind], Ends: v.when(i.At, "")}
		if l.Tone, l.Said = ending(i.At, v.now); l.Said != "" && i.Spare {
			l.Tone = "info"
		}
		if i.Path != "" {
			l.Link = v.at(i.Path)
		}
		p.Lines = append(p.Lines, l)
	}
	return p, nil
}

func (c *Console) calendar(v *visit, tx *store.Tx) (templ.Component, error) {
	p, err := c.calendarOf(v, tx)
	if err != nil {
		return nil, err
	}
	return calendarTemplate(p), nil
}

// calendarFile answers the same as iCalendar (RFC 5545): an entry for a day, with the page where it is mended.
func (c *Console) calendarFile(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visit(w, r, "calendar", "")
	if err != nil {
		return redirected(w, r, err)
	}
	var p calendarPage
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		p, err = c.calendarOf(v, tx)
		return err
	})
	if err != nil {
		return c.refusedPage(v, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/calendar; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="expires-`+string(v.organization.ID)+`.ics"`)
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(icalendar(p, c.URL, v.now)))
	return nil
}

// icalendar writes a calendar: RFC 5545 with its line ends (section 3.1), folded lines and escaped text (section 3.3.11).
func icalendar(p calendarPage, url string, now time.Time) string {
	var b strings.Builder
	line := func(name, value string) {
		s := name + ":" + value
		for n := 75; len(s) > n; n = 74 { // the space of a continued line counts
			cut := n
			for s[cut]&0xC0 == 0x80 { // never within a character
				cut--
			}
			b.WriteString(s[:cut] + "\r\n ")
			s = s[cut:]
		}
		b.WriteString(s + "\r\n")
	}
	text := strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\r", "", "\n", `\n`).Replace
	line("BEGIN", "VCALENDAR")
	line("VERSION", "2.0")
	line("PRODID", "-//Vestibule//Calendar//EN")
	for _, l := range p.Lines {
		line("BEGIN", "VEVENT")
		line("UID", text(string(p.organization.ID)+"/"+l.ID))
		line("DTSTAMP", now.UTC().Format("20060102T150405Z"))
		line("DTSTART;VALUE=DATE", l.At.UTC().Format("20060102"))
		line("SUMMARY", text(l.What+" expires"))
		line("DESCRIPTION", text(l.Then))
		if l.Link != "" {
			line("URL", url+string(l.Link))
		}
		line("TRANSP", "TRANSPARENT")
		line("END", "VEVENT")
	}
	line("END", "VCALENDAR")
	return b.String()
}

// endingIcon and endingWord are what the list says beside a date that is near, so that colour alone says nothing.
func endingIcon(l endingLine) string {
	switch l.Tone {
	case "bad":
		return "stop"
	case "warn":
		return "warn"
	}
	return "clock"
}

func endingWord(l endingLine, now time.Time) string {
	switch {
	case l.Over(now) && l.Spare:
		return "Over, and not missed"
	case l.Over(now):
		return "Over"
	case l.Spare:
		return "Not missed"
	}
	return "Soon"
}
