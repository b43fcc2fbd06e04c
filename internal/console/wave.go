package console

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// departedLine is somebody whom a directory took away.
type departedLine struct {
	store.Departed
	Link   templ.SafeURL
	What   string
	Status statusLine
	When   when
}

// brake is what the pages about a directory's brake share.
type brake struct {
	pushed
	Wave      *store.Wave // nil: nobody was taken away lately
	Tone      string
	Said      string
	Started   when
	Braked    when
	Released  when
	Window    string
	Threshold string
	Mine      bool // the viewer may undo
}

type wavePage struct {
	brake
	Departed []departedLine
	Next     string
	Deleted  int // of those shown
	Held     []requestLine
}

func (c *Console) brake(v *visit, tx *store.Tx) (brake, error) {
	p, err := v.pushes(tx)
	if err != nil {
		return brake{}, err
	}
	b := brake{pushed: p, Mine: v.viewer.everywhere(access.UsersManage)}
	v.title = "Brake of " + p.Directory.Name
	if b.Wave, err = tx.Wave(v.ctx, p.Directory.ID); err != nil {
		return b, err
	}
	settings := p.Directory.Brake
	b.Window = settings.In().String()
	if settings.In()%time.Hour == 0 {
		b.Window = plural(int(settings.In()/time.Hour), "hour")
	} else if settings.In()%time.Minute == 0 {
		b.Window = plural(int(settings.In()/time.Minute), "minute")
	}
	b.Threshold = number(int(settings.Share())) + " % of its users, and at least " + number(int(settings.AtLeast()))
	w := b.Wave
	switch {
	case w == nil:
		b.Tone, b.Said = "ok", p.Directory.Name+" took nobody away lately."
		return b, nil
	case w.Holds():
		b.Tone, b.Said = "bad", p.Directory.Name+" took "+people(int(w.Departed))+" away at once. They are without access. Until you decide, nobody comes into a group that gives roles, no group that gives or restricts anything is deleted, and what deleted people were is kept."
	case !w.Released.IsZero():
		b.Tone, b.Said = "ok", "The wave of "+plural(int(w.Departed), "departure")+" was released. What it was made of is purged."
	default:
		b.Tone, b.Said = "info", plural(int(w.Departed), "departure")+" within the window: fewer than what brakes. Nothing is held."
	}
	b.Started, b.Braked, b.Released = v.when(w.Started, ""), v.when(w.Braked, "No"), v.when(w.Released, "No")
	return b, nil
}

// people counts them.
func people(n int) string {
	if n == 1 {
		return "1 person"
	}
	return number(n) + " people"
}

const (
	departedPerPage = 50
	heldShown       = 100
)

func (p *pushed) departedLine(d store.Departed) departedLine {
	l := departedLine{Departed: d, When: p.when(d.At, "not noted"), What: "Deactivated"}
	l.Name = either(d.Name, d.UserName, string(d.User))
	l.Link = p.at("users/" + string(d.User))
	l.Status = statusOf(&directory.User{Status: d.Status, Seated: true})
	if d.Deleted {
		l.What = "Deleted"
	}
	return l
}

func (c *Console) wave(v *visit, tx *store.Tx) (templ.Component, error) {
	b, err := c.brake(v, tx)
	if err != nil || b.Wave == nil {
		return wavePageTemplate(wavePage{brake: b}), err
	}
	w := wavePage{brake: b}
	after, _ := strconv.ParseInt(v.query("after"), 10, 64) // anything else is the beginning
	list, err := tx.Departures(v.ctx, b.Directory.ID, after, departedPerPage+1)
	if err != nil {
		return nil, err
	}
	if len(list) > departedPerPage {
		list = list[:departedPerPage]
		w.Next = string(b.path("wave", "after", strconv.FormatInt(list[departedPerPage-1].Number, 10)))
	}
	for _, d := range list {
		w.Departed = append(w.Departed, b.departedLine(d))
	}
	if b.Wave.Holds() {
		held, err := tx.Held(v.ctx, b.Directory.ID, b.Wave.Braked, heldShown)
		if err != nil {
			return nil, err
		}
		// A provider asks again and again: each thing is listed once.
		for _, r := range held {
			same := func(l requestLine) bool { return l.Operation == r.Operation && l.ResourceID == r.ResourceID }
			if !slices.ContainsFunc(w.Held, same) {
				w.Held = append(w.Held, b.line(r))
			}
		}
	}
	return wavePageTemplate(w), nil
}

