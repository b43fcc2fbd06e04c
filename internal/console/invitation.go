package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/invitation"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountInvitations adds the pages of invitations. What is being filled in goes by POST, since addresses of people do not
// belong into addresses of pages.
func (c *Console) mountInvitations(r chi.Router) {
	r.Route("/invitations", func(r chi.Router) {
		r.Get("/", c.view("invitations", "Invitations", c.invitations))
		r.Post("/", c.show(c.invite))
		r.Get("/new", c.view("invitations", "Invite somebody", c.inviteDialog))
		r.Post("/new", c.show(c.reinviteDialog))
		r.Get("/list", c.view("invitations", "Invite a list", c.inviteList))
		r.Post("/list", c.show(c.judgeList))
		r.Post("/list/send", c.show(c.sendList))
		r.Get("/{invitation}/resend", c.view("invitations", "Send again", c.resendDialog))
		r.Post("/{invitation}/resend", c.show(c.resend))
		r.Get("/{invitation}/revoke", c.view("invitations", "Revoke", c.revokeInvitationDialog))
		r.Post("/{invitation}/revoke", c.change(c.revokeInvitation))
	})
}

// letters is what becomes of letters here, for pages that promise one.
func (c *Console) letters() mail.Mode {
	if c.Mail == nil {
		return mail.Off
	}
	return c.Mail.Mode()
}

// invitationLine is an invitation as the list shows it.
type invitationLine struct {
	ID          id.Invitation
	Email, Name string
	Grants      []string
	By          string
	Sent        when
	Expires     when
	Times       int64
	State       statusLine
	Letter      statusLine
	Open        bool // it can be sent again or taken back
}

type invitationList struct {
	*frame
	Q, Batch  string
	All       bool
	Lines     []invitationLine
	Next      string
	Mode      mail.Mode
	Operator  bool
	MayInvite bool
	Progress  *store.BatchProgress
}

func stateLine(v *visit, i *store.Invitation) statusLine {
	switch s := i.State(v.now); s {
	case invitation.Pending:
		if !i.Opened.IsZero() {
			return statusLine{"plain", "clock", "Opened", "The link was opened, and the invitation not accepted yet."}
		}
		return statusLine{"plain", "clock", "Waiting", "Nobody has opened the link yet."}
	case invitation.Expired:
		return statusLine{"warn", "warn", "Expired", "Send it again to renew its term."}
	case invitation.Accepted:
		return statusLine{"ok", "check", "Accepted", ""}
	case invitation.Overtaken:
		return statusLine{"ok", "check", "Came otherwise", "A directory brought the person; what was given stays."}
	default:
		return statusLine{"plain", "stop", "Revoked", ""}
	}
}

func letterLine(i *store.Invitation, mode mail.Mode) statusLine {
	l := i.Letter
	switch {
	case i.Shown:
		return statusLine{"plain", "link", "Link copied", "No letter was sent: the link was given to whoever invited."}
	case l.Delivery == "":
		return statusLine{}
	case !l.Delivered.IsZero() && mode == mail.Mailbox:
		return statusLine{"plain", "check", "Letter kept here", "This installation sends no letters: it lies in the operator's mailbox."}
	case !l.Delivered.IsZero():
		return statusLine{"ok", "check", "Letter sent", ""}
	case !l.Failed.IsZero():
		return statusLine{"bad", "stop", "Letter failed", l.LastError}
	case l.LastError != "":
		return statusLine{"warn", "warn", "Letter is retried", l.LastError}
	}
	return statusLine{"plain", "clock", "Letter on its way", ""}
}

// invites refuses who may not invite anybody.
func (v *visit) invites() error { return v.viewer.demand(v.frame, access.UsersManage) }

func (c *Console) invitations(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.viewer.demand(v.frame, access.UsersRead); err != nil {
		return nil, err
	}
	l := invitationList{
		frame: v.frame, Q: v.query("q"), Batch: v.query("batch"), All: v.query("all") != "" || v.query("batch") != "",
		Mode: c.letters(), Operator: v.viewer.operator != nil, MayInvite: v.viewer.may(access.UsersManage),
	}
	list, next, err := tx.ListInvitations(v.ctx, store.InvitationFilter{
		All: l.All, Q: l.Q, Batch: l.Batch, Only: v.viewer.only, Cursor: v.query("cursor"),
	})
	if err != nil {
		return nil, err
	}
	if l.Batch != "" {
		p, err := tx.BatchProgress(v.ctx, l.Batch)
		if err != nil {
			return nil, err
		}
		l.Progress = &p
	}
	if next != "" {
		all := ""
		if l.All {
			all = "1"
		}
		l.Next = string(v.at("invitations", "q", l.Q, "batch", l.Batch, "all", all, "cursor", next))
	}
	for n := range list {
		i := &list[n]
		line := invitationLine{
			ID: i.ID, Email: i.Email, Name: i.Name, By: i.InvitedByName, Times: i.Times, Sent: v.when(i.Sent, ""),
			Expires: v.when(i.Expires, ""), State: stateLine(v, i), Letter: letterLine(i, c.letters()),
		}
		for _, g := range i.Grants {
			line.Grants = append(line.Grants, summary(v.viewer.ground, []id.Role{g.Role}, []id.Resource{g.Resource}))
		}
		state := i.State(v.now)
		line.Open = l.MayInvite && (state == invitation.Pending || state == invitation.Expired)
		l.Lines = append(l.Lines, line)
	}
	return invitationsPage(l), nil
}

