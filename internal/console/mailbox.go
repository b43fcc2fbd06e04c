package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountMailbox adds the operator's page about letters: where they go, how the last ones fared, and, where they go nowhere,
// the letters themselves. What a letter that was sent said is not kept, so nobody reads other people's links here.
func (c *Console) mountMailbox(r chi.Router) {
	r.Get("/operator/mailbox", c.show(c.mailbox))
	r.Post("/operator/mailbox", c.show(c.tryMail))
	r.Get("/operator/mailbox/{letter}", c.show(c.letter))
	r.Get("/operator/mailbox/{letter}/html", c.show(c.letterHTML))
}

type mailLine struct {
	ID           id.Delivery
	To           string
	Organization id.Organization
	Template     mail.Template
	Subject      string // only in the mailbox
	At           when
	State        statusLine
}

type mailbox struct {
	*frame
	Mode    mail.Mode
	Server  string
	Sender  string
	Q       string
	Letters []mailLine
	Next    string
	Said    string
}

// frameOfOperator is the frame of a page of the installation, or nil for who is not its operator.
func (c *Console) frameOfOperator(r *http.Request, title string) (*frame, error) {
	o, err := c.operator(r.Context(), r)
	if err != nil || o == nil {
		return nil, err
	}
	return &frame{viewer: &viewer{operator: o, actor: operatorActor(*o, c.from(r))}, title: title, now: c.DB.Now()}, nil
}

func (c *Console) mailbox(w http.ResponseWriter, r *http.Request) error {
	f, err := c.frameOfOperator(r, "Letters")
	if err != nil {
		return err
	}
	if f == nil {
		http.Redirect(w, r, "/operator/signin", http.StatusSeeOther)
		return nil
	}
	m := mailbox{frame: f, Mode: c.letters(), Q: strings.TrimSpace(r.URL.Query().Get("q")), Said: c.takeFlash(w, r)}
	if c.Mail != nil {
		m.Server, m.Sender = c.Mail.Server(), c.Mail.Sender()
	}
	var list []outbox.Delivery
	err = c.DB.System().Read(r.Context(), func(tx *store.SystemTx) (err error) {
		list, m.Next, err = tx.Letters(r.Context(), m.Q, r.URL.Query().Get("cursor"), 50)
		return err
	})
	if err != nil {
		return err
	}
	if m.Next != "" {
		m.Next = "/operator/mailbox?" + url.Values{"q": {m.Q}, "cursor": {m.Next}}.Encode()
	}
	for _, d := range list {
		l := mailLine{
			ID: d.ID, To: d.Destination, Organization: d.Organization, Template: store.LetterTemplate(d),
			At: f.when(time.UnixMicro(d.Created), ""), State: deliveryLine(d),
		}
		if m.Mode == mail.Mailbox {
			if letter, err := c.DB.Letter(d); err == nil {
				l.Subject = letter.Subject
			}
		}
		m.Letters = append(m.Letters, l)
	}
	return page.Render(w, r, http.StatusOK, mailboxPage(m))
}

// tryMail posts a letter to the operator.
func (c *Console) tryMail(w http.ResponseWriter, r *http.Request) error {
	f, err := c.frameOfOperator(r, "Letters")
	if err != nil {
		return err
	}
	if f == nil {
		http.Redirect(w, r, "/operator/signin", http.StatusSeeOther)
		return nil
	}
	o := f.viewer.operator
	err = c.DB.System().Write(r.Context(), func(tx *store.SystemTx) error {
		d, err := tx.PostLetter(r.Context(), mail.Letter{Template: mail.Trial, To: mail.Address{Name: o.Name, Email: o.Email}})
		if err != nil {
			return err
		}
		tx.Record(r.Context(), audit.Event{
			Actor: f.viewer.actor, Action: "mail.tried", TargetKind: "delivery", TargetID: string(d), TargetName: o.Email,
		})
		return nil
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/operator/mailbox", http.StatusSeeOther)
	return nil
}

type letterView struct {
	*frame
	mailLine
	Message mail.Message
}

// kept gives a letter of the mailbox to its operator.
func (c *Console) kept(r *http.Request) (*frame, outbox.Delivery, mail.Message, error) {
	f, err := c.frameOfOperator(r, "Letter")
	if err != nil {
		return nil, outbox.Delivery{}, mail.Message{}, err
	}
	if f == nil {
		return nil, outbox.Delivery{}, mail.Message{}, fault.New(fault.Forbidden, "The mailbox is for the operator of this installation.")
	}
	if c.letters() != mail.Mailbox {
		return nil, outbox.Delivery{}, mail.Message{}, fault.New(fault.NotFound, "Letters are read here only where they are sent to nobody.")
	}
	var list []outbox.Delivery
	err = c.DB.System().Read(r.Context(), func(tx *store.SystemTx) (err error) {
		list, err = tx.Letter(r.Context(), id.Delivery(chi.URLParam(r, "letter")))
		return err
	})
	if err != nil {
		return nil, outbox.Delivery{}, mail.Message{}, err
	}
	if len(list) == 0 {
		return nil, outbox.Delivery{}, mail.Message{}, fault.New(fault.NotFound, "There is no such letter.")
	}
	m, err := c.DB.Letter(list[0])
	return f, list[0], m, err
}

func (c *Console) letter(w http.ResponseWriter, r *http.Request) error {
	f, d, m, err := c.kept(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", framing(w.Header().Get("Content-Security-Policy")))
	return page.Render(w, r, http.StatusOK, letterPage(letterView{f, mailLine{
		ID: d.ID, To: d.Destination, Organization: d.Organization, Template: m.Template, Subject: m.Subject,
		At: f.when(time.UnixMicro(d.Created), ""), State: deliveryLine(d),
	}, m}))
}

// framing lets a page show a frame of this host; every other directive stays.
func framing(policy string) string {
	parts := strings.Split(policy, "; ")
	return strings.Join(slices.Insert(parts, min(1, len(parts)), "frame-src 'self'"), "; ")
}

// letterHTML is a letter as a mail program shows it. It is a document of its own, in a sandbox by its own policy, wherever
// it is opened: it runs nothing, fetches nothing and sends nothing. Its styles are attributes, as letters need them.
func (c *Console) letterHTML(w http.ResponseWriter, r *http.Request) error {
	_, _, m, err := c.kept(r)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox allow-popups allow-popups-to-escape-sandbox; frame-ancestors 'self'; form-action 'none'")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	// Links of a letter lead out of the frame, as they lead out of a mail program.
	_, err = w.Write([]byte(strings.Replace(m.HTML, "<head>", `<head><base target="_blank">`, 1)))
	return err
}
