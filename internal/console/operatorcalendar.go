package console

import (
	"net/http"

	"github.com/vestibule-id/vestibule/internal/expiry"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// operatorCalendar is what ends of the installation's own: API tokens, and signing keys, which renew themselves.
type operatorCalendar struct {
	*frame
	Lines []endingLine
}

// installationEnds reads what ends of the installation's own.
func (c *Console) installationEnds(r *http.Request, f *frame) (out []endingLine, err error) {
	var all []expiry.Item
	if err := c.DB.System().Read(r.Context(), func(tx *store.SystemTx) (err error) {
		all, err = tx.InstallationExpiries(r.Context())
		return err
	}); err != nil {
		return nil, err
	}
	names := map[expiry.Kind]string{}
	for _, k := range expiry.InstallationKinds {
		names[k.Kind] = k.Name
	}
	for _, i := range all {
		l := endingLine{Item: i, Name: names[i.Kind], Ends: f.when(i.At, "")}
		if l.Tone, l.Said = ending(i.At, f.now); l.Said != "" && i.Spare {
			l.Tone = "info"
		}
		out = append(out, l)
	}
	return out, nil
}

// installationMatters are those of them that want attention.
func installationMatters(ends []endingLine) (out []endingLine) {
	for _, l := range ends {
		if l.Said != "" && !l.Spare {
			out = append(out, l)
		}
	}
	return out
}

func (c *Console) operatorCalendarPage(w http.ResponseWriter, r *http.Request) error {
	f, err := c.frameOfOperator(r, "Calendar")
	if err != nil {
		return err
	}
	if f == nil {
		http.Redirect(w, r, operatorAnew("/operator/calendar"), http.StatusSeeOther)
		return nil
	}
	p := operatorCalendar{frame: f}
	if p.Lines, err = c.installationEnds(r, f); err != nil {
		return err
	}
	return page.Render(w, r, http.StatusOK, operatorCalendarPage(p))
}