// inviteForm is the dialog in which one person is invited: the address, the roles by the same picker as elsewhere, and the
// letters the person shall get.
type inviteForm struct {
	giveForm
	Email, Name string
	EmailFault  string
	Letters     []letterPick
	Mode        mail.Mode
	Days        int
	Free        string // what is said of seats
	Again       bool   // worked out anew while somebody fills it in: the focus stays where it is
}

type letterPick struct {
	notification.About
	Chosen bool
}

// letterPicks are the kinds as checkboxes. Those for administrators are offered too: whether a person gets them follows
// from what they may do at the time.
func letterPicks(chosen []notification.Kind) []letterPick {
	var out []letterPick
	for _, a := range notification.Kinds {
		out = append(out, letterPick{a, a.Always || slices.Contains(chosen, a.Kind)})
	}
	return out
}

func everyLetter() []notification.Kind {
	var out []notification.Kind
	for _, a := range notification.Kinds {
		out = append(out, a.Kind)
	}
	return out
}

func lettersOf(form url.Values) []notification.Kind {
	var out []notification.Kind
	for _, k := range form["letter"] {
		out = append(out, notification.Kind(k))
	}
	return notification.Clean(out)
}

// invitee works the dialog out from what is filled in so far.
func (c *Console) invitee(v *visit, chosen url.Values, first bool) (inviteForm, error) {
	if err := v.invites(); err != nil {
		return inviteForm{}, err
	}
	facts := *v.viewer.ground
	facts.User = access.User{ID: "invited", Name: either(mail.Line(chosen.Get("email")), "The person"), Home: v.organization.ID, Status: access.Active, Seated: true}
	before := access.Decide(&facts, v.now)
	f := inviteForm{
		giveForm: giveForm{person: person{frame: v.frame, Access: before}, Title: "Invite somebody", Form: v.at("invitations"), Home: v.at("invitations")},
		Email:    strings.TrimSpace(chosen.Get("email")), Name: mail.Line(chosen.Get("name")), Mode: c.letters(),
		Days: int(v.organization.Settings.InvitationLifetime().Hours() / 24),
	}
	letters := everyLetter()
	if !first {
		letters = lettersOf(chosen)
	}
	f.Letters = letterPicks(letters)
	f.pick(v, &facts, access.Grant{User: facts.User.ID}, chosen, before)
	f.First = "" // the address comes first
	if len(chosen["role"]) == 0 && len(chosen["resource"]) == 0 && v.viewer.everywhere(access.UsersManage) {
		f.Problem = "" // an invitation without roles is lawful: the person gets what everybody gets
	}
	if f.Problem == "" {
		f.Changes = changeLines(access.Decide(&access.Facts{
			Catalogue: facts.Catalogue, Tree: facts.Tree, Organization: facts.Organization, User: access.User{ID: "nobody", Status: "none"},
		}, v.now), access.Decide(&facts, v.now))
	}
	return f, nil
}

func (c *Console) inviteDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	f, err := c.invitee(v, v.r.URL.Query(), true)
	if err != nil {
		return nil, err
	}
	return invitePage(f), c.seatsSaid(v, tx, &f)
}

// seatsSaid fills in what is said about seats.
func (c *Console) seatsSaid(v *visit, tx *store.Tx, f *inviteForm) error {
	limit, used, err := tx.Seats(v.ctx)
	if err != nil || limit == 0 {
		return err
	}
	if used >= limit {
		f.Free = fmt.Sprintf("All %d seats are taken. You can invite all the same; the invitation can be accepted when a seat is free.", limit)
	}
	return nil
}

