package mail_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	gomail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/mail"
)

// post is a mail server that can misbehave.
type post struct {
	mu       sync.Mutex
	got      []received
	refuse   *smtp.SMTPError // of RCPT
	password string          // wanted, where not empty
}

type received struct {
	from, to string
	secure   bool
	user     string
	message  *gomail.Message
	raw      string
}

func (p *post) NewSession(c *smtp.Conn) (smtp.Session, error) { return &desk{post: p, c: c}, nil }

type desk struct {
	post *post
	c    *smtp.Conn
	received
}

func (d *desk) AuthMechanisms() []string {
	if d.post.password == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (d *desk) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != d.post.password {
			return errors.New("no")
		}
		d.user = user
		return nil
	}), nil
}

func (d *desk) Mail(from string, _ *smtp.MailOptions) error {
	if d.post.password != "" && d.user == "" {
		return smtp.ErrAuthRequired
	}
	d.from = from
	return nil
}

func (d *desk) Rcpt(to string, _ *smtp.RcptOptions) error {
	if d.post.refuse != nil {
		return d.post.refuse
	}
	if d.to != "" {
		return errors.New("one letter goes to one person")
	}
	d.to = to
	return nil
}

func (d *desk) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	d.raw = string(raw)
	if d.message, err = gomail.ReadMessage(strings.NewReader(d.raw)); err != nil {
		return err
	}
	_, d.secure = d.c.TLSConnectionState()
	d.post.mu.Lock()
	defer d.post.mu.Unlock()
	d.post.got = append(d.post.got, d.received)
	return nil
}

func (d *desk) Reset()        {}
func (d *desk) Logout() error { return nil }

// certificate is one that a server on loopback shows, and the pool that believes it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pool
}

// begin runs a server; how is "starttls", "tls" or "none".
func begin(t *testing.T, p *post, how string) (address string, roots *x509.CertPool) {
	t.Helper()
	cert, roots := certificate(t)
	s := smtp.NewServer(p)
	s.Domain, s.ErrorLog = "mx.example", silent{}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if how == "starttls" {
		s.TLSConfig = config
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if how == "tls" {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return address, roots
}

type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

const from = "Northwind sign-in <id@northwind.example>"

func letter(t *testing.T, name string) mail.Message {
	t.Helper()
	m, err := mail.Letter{
		Template: mail.Invitation, To: mail.Address{Name: name, Email: "dana@northwind.example"}, Data: values("Grüße"),
	}.Write()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSend_GoesToAServerByEachWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		how, scheme, query string
		auth               bool
	}{
		"starttls with a password": {"starttls", "smtp", "", true},
		"starttls":                 {"starttls", "smtp", "?tls=required", false},
		"tls":                      {"tls", "smtps", "", false},
		"tls with a password":      {"tls", "smtps", "", true},
		"if it is offered":         {"starttls", "smtp", "?tls=opportunistic", false},
		"in the clear":             {"none", "smtp", "?tls=none", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &post{}
			user := ""
			if c.auth {
				p.password, user = "hunter2/@", "mailer:hunter2%2F%40@"
			}
			address, roots := begin(t, p, c.how)
			m, err := mail.New(mail.Settings{Server: c.scheme + "://" + user + address + c.query, From: from, URL: "https://id.example", Roots: roots})
			if err != nil {
				t.Fatal(err)
			}
			// A name that would be another header, and one that needs encoding.
			receipt, err := m.Send(t.Context(), "0199-delivery", letter(t, "Dana\r\nBcc: all@evil.example \"ü\""))
			if err != nil {
				t.Fatal(err)
			}
			if receipt.MessageID != "<0199-delivery@id.example>" && receipt.MessageID != "0199-delivery@id.example" || receipt.Server != address {
				t.Errorf("got the receipt %+v", receipt)
			}
			got := p.got[0]
			if got.from != "id@northwind.example" || got.to != "dana@northwind.example" || got.secure != (c.how != "none") || (got.user != "") != c.auth {
				t.Errorf("got %+v", got)
			}
			h := got.message.Header
			to, err := h.AddressList("To")
			if err != nil || len(to) != 1 || to[0].Address != "dana@northwind.example" || !strings.Contains(to[0].Name, "Bcc: all@evil.example") {
				t.Errorf("got To %v, %v", to, err)
			}
			if h.Get("Bcc") != "" || h.Get("Auto-Submitted") != "auto-generated" || h.Get("Message-Id") != "<0199-delivery@id.example>" {
				t.Errorf("got the header %v", h)
			}
			if !strings.Contains(got.raw, "text/plain") || !strings.Contains(got.raw, "text/html") || !strings.Contains(h.Get("Content-Type"), "multipart/alternative") {
				t.Errorf("got %s", got.raw)
			}
		})
	}
}

