package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// mountNotifications adds the page on which a person chooses letters, and those of the organization's webhooks.
func (c *Console) mountNotifications(r chi.Router) {
	r.Get("/me/letters", c.view("letters", "Letters to me", c.myLetters))
	r.Post("/me/letters", c.change(c.chooseLetters))
	r.Route("/webhooks", func(r chi.Router) {
		r.Get("/", c.view("webhooks", "Webhooks", c.webhooks))
		r.Get("/new", c.view("webhooks", "New webhook", c.newWebhook))
		r.Post("/", c.show(c.keepWebhook))
		r.Get("/{webhook}", c.view("webhooks", "Webhook", c.webhook))
		r.Get("/{webhook}/edit", c.view("webhooks", "Change a webhook", c.editWebhook))
		r.Post("/{webhook}", c.show(c.keepWebhook))
		r.Get("/{webhook}/secret", c.view("webhooks", "A new secret", c.renewSecretDialog))
		r.Post("/{webhook}/secret", c.show(c.renewSecret))
		r.Post("/{webhook}/test", c.change(c.testWebhook))
		r.Post("/{webhook}/deliveries/{delivery}/again", c.change(c.redeliver))
		r.Get("/{webhook}/delete", c.view("webhooks", "Take a webhook away", c.deleteWebhookDialog))
		r.Post("/{webhook}/delete", c.change(c.deleteWebhook))
	})
}

// myLetters is what letters the viewer gets. Kinds for administrators are shown to those whom they would reach.
type myLetters struct {
	*frame
	Letters []letterPick
	Mode    mail.Mode
}

func (c *Console) myLetters(v *visit, tx *store.Tx) (templ.Component, error) {
	self := v.viewer.self()
	if self == "" {
		return nil, fault.New(fault.NotFound, "The operator gets no letters: the file given to “vestibule apply” and the log tell everything.")
	}
	choice, err := tx.LetterChoice(v.ctx, self)
	if err != nil {
		return nil, err
	}
	m := myLetters{frame: v.frame, Mode: c.letters()}
	for _, a := range notification.Kinds {
		if a.For == "" || v.viewer.everywhere(a.For) {
			m.Letters = append(m.Letters, letterPick{a, choice.Wants(a.Kind)})
		}
	}
	return myLettersPage(m), nil
}

func (c *Console) chooseLetters(v *visit, tx *store.Tx) (string, string, error) {
	self := v.viewer.self()
	if self == "" {
		return "", "", fault.New(fault.NotFound, "The operator gets no letters.")
	}
	chosen := lettersOf(v.r.PostForm)
	// A kind that the page did not show stays as it was: the person may become an administrator again.
	before, err := tx.LetterChoice(v.ctx, self)
	if err != nil {
		return "", "", err
	}
	for _, a := range notification.Kinds {
		if a.For != "" && !v.viewer.everywhere(a.For) && before.Wants(a.Kind) {
			chosen = append(chosen, a.Kind)
		}
	}
	return "Your choice of letters is kept.", string(v.at("me/letters")), tx.ChooseLetters(v.ctx, self, chosen, v.viewer.actor)
}

// webhookLine is a webhook as the list shows it.
type webhookLine struct {
	ID       id.Webhook
	URL      string
	Kinds    []string
	Source   string
	Declared bool
	Last     statusLine
	LastAt   when
}

type webhookList struct {
	*frame
	Hooks []webhookLine
}

func (c *Console) webhooks(v *visit, tx *store.Tx) (templ.Component, error) {
	if err := v.setsUp(); err != nil {
		return nil, err
	}
	hooks, err := tx.Webhooks(v.ctx)
	if err != nil {
		return nil, err
	}
	l := webhookList{frame: v.frame}
	for _, h := range hooks {
		line := webhookLineOf(v, h)
		last, err := tx.HookDeliveries(v.ctx, h.ID, "", 1)
		if err != nil {
			return nil, err
		}
		if len(last) > 0 {
			line.Last, line.LastAt = deliveryLine(last[0].Delivery), v.when(time.UnixMicro(last[0].Created), "Never")
		}
		l.Hooks = append(l.Hooks, line)
	}
	return webhooksPage(l), nil
}

func webhookLineOf(v *visit, h store.Webhook) webhookLine {
	line := webhookLine{ID: h.ID, URL: h.URL, Source: "Made here by " + either(h.MadeBy, "someone"), LastAt: v.when(time.Time{}, "Never")}
	if h.Declared() {
		line.Source, line.Declared = "From the file", true
	}
	for _, k := range h.Kinds {
		about, _ := notification.Known(k)
		line.Kinds = append(line.Kinds, about.Title)
	}
	return line
}

// hookDelivery is one delivery to a webhook, with its receipt.
type hookDelivery struct {
	ID     id.Delivery
	Type   string
	At     when
	Tries  int
	Next   when // of the next try
	State  statusLine
	Answer string
	Over   bool // it may be sent again
	Body   string
}

type webhookView struct {
	*frame
	webhookLine
	Deliveries []hookDelivery
	Next       string
}

const hookDeliveriesShown = 50

// webhook shows what one webhook was told, and how that fared.
func (c *Console) webhook(v *visit, tx *store.Tx) (templ.Component, error) {
	h, err := c.oneWebhook(v, tx)
	if err != nil {
		return nil, err
	}
	p := webhookView{frame: v.frame, webhookLine: webhookLineOf(v, h)}
	list, err := tx.HookDeliveries(v.ctx, h.ID, id.Delivery(v.query("before")), hookDeliveriesShown)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		line := hookDelivery{
			ID: d.ID, Type: d.Type, At: v.when(time.UnixMicro(d.Created), ""), Tries: d.Attempts, State: deliveryLine(d.Delivery),
			Over: d.Over(), Body: pretty(d.Body),
		}
		if d.Answered != 0 {
			line.Answer = "Answered " + strconv.Itoa(d.Answered) + "."
		}
		if d.State() == outbox.Retrying {
			line.Next = v.when(time.UnixMicro(d.NextAt), "")
		}
		p.Deliveries = append(p.Deliveries, line)
	}
	if len(list) == hookDeliveriesShown {
		p.Next = string(v.at("webhooks/"+string(h.ID))) + "?" + url.Values{"before": {string(list[len(list)-1].ID)}}.Encode()
	}
	return webhookDeliveriesPage(p), nil
}

func (c *Console) redeliver(v *visit, tx *store.Tx) (string, string, error) {
	h, err := c.oneWebhook(v, tx)
	if err != nil {
		return "", "", err
	}
	return "It is sent once more.", string(v.at("webhooks/" + string(h.ID))),
		tx.Redeliver(v.ctx, v.viewer.actor, h.ID, id.Delivery(chi.URLParam(v.r, "delivery")))
}

// deliveryLine says how a delivery stands.
func deliveryLine(d outbox.Delivery) statusLine {
	switch d.State() {
	case outbox.Delivered:
		return statusLine{"ok", "check", "Delivered", ""}
	case outbox.GivenUp:
		return statusLine{"bad", "stop", "Given up", d.LastError}
	case outbox.Retrying:
		return statusLine{"warn", "warn", "Is retried", d.LastError}
	case outbox.Waiting:
	}
	return statusLine{"plain", "clock", "On its way", ""}
}

type webhookForm struct {
	*frame
	ID     id.Webhook // empty: one that is to be made
	URL    string
	Kinds  []letterPick
	Fault  string
	Secret string // shown once
}

// path is what the form is sent to, and the page it leads back to.
func (f webhookForm) path() string {
	if f.ID == "" {
		return "webhooks"
	}
	return "webhooks/" + string(f.ID)
}

func (f webhookForm) heading() string {
	if f.ID == "" {
		return "New webhook"
	}
	return "Change a webhook"
}

func webhookPicks(chosen []notification.Kind) []letterPick {
	return slices.DeleteFunc(letterPicks(chosen), func(k letterPick) bool { return k.Always })
}

func (c *Console) newWebhook(v *visit, _ *store.Tx) (templ.Component, error) {
	if err := v.setsUp(); err != nil {
		return nil, err
	}
	return webhookPage(webhookForm{frame: v.frame, Kinds: webhookPicks(everyLetter())}), nil
}

func (c *Console) editWebhook(v *visit, tx *store.Tx) (templ.Component, error) {
	h, err := c.ownWebhook(v, tx)
	if err != nil {
		return nil, err
	}
	return webhookPage(webhookForm{frame: v.frame, ID: h.ID, URL: h.URL, Kinds: webhookPicks(h.Kinds)}), nil
}