// reinviteDialog works the dialog out anew after a choice.
func (c *Console) reinviteDialog(w http.ResponseWriter, r *http.Request) error {
	v, err := c.filled(w, r)
	if err != nil {
		return redirected(w, r, err)
	}
	var f inviteForm
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		if f, err = c.invitee(v, r.PostForm, false); err != nil {
			return err
		}
		f.Again = true
		return c.seatsSaid(v, tx, &f)
	})
	if err != nil {
		return c.refusedPage(v, err)
	}
	return page.Render(w, r, http.StatusOK, invitePage(f))
}

// parsed reads a form, with a file or without.
func parsed(r *http.Request) error {
	err := r.ParseMultipartForm(1 << 20)
	if errors.Is(err, http.ErrNotMultipart) {
		err = r.ParseForm()
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return fault.New(fault.TooLarge, "This is too much for one form: a list may be one megabyte long.")
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	return nil
}

// filled reads a form for the pages about invitations.
func (c *Console) filled(w http.ResponseWriter, r *http.Request) (*visit, error) {
	if err := parsed(r); err != nil {
		return nil, err
	}
	return c.visit(w, r, "invitations", "Invitations")
}

func (c *Console) inviteOptions() store.InviteOptions {
	return store.InviteOptions{URL: c.URL, Show: c.letters() == mail.Off}
}

// invitationOnce is what a form that invites makes. Without a mail server its answer shows the link.
func (v *visit) invitationOnce() shownOnce {
	return shownOnce{"The invitation", "Where its link reached nobody, send it again from the list: the earlier link is void then.", v.at("invitations"), "All invitations"}
}

// invite sends one invitation.
func (c *Console) invite(w http.ResponseWriter, r *http.Request) error {
	v, err := c.filled(w, r)
	if err != nil {
		return redirected(w, r, err)
	}
	var f inviteForm
	var made []store.Invited
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		if f, err = c.invitee(v, r.PostForm, false); err != nil {
			return err
		}
		if err = c.seatsSaid(v, tx, &f); err != nil {
			return err
		}
		if f.Problem != "" {
			return fault.New(fault.Invalid, "%s", f.Problem)
		}
		if err = v.once(tx, v.invitationOnce()); err != nil {
			return err
		}
		o := c.inviteOptions()
		o.Letters = lettersOf(r.PostForm)
		made, err = tx.Invite(v.ctx, v.viewer.actor, []invitation.Row{{Email: f.Email, Name: f.Name, Grants: f.Wants}}, o)
		return err
	})
	if err != nil {
		if kind := fault.KindOf(err); f.frame != nil && !errors.As(err, new(sentTwice)) && kind != fault.Internal && kind != fault.Unavailable {
			status, failure := page.FailureOf(err)
			f.Fault = failure.Said
			if why := fault.As(err); why.Code == invitation.CodeAddress || slices.ContainsFunc(why.Fields, func(e fault.Field) bool { return e.Path == "email" }) {
				f.EmailFault, f.Fault = failure.Said, ""
			}
			return page.Render(w, r, status, invitePage(f))
		}
		return c.refusedChange(v, err)
	}
	if c.letters() == mail.Off {
		return page.Render(w, r, http.StatusOK, linksPage(v.frame, made))
	}
	c.setFlash(w, f.Email+" is invited.")
	http.Redirect(w, r, string(v.at("invitations")), http.StatusSeeOther)
	return nil
}

// listForm is the page on which a list is pasted or uploaded, then judged.
type listForm struct {
	inviteForm
	Text    string
	Fault   string
	Rows    []listRow // once judged
	Good    int
	Warned  int
	Refused int
}

type listRow struct {
	invitation.Row
	Verdict statusLine
	Grants  []string
}

func (c *Console) inviteList(v *visit, tx *store.Tx) (templ.Component, error) {
	f, err := c.invitee(v, v.r.URL.Query(), true)
	if err != nil {
		return nil, err
	}
	l := listForm{inviteForm: f}
	return listPage(l), c.seatsSaid(v, tx, &l.inviteForm)
}

