// Package config is what an operator sets about the program itself: where a node listens, what it is called from outside,
// where its store and its key lie. Flags win over the environment, the environment over vestibule.yaml, the file over the
// defaults. What an operator sets about organizations is not here: that is `vestibule apply`.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/vestibule-id/vestibule/internal/mail"
)

// Store is what every command that opens the store needs.
type Store struct {
	File           string `name:"config" help:"Configuration file; its keys are the flags' names with underscores." env:"VESTIBULE_CONFIG" placeholder:"vestibule.yaml"`
	Database       string `help:"Where everything is kept: sqlite:PATH or postgres://..." env:"VESTIBULE_DATABASE" default:"sqlite:./var/vestibule.db"`
	DatabaseDirect string `help:"A direct PostgreSQL address for LISTEN and migrations, when --database goes through a pooler." env:"VESTIBULE_DATABASE_DIRECT" placeholder:"URL"`
	Key            string `help:"32 bytes in base64 that seal secrets at rest; a list separated by commas rotates: the first seals, all open. Made beside an SQLite file when absent, required on PostgreSQL." env:"VESTIBULE_KEY" placeholder:"BASE64"`
}

// Config is everything a node can be told.
type Config struct {
	Store
	Addr                 string   `help:"Where the node listens; port 0 picks one and prints it." env:"VESTIBULE_ADDR" default:"127.0.0.1:8080"`
	URL                  string   `name:"url" help:"The public base URL, and the OpenID issuer. Default: http:// and the address listened on." env:"VESTIBULE_URL" placeholder:"URL"`
	AllowPrivateNetworks Switch   `help:"Let outgoing requests reach loopback and private addresses, and plain http to loopback: for tests and the demo." env:"VESTIBULE_ALLOW_PRIVATE_NETWORKS" default:"off"`
	SMTPURL              string   `name:"smtp-url" help:"Where letters go: smtp://USER:PASSWORD@HOST:587 (STARTTLS), smtps://USER:PASSWORD@HOST:465, or mailbox, which keeps them for the operator to read. Default: the mailbox at a loopback URL, else nothing is sent." env:"VESTIBULE_SMTP_URL" placeholder:"URL"`
	MailFrom             string   `help:"Whom letters come from, such as Northwind sign-in <id@northwind.example>." env:"VESTIBULE_MAIL_FROM" placeholder:"ADDRESS"`
	OperatorMFA          Switch   `help:"Ask operators for a second factor; who has none sets one up at the next sign-in." env:"VESTIBULE_OPERATOR_MFA" default:"off"`
	TrustedProxies       []string `help:"Networks whose X-Forwarded-For is believed, as 10.0.0.0/8; none by default." env:"VESTIBULE_TRUSTED_PROXIES" placeholder:"CIDR"`
}

// Switch is on or off, in the words people use for it.
type Switch bool

// Decode implements kong's MapperValue.
func (s *Switch) Decode(ctx *kong.DecodeContext) error {
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		*s = true
		return nil
	}
	switch v := strings.ToLower(ctx.Scan.Pop().String()); v {
	case "on", "true", "yes", "1":
		*s = true
	case "off", "false", "no", "0", "":
		*s = false
	default:
		return fmt.Errorf("%q is neither on nor off", v)
	}
	return nil
}

// IsBool lets the flag stand without a value.
func (s *Switch) IsBool() bool { return true }

// Validate checks the form of what was set. Kong calls it for the command that embeds it.
func (c *Config) Validate() error {
	return errors.Join(c.Store.Validate(), c.validateAddr(), c.validateURL(), c.validateProxies(), c.validateMail())
}

func (c *Config) validateAddr() error {
	_, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fmt.Errorf("addr: %q is not HOST:PORT, such as 127.0.0.1:8080", c.Addr)
	}
	if _, err := net.LookupPort("tcp", port); err != nil { //nolint:noctx // reads a table of names, asks no network
		return fmt.Errorf("addr: %q has no port between 0 and 65535", c.Addr)
	}
	return nil
}

// The issuer is compared byte for byte by applications (OpenID Connect Discovery section 4.3), and cookies and redirects
// hang on it, so it is an origin and nothing more.
func (c *Config) validateURL() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil, u.Host == "", u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("url: %q is not an address such as https://id.example.com", c.URL)
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "", u.User != nil:
		return fmt.Errorf("url: %q must end after the host: paths, queries and user names are not supported", c.URL)
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	return nil
}

// What is wrong about mail is said at the start, not at the first letter.
func (c *Config) validateMail() error {
	_, err := mail.New(c.Mail(c.BaseURL(c.Addr)))
	return err
}

// Mail gives how letters leave the house, when it is reached at a URL.
func (c *Config) Mail(url string) mail.Settings {
	return mail.Settings{Server: c.SMTPURL, From: c.MailFrom, URL: url}
}

func (c *Config) validateProxies() error {
	for _, p := range c.TrustedProxies {
		if _, err := parseNetwork(p); err != nil {
			return fmt.Errorf("trusted_proxies: %q is neither a network such as 10.0.0.0/8 nor an address", p)
		}
	}
	return nil
}

// Proxies gives the trusted networks. Validate has checked them.
func (c *Config) Proxies() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range c.TrustedProxies {
		if n, err := parseNetwork(p); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func parseNetwork(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		n, err := netip.ParsePrefix(s)
		return n.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// BaseURL is the public base URL when the node listens at the given address: what was set, else http:// and the address. A
// wildcard address is no address to click on, so loopback stands in for it.
func (c *Config) BaseURL(listening string) string {
	if c.URL != "" {
		return c.URL
	}
	host, port, err := net.SplitHostPort(listening)
	if err != nil {
		return "http://" + listening
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Validate checks the form of the store's address.
func (s *Store) Validate() error {
	if path, ok := s.SQLitePath(); ok {
		if path == "" {
			return errors.New("database: sqlite: needs a path, such as sqlite:./var/vestibule.db")
		}
		if s.DatabaseDirect != "" {
			return errors.New("database_direct: only PostgreSQL has a pooler to go around; take it out or name a postgres:// database")
		}
		return nil
	}
	if !isPostgres(s.Database) {
		return fmt.Errorf("database: it must be sqlite:PATH or postgres://USER@HOST/NAME, not %q", withoutPassword(s.Database))
	}
	if s.DatabaseDirect != "" && !isPostgres(s.DatabaseDirect) {
		return errors.New("database_direct: it must be a postgres:// address")
	}
	return nil
}

// SQLitePath gives the path of the SQLite file, and whether the store is one.
func (s *Store) SQLitePath() (string, bool) {
	return strings.CutPrefix(s.Database, "sqlite:")
}

func isPostgres(s string) bool {
	return strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://")
}

// withoutPassword keeps a mistyped address from printing its password.
func withoutPassword(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "what is set"
	}
	return u.Redacted()
}