func TestSend_SaysWhetherTryingAgainHelps(t *testing.T) {
	t.Parallel()
	send := func(p *post, how, query string) error {
		address, roots := begin(t, p, how)
		m, err := mail.New(mail.Settings{Server: "smtp://" + address + query, From: from, URL: "https://id.example", Roots: roots})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Send(t.Context(), "d", letter(t, "Dana"))
		return err
	}
	if err := send(&post{refuse: &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody here"}}, "starttls", ""); fault.KindOf(err) != fault.Invalid {
		t.Errorf("refused for good: got %v", err)
	}
	if err := send(&post{refuse: &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted"}}, "starttls", ""); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("refused for now: got %v", err)
	}
	// A server that offers no STARTTLS, or somebody between who cuts it out, gets nothing.
	p := &post{}
	if err := send(p, "none", ""); fault.KindOf(err) != fault.Unavailable || len(p.got) != 0 {
		t.Errorf("without TLS: got %v and %d letters", err, len(p.got))
	}
	m, err := mail.New(mail.Settings{Server: "smtp://127.0.0.1:1?tls=none", From: from, URL: "https://id.example"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Send(t.Context(), "d", letter(t, "Dana")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("nobody there: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Send(ctx, "d", letter(t, "Dana")); err == nil {
		t.Error("a cancelled letter was sent")
	}
}

func TestSend_ACertificateThatIsNotBelievedGetsNoPassword(t *testing.T) {
	t.Parallel()
	p := &post{password: "hunter2"}
	address, _ := begin(t, p, "starttls")
	m, err := mail.New(mail.Settings{Server: "smtp://mailer:hunter2@" + address, From: from, URL: "https://id.example", Roots: x509.NewCertPool()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Send(t.Context(), "d", letter(t, "Dana"))
	if fault.KindOf(err) != fault.Unavailable || len(p.got) != 0 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestNew_Modes(t *testing.T) {
	t.Parallel()
	for s, want := range map[mail.Settings]mail.Mode{
		{URL: "http://127.0.0.1:8080"}:                              mail.Mailbox,
		{URL: "http://localhost:8080"}:                              mail.Mailbox,
		{URL: "https://id.example"}:                                 mail.Off,
		{URL: "https://id.example", Server: "mailbox"}:              mail.Mailbox,
		{URL: "https://id.example", Server: "smtp://x", From: from}: mail.SMTP,
	} {
		m, err := mail.New(s)
		if err != nil || m.Mode() != want {
			t.Errorf("%+v: got %v, %v", s, m, err)
		}
	}
	for server, why := range map[string]string{
		"smtp://u:hunter2@x?tls=none":          "password is only sent over TLS",
		"smtp://u:hunter2@x?tls=opportunistic": "password is only sent over TLS",
		"smtps://u:hunter2@x?tls=none":         "is not known",
		"smtp://u@x":                           "without a password",
		"smtp://u:hunter2@x/path":              "must be smtp://",
		"http://u:hunter2@x":                   "must be smtp://",
		"smtp://u:hunter2@x:99999":             "port",
	} {
		_, err := mail.New(mail.Settings{URL: "https://id.example", Server: server, From: from})
		if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", server, err)
		}
	}
	if _, err := mail.New(mail.Settings{URL: "https://id.example", Server: "smtp://x"}); err == nil {
		t.Error("a server without a sender was taken")
	}
	if _, err := mail.New(mail.Settings{URL: "https://id.example", From: "no address"}); err == nil {
		t.Error("a sender without an address was taken")
	}
	off, err := mail.New(mail.Settings{URL: "https://id.example"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := off.Send(t.Context(), "d", letter(t, "Dana")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("without a server: got %v", err)
	}
}