// judged reads a list and judges each row; nothing is written.
func (c *Console) judged(v *visit, tx *store.Tx) (listForm, []invitation.Row, []invitation.Verdict, error) {
	form := v.r.PostForm
	f, err := c.invitee(v, form, false)
	if err != nil {
		return listForm{}, nil, nil, err
	}
	l := listForm{inviteForm: f, Text: form.Get("text")}
	if text, err := uploaded(v.r); err != nil {
		return l, nil, nil, err
	} else if text != "" {
		l.Text = text
	}
	// The list says what each gets; what is picked is for rows that say nothing. Nothing picked and nothing said is lawful
	// too, and judged row by row.
	if len(form["role"]) == 0 && len(form["resource"]) == 0 {
		l.Problem = ""
	}
	if l.Problem != "" {
		return l, nil, nil, fault.New(fault.Invalid, "%s", l.Problem)
	}
	rows, err := invitation.Read(l.Text, f.Wants, v.viewer.ground.Tree.Root())
	if err != nil {
		return l, nil, nil, err
	}
	verdicts, err := tx.CheckInvitations(v.ctx, v.viewer.actor, rows)
	if err != nil {
		return l, nil, nil, err
	}
	for i, row := range rows {
		line := listRow{Row: row}
		for _, w := range row.Grants {
			line.Grants = append(line.Grants, summary(v.viewer.ground, []id.Role{w.Role}, []id.Resource{w.Resource}))
		}
		switch verdict := verdicts[i]; {
		case !verdict.Send():
			line.Verdict = statusLine{"bad", "stop", "Not sent", verdict.Said}
			l.Refused++
		case verdict.Warning:
			line.Verdict = statusLine{"warn", "warn", "Will be sent", verdict.Said}
			l.Warned++
		default:
			line.Verdict = statusLine{"ok", "check", "Will be sent", ""}
			l.Good++
		}
		l.Rows = append(l.Rows, line)
	}
	return l, rows, verdicts, nil
}

// uploaded gives the text of the file of a form, or "".
func uploaded(r *http.Request) (string, error) {
	file, _, err := r.FormFile("file")
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return "", nil
	}
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "The file could not be read.")
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(file)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "The file could not be read.")
	}
	return string(text), nil
}

func (c *Console) judgeList(w http.ResponseWriter, r *http.Request) error {
	v, err := c.filled(w, r)
	if err != nil {
		return redirected(w, r, err)
	}
	var l listForm
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
		if err = v.fill(tx); err != nil {
			return err
		}
		l, _, _, err = c.judged(v, tx)
		return err
	})
	if err != nil {
		return c.refusedList(v, l, err)
	}
	return page.Render(w, r, http.StatusOK, listPage(l))
}

func (c *Console) refusedList(v *visit, l listForm, err error) error {
	if kind := fault.KindOf(err); l.frame != nil && !errors.As(err, new(sentTwice)) && kind != fault.Internal && kind != fault.Unavailable {
		status, failure := page.FailureOf(err)
		l.Fault = failure.Said
		return page.Render(v.w, v.r, status, listPage(l))
	}
	return c.refusedChange(v, err)
}

// batchSize is how many of a list are invited in one transaction: few enough for nobody else to wait long.
const batchSize = 100

// sendList invites those of a list whose verdict allows it. Each hundred is a transaction of its own: what was sent before
// one that fails stays sent, and sending the same list again finds it "already invited".
func (c *Console) sendList(w http.ResponseWriter, r *http.Request) error {
	v, err := c.filled(w, r)
	if err != nil {
		return redirected(w, r, err)
	}
	var l listForm
	var rows []invitation.Row
	err = c.DB.Read(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		var all []invitation.Row
		var verdicts []invitation.Verdict
		var err error
		l, all, verdicts, err = c.judged(v, tx)
		rows = rows[:0]
		for i := range verdicts {
			if verdicts[i].Send() {
				rows = append(rows, all[i])
			}
		}
		return err
	})
	if err != nil {
		return c.refusedList(v, l, err)
	}
	if len(rows) == 0 {
		return c.refusedList(v, l, fault.New(fault.Invalid, "Nobody of this list can be invited."))
	}
	o := c.inviteOptions()
	o.Batch, o.Letters = string(id.New[id.Invitation]()), lettersOf(r.PostForm)
	var made []store.Invited
	for part := range slices.Chunk(rows, batchSize) {
		var sent []store.Invited
		err := c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) (err error) {
			if err = v.again(tx); err != nil {
				return err
			}
			if err = v.invites(); err != nil {
				return err
			}
			if len(made) == 0 { // the list is one form, though it is sent in parts
				if err = v.once(tx, v.invitationOnce()); err != nil {
					return err
				}
			}
			sent, err = tx.Invite(v.ctx, v.viewer.actor, part, o)
			return err
		})
		if err != nil {
			if len(made) == 0 {
				return c.refusedList(v, l, err)
			}
			c.setFlash(w, people(len(made))+" invited; then it stopped: "+sentence(err))
			http.Redirect(w, r, string(v.at("invitations", "batch", o.Batch)), http.StatusSeeOther)
			return nil
		}
		made = append(made, sent...)
	}
	if o.Show {
		return page.Render(w, r, http.StatusOK, linksPage(v.frame, made))
	}
	http.Redirect(w, r, string(v.at("invitations", "batch", o.Batch)), http.StatusSeeOther)
	return nil
}

// invitationAct is a dialog about one invitation.
type invitationAct struct {
	*frame
	Invitation *store.Invitation
	Grants     []string
	Form       templ.SafeURL
	Mode       mail.Mode
	Days       int
}

func invitationOf(v *visit) id.Invitation { return id.Invitation(chi.URLParam(v.r, "invitation")) }

func (c *Console) invitationAct(v *visit, tx *store.Tx, do string) (invitationAct, error) {
	if err := v.invites(); err != nil {
		return invitationAct{}, err
	}
	i, err := tx.Invitation(v.ctx, invitationOf(v))
	if err != nil {
		return invitationAct{}, err
	}
	if v.viewer.only != nil && !slices.Contains(v.viewer.only, i.User) {
		return invitationAct{}, fault.New(fault.NotFound, "There is no such invitation within your reach.")
	}
	a := invitationAct{
		frame: v.frame, Invitation: i, Form: v.at("invitations/" + string(i.ID) + "/" + do), Mode: c.letters(),
		Days: int(v.organization.Settings.InvitationLifetime().Hours() / 24),
	}
	for _, g := range i.Grants {
		a.Grants = append(a.Grants, summary(v.viewer.ground, []id.Role{g.Role}, []id.Resource{g.Resource}))
	}
	return a, nil
}

func (c *Console) resendDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	a, err := c.invitationAct(v, tx, "resend")
	if err != nil {
		return nil, err
	}
	return resendPage(a), nil
}

func (c *Console) resend(w http.ResponseWriter, r *http.Request) error {
	v, err := c.filled(w, r)
	if err != nil {
		return redirected(w, r, err)
	}
	var again store.Invited
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		a, err := c.invitationAct(v, tx, "resend")
		if err != nil {
			return err
		}
		if err = v.once(tx, v.invitationOnce()); err != nil {
			return err
		}
		again, err = tx.ResendInvitation(v.ctx, v.viewer.actor, a.Invitation.ID, c.inviteOptions())
		return err
	})
	if err != nil {
		return c.refusedChange(v, err)
	}
	if again.Link != "" {
		return page.Render(w, r, http.StatusOK, linksPage(v.frame, []store.Invited{again}))
	}
	c.setFlash(w, "The invitation of "+again.Email+" was sent again; the earlier link is void.")
	http.Redirect(w, r, string(v.at("invitations")), http.StatusSeeOther)
	return nil
}

func (c *Console) revokeInvitationDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	a, err := c.invitationAct(v, tx, "revoke")
	if err != nil {
		return nil, err
	}
	return revokeInvitationPage(a), nil
}

func (c *Console) revokeInvitation(v *visit, tx *store.Tx) (string, string, error) {
	a, err := c.invitationAct(v, tx, "revoke")
	if err != nil {
		return "", "", err
	}
	reason, err := reasonOf(v)
	if err != nil {
		return "", "", err
	}
	return "The invitation of " + a.Invitation.Email + " is revoked.", string(v.at("invitations")),
		tx.RevokeInvitation(v.ctx, v.viewer.actor, a.Invitation.ID, reason)
}

// percent is how much of a whole is done, for people.
func percent(part, whole int64) string {
	if whole == 0 {
		return "0 %"
	}
	return strconv.FormatInt(part*100/whole, 10) + " %"
}

// progressWords says how far the letters of a list have come.
func progressWords(p *store.BatchProgress) string {
	out := fmt.Sprintf("Letters sent: %s of %s (%s).", number(int(p.Sent)), number(int(p.Invited)), percent(p.Sent, p.Invited))
	if p.Failed > 0 {
		out += " Failed: " + number(int(p.Failed)) + "."
	}
	if p.Accepted > 0 {
		out += " Accepted already: " + number(int(p.Accepted)) + "."
	}
	return out
}

func progressTone(p *store.BatchProgress) string {
	switch {
	case p.Failed > 0:
		return "warn"
	case p.Sent == p.Invited:
		return "ok"
	}
	return "info"
}

// pollTrigger looks again while letters are on their way.
func pollTrigger(p *store.BatchProgress) string {
	if p.Sent+p.Failed < p.Invited {
		return "every 2s"
	}
	return "never"
}

// verdictWords sums the verdicts of a list up.
func verdictWords(l listForm) string {
	out := people(l.Good+l.Warned) + " can be invited"
	if l.Refused > 0 {
		out += ", " + plural(l.Refused, "row") + " cannot"
	}
	return out + ". Nothing has been sent yet."
}
