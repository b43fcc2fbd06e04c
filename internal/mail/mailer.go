package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// Mode says what becomes of letters.
type Mode string

// The modes.
const (
	// Off: there is no mail server. Letters wait in the outbox as long as any delivery does, and pages say that nothing
	// is sent, and offer links to copy where that is safe.
	Off Mode = "off"
	// Mailbox: letters are kept for the operator to read, and sent to nobody. For development and the demo.
	Mailbox Mode = "mailbox"
	// SMTP: letters go to a mail server.
	SMTP Mode = "smtp"
)

// Settings say how letters leave the house.
type Settings struct {
	// Server is smtp://USER:PASSWORD@HOST:PORT (STARTTLS is demanded; port 587 unless said), smtps:// (TLS from the first
	// byte; port 465), or "mailbox". ?tls=opportunistic or ?tls=none on smtp:// is for a server on a trusted network, and
	// takes no password. Empty: the mailbox if the installation is reached at a loopback address, else nothing.
	Server string
	// From is the sender, "Northwind sign-in <id@northwind.example>". Wanted with a server.
	From string
	// URL is the public base URL of the installation.
	URL string
	// Roots are whom to believe a server's certificate; the system's where nil.
	Roots *x509.CertPool
}

// timeout is how long a mail server may take for one letter, well within what a delivery may take.
const timeout = 20 * time.Second

// Mailer sends letters.
type Mailer struct {
	mode    Mode
	from    mail.Address
	host    string // of the installation, in a letter's id
	address string // host:port of the server
	client  func() (*gomail.Client, error)
}

// New reads the settings.
func New(s Settings) (*Mailer, error) {
	m := &Mailer{mode: Off, host: "localhost"}
	public, err := url.Parse(s.URL)
	if err == nil && public.Hostname() != "" {
		m.host = public.Hostname()
	}
	m.from = mail.Address{Name: "Vestibule", Address: "vestibule@" + m.host}
	if s.From != "" {
		from, err := mail.ParseAddress(s.From)
		if err != nil || Line(from.Name) != from.Name {
			return nil, errors.New("mail_from: a sender is wanted, such as \"Northwind sign-in <id@northwind.example>\"")
		}
		if _, err := ParseAddress(from.Address); err != nil {
			return nil, fmt.Errorf("mail_from: %w", err)
		}
		m.from = *from
	}
	switch s.Server {
	case "":
		if loopback(m.host) {
			m.mode = Mailbox
		}
		return m, nil
	case string(Mailbox):
		m.mode = Mailbox
		return m, nil
	}
	if s.From == "" {
		return nil, errors.New("mail_from: with smtp_url a sender is wanted, such as \"Northwind sign-in <id@northwind.example>\"")
	}
	m.mode = SMTP
	return m, m.connect(s)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// connect reads the server's address. Nothing of it is said in an error: it may hold a password.
func (m *Mailer) connect(s Settings) error {
	u, err := url.Parse(s.Server)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Path != "" && u.Path != "/" {
		return errors.New("smtp_url: it must be smtp://USER:PASSWORD@HOST:587, smtps://USER:PASSWORD@HOST:465 or mailbox")
	}
	port, policy := 587, gomail.TLSMandatory
	options := []gomail.Option{
		gomail.WithTimeout(timeout), gomail.WithHELO(m.host),
		gomail.WithTLSConfig(&tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: s.Roots}),
	}
	if u.Scheme == "smtps" {
		port = 465
		options = append(options, gomail.WithSSL())
	}
	for name, values := range u.Query() {
		switch {
		case name == "tls" && u.Scheme == "smtp" && values[0] == "opportunistic":
			policy = gomail.TLSOpportunistic
		case name == "tls" && u.Scheme == "smtp" && values[0] == "none":
			policy = gomail.NoTLS
		case name == "tls" && values[0] == "required":
		default:
			return fmt.Errorf("smtp_url: ?%s= is not known; ?tls= takes required, opportunistic or none, the latter two with smtp://", name)
		}
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
			return errors.New("smtp_url: its port is not between 1 and 65535")
		}
	}
	options = append(options, gomail.WithPort(port), gomail.WithTLSPolicy(policy))
	if password, has := u.User.Password(); u.User != nil {
		if !has {
			return errors.New("smtp_url: a user without a password cannot sign in")
		}
		// A server that stops offering STARTTLS, or somebody between who cuts the offer out, must not get the password.
		if policy != gomail.TLSMandatory {
			return errors.New("smtp_url: a password is only sent over TLS; take ?tls= out, or the user")
		}
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()),
			gomail.WithPassword(password))
	}
	m.address = net.JoinHostPort(u.Hostname(), strconv.Itoa(port))
	m.client = func() (*gomail.Client, error) { return gomail.NewClient(u.Hostname(), options...) }
	_, err = m.client()
	if err != nil {
		return fmt.Errorf("smtp_url: %w", err)
	}
	return nil
}