// keepWebhook makes a webhook, and then shows its secret, or changes the one of the address.
func (c *Console) keepWebhook(w http.ResponseWriter, r *http.Request) error {
	v, err := c.filled(w, r)
	if err != nil {
		return redirected(w, r, err)
	}
	chosen := lettersOf(r.PostForm)
	f := webhookForm{ID: id.Webhook(chi.URLParam(r, "webhook")), URL: strings.TrimSpace(v.form("url")), Kinds: webhookPicks(chosen)}
	secret := notification.NewSecret(seal.Random(32))
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		f.frame = v.frame
		if err := v.setsUp(); err != nil {
			return err
		}
		if f.ID == "" {
			if err := v.once(tx, shownOnce{
				"The webhook", "If nobody copied its secret, make a new secret on its page.", v.at("webhooks"), "All webhooks",
			}); err != nil {
				return err
			}
			_, err = tx.MakeWebhook(v.ctx, v.viewer.actor, f.URL, chosen, secret)
		} else {
			_, err = tx.ChangeWebhook(v.ctx, v.viewer.actor, f.ID, f.URL, chosen)
		}
		return firstField(err)
	})
	if err != nil {
		if kind := fault.KindOf(err); f.frame != nil && kind == fault.Invalid {
			status, failure := page.FailureOf(err)
			f.Fault = failure.Said
			return page.Render(w, r, status, webhookPage(f))
		}
		return c.refusedChange(v, err)
	}
	if f.ID != "" {
		c.setFlash(w, "The webhook is changed.")
		http.Redirect(w, r, string(v.at(f.path())), http.StatusSeeOther)
		return nil
	}
	f.Secret = secret
	return page.Render(w, r, http.StatusOK, webhookMadePage(f, "Webhook made"))
}

func (c *Console) renewSecretDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	h, err := c.ownWebhook(v, tx)
	if err != nil {
		return nil, err
	}
	return renewSecretPage(webhookAct{v.frame, h, v.at("webhooks/" + string(h.ID) + "/secret")}), nil
}

// renewSecret shows the new secret, once.
func (c *Console) renewSecret(w http.ResponseWriter, r *http.Request) error {
	v, err := c.filled(w, r)
	if err != nil {
		return redirected(w, r, err)
	}
	f := webhookForm{Secret: notification.NewSecret(seal.Random(32))}
	err = c.DB.Write(v.ctx, organizationOf(r), func(tx *store.Tx) error {
		if err := v.fill(tx); err != nil {
			return err
		}
		if err := v.setsUp(); err != nil {
			return err
		}
		if err := v.once(tx, shownOnce{
			"A new secret", "If nobody copied it, make another on the webhook's page.", v.at("webhooks/" + chi.URLParam(r, "webhook")), "The webhook",
		}); err != nil {
			return err
		}
		h, err := tx.RenewWebhookSecret(v.ctx, v.viewer.actor, id.Webhook(chi.URLParam(r, "webhook")), f.Secret)
		f.frame, f.ID, f.URL = v.frame, h.ID, h.URL
		return err
	})
	if err != nil {
		return c.refusedChange(v, err)
	}
	return page.Render(w, r, http.StatusOK, webhookMadePage(f, "New secret"))
}

func (c *Console) testWebhook(v *visit, tx *store.Tx) (string, string, error) {
	h, err := c.oneWebhook(v, tx)
	if err != nil {
		return "", "", err
	}
	_, err = tx.TestWebhook(v.ctx, v.viewer.actor, h.ID)
	return "A delivery of the type webhook.test is on its way. Load this page again to see whether it arrived.", string(v.at("webhooks/" + string(h.ID))), err
}

type webhookAct struct {
	*frame
	Hook store.Webhook
	Form templ.SafeURL
}

// oneWebhook finds the webhook that a request names.
func (c *Console) oneWebhook(v *visit, tx *store.Tx) (store.Webhook, error) {
	if err := v.setsUp(); err != nil {
		return store.Webhook{}, err
	}
	return tx.Webhook(v.ctx, id.Webhook(chi.URLParam(v.r, "webhook")))
}

// ownWebhook is oneWebhook for one that was made here.
func (c *Console) ownWebhook(v *visit, tx *store.Tx) (store.Webhook, error) {
	if err := v.setsUp(); err != nil {
		return store.Webhook{}, err
	}
	return tx.OwnWebhook(v.ctx, id.Webhook(chi.URLParam(v.r, "webhook")))
}

func (c *Console) deleteWebhookDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	h, err := c.ownWebhook(v, tx)
	if err != nil {
		return nil, err
	}
	return deleteWebhookPage(webhookAct{v.frame, h, v.at("webhooks/" + string(h.ID) + "/delete")}), nil
}

func (c *Console) deleteWebhook(v *visit, tx *store.Tx) (string, string, error) {
	h, err := c.ownWebhook(v, tx)
	if err != nil {
		return "", "", err
	}
	return "The webhook is taken away.", string(v.at("webhooks")), tx.DeleteWebhook(v.ctx, v.viewer.actor, h.ID)
}