func (c *Console) waveCSV(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visit(w, r, "directories", "")
	if err != nil {
		return redirected(w, r, err)
	}
	var b brake
	var list []store.Departed
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		if b, err = c.brake(v, tx); err != nil {
			return err
		}
		list, err = tx.Departures(v.ctx, b.Directory.ID, 0, csvMost)
		return err
	})
	if err != nil {
		return c.refusedPage(v, err)
	}
	rows := [][]string{{"name", "user_name", "id", "what", "when", "status"}}
	for _, d := range list {
		l := b.departedLine(d)
		rows = append(rows, []string{l.Name, d.UserName, string(d.User), l.What, stamp(l.When), l.Status.Word})
	}
	return sendCSV(w, string(organizationOf(r))+"-"+string(b.Directory.ID)+"-wave-"+v.now.UTC().Format(time.DateOnly), rows)
}

// undoing is what undoing would do, found out by doing it and keeping nothing.
type undoing struct {
	brake
	Restored int
	Left     []leftLine
}

type leftLine struct {
	Name, Why string
	Link      templ.SafeURL
}

func (b *brake) mayUndo() error {
	if b.Mine {
		return nil
	}
	return fault.New(fault.Forbidden, "Letting people in again needs the permission %q for all of %s, and you do not hold it there. An administrator of %s can give you a role that carries it.",
		access.UsersManage, b.organization.Name, b.organization.Name)
}

func (c *Console) undoDialog(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visit(w, r, "directories", "Undo")
	if err != nil {
		return redirected(w, r, err)
	}
	var u undoing
	err = c.DB.Try(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		u = undoing{}
		if u.brake, err = c.brake(v, tx); err != nil {
			return err
		}
		if err = u.mayUndo(); err != nil {
			return err
		}
		undone, err := tx.UndoWave(v.ctx, v.viewer.actor, u.Directory.ID, "")
		if err != nil {
			return err
		}
		u.Restored = undone.Restored
		names, err := tx.UserNames(v.ctx, slices.Collect(maps.Keys(undone.Left)))
		for user, why := range undone.Left {
			u.Left = append(u.Left, leftLine{either(names[user], string(user)), why, v.at("users/" + string(user))})
		}
		slices.SortFunc(u.Left, func(a, b leftLine) int { return cmp.Compare(a.Name, b.Name) })
		return err
	})
	if err != nil {
		return c.refusedPage(v, err)
	}
	return page.Render(w, r, http.StatusOK, undoPage(u))
}

func (c *Console) undoWave(v *visit, tx *store.Tx) (string, string, error) {
	b, err := c.brake(v, tx)
	if err != nil {
		return "", "", err
	}
	if err := b.mayUndo(); err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	undone, err := tx.UndoWave(v.ctx, v.viewer.actor, b.Directory.ID, reason)
	done := "Undone: " + people(undone.Restored) + " can sign in again."
	if n := len(undone.Left); n > 0 {
		done += " " + people(n) + " could not come back."
	}
	return done, string(b.path("wave")), err
}

func (c *Console) releaseDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	b, err := c.brake(v, tx)
	if err != nil {
		return nil, err
	}
	if b.Wave == nil || !b.Wave.Holds() {
		return nil, fault.New(fault.Conflict, "%s is not braked.", b.Directory.Name)
	}
	r := releasing{brake: b}
	if r.Deactivated, r.Deleted, err = tx.CountDepartures(v.ctx, b.Directory.ID); err != nil {
		return nil, err
	}
	held, err := tx.Held(v.ctx, b.Directory.ID, b.Wave.Braked, heldShown)
	r.Held = len(held)
	return releasePage(r), err
}

// releasing is what a release would do.
type releasing struct {
	brake
	Deactivated, Deleted, Held int
}

func (c *Console) releaseWave(v *visit, tx *store.Tx) (string, string, error) {
	b, err := c.brake(v, tx)
	if err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	return b.Directory.Name + " is braked no longer.", string(b.path("wave")), tx.ReleaseWave(v.ctx, v.viewer.actor, b.Directory.ID, reason)
}