// Mode says what becomes of letters.
func (m *Mailer) Mode() Mode { return m.mode }

// Sender is whom letters come from.
func (m *Mailer) Sender() string { return m.from.String() }

// Server is where letters go, without what signs in there; empty unless the mode is SMTP.
func (m *Mailer) Server() string { return m.address }

// Receipt is what is kept of a letter that was taken.
type Receipt struct {
	Server    string `json:"server,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	Mailbox   bool   `json:"mailbox,omitempty"`
}

// Send hands one letter over. The delivery's id is part of the Message-ID (RFC 5322 section 3.6.4), so that a letter sent
// twice, because a node died before it could note the first, is one letter to the receiving side.
func (m *Mailer) Send(ctx context.Context, delivery string, letter Message) (Receipt, error) {
	switch m.mode {
	case Mailbox:
		return Receipt{Mailbox: true}, nil
	case Off:
		return Receipt{}, fault.New(fault.Unavailable, "No mail server is set up (VESTIBULE_SMTP_URL), so the letter was not sent.").WithCode("no-mail-server")
	case SMTP:
	}
	msg, err := m.compose(delivery, letter)
	if err != nil {
		return Receipt{}, fault.Wrap(err, fault.Invalid, "The letter could not be put together.")
	}
	client, err := m.client()
	if err != nil {
		return Receipt{}, err
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return Receipt{}, m.refused(err)
	}
	return Receipt{Server: m.address, MessageID: msg.GetMessageID()}, nil
}

func (m *Mailer) compose(delivery string, letter Message) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	if err := msg.FromFormat(m.from.Name, m.from.Address); err != nil {
		return nil, err
	}
	// What lies in the outbox was written by an earlier program, perhaps with other rules: they are held here again.
	to, err := ParseAddress(letter.To.Email)
	if err != nil {
		return nil, err
	}
	if err := msg.AddToFormat(Line(letter.To.Name), to); err != nil {
		return nil, err
	}
	msg.Subject(Line(letter.Subject))
	msg.SetMessageIDWithValue(delivery + "@" + m.host)
	msg.SetDate()
	// RFC 3834 section 5: no holiday note answers to this.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	msg.SetBodyString(gomail.TypeTextPlain, letter.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, letter.HTML)
	return msg, nil
}

// refused says what a mail server's refusal means for the delivery: a 5xx about this letter is final (RFC 5321 section
// 4.2.1), everything else may pass.
func (m *Mailer) refused(err error) error {
	var e *gomail.SendError
	if !errors.As(err, &e) {
		return fault.Wrap(err, fault.Unavailable, "The mail server %s could not be reached, or did not let us in.", m.address)
	}
	code := e.ErrorCode()
	said := ""
	if code != 0 {
		said = fmt.Sprintf(" (%d)", code)
	}
	switch e.Reason {
	case gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
		if code >= 500 && !e.IsTemp() {
			return fault.Wrap(err, fault.Invalid, "The mail server %s refused the letter for good%s.", m.address, said)
		}
	default:
	}
	return fault.Wrap(err, fault.Unavailable, "The mail server %s did not take the letter%s.", m.address, said)
}

// When writes a time as letters do. Whoever reads it may be anywhere, so it names its zone.
func When(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }
