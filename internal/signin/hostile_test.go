package signin_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/signin"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// hostile runs a case of the catalogue on a world whose person was pushed and could sign in: only what the provider does wrong
// stands in the way, and the trap is never fetched.
func hostile(t *testing.T, name string, run func(t *testing.T, w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, storetest.SQLite)
		w.push("oid-ann", "ann", "ann@northwind.example")
		run(t, w)
		for _, p := range []*idp{w.idp, w.other} {
			if n := p.count("/trap"); n != 0 {
				t.Errorf("the trap was fetched %d times", n)
			}
		}
	})
}

// The signature: cases 1 to 18, 50, 51 and 56. Each makes a token of the right claims that must not be believed.
func TestUpstream_TokensThatProveNothing(t *testing.T) {
	t.Parallel()
	k := keyring()
	der, err := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	b64 := base64.RawURLEncoding
	for name, sign := range map[string]func(p *idp, c map[string]any) string{
		"01 alg none":              func(_ *idp, c map[string]any) string { return raw(`{"alg":"none"}`, payload(c), nil) },
		"02 alg nOnE":              func(_ *idp, c map[string]any) string { return raw(`{"alg":"nOnE"}`, payload(c), nil) },
		"02 alg missing":           func(_ *idp, c map[string]any) string { return raw(`{"typ":"JWT"}`, payload(c), []byte("x")) },
		"03 HS256 with public PEM": func(p *idp, c map[string]any) string { return p.compact("HS256", "rsa-1", publicPEM, payload(c), nil) },
		"04 HS256 with the secret": func(p *idp, c map[string]any) string {
			return p.compact("HS256", "rsa-1", bytes.Repeat([]byte(clientSecret), 4), payload(c), nil)
		},
		"06 embedded jwk": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "rsa-1", k.other, payload(c), map[string]any{"jwk": public("rsa-1", "RS256", "sig", k.other)})
		},
		"07 jku": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "rsa-1", k.rsa, payload(c), map[string]any{"jku": p.URL + "/trap"})
		},
		"07 x5u": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "rsa-1", k.rsa, payload(c), map[string]any{"x5u": p.URL + "/trap"})
		},
		"08 x5c": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "rsa-1", k.rsa, payload(c), map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(der)}})
		},
		"09 another key under a known kid": func(p *idp, c map[string]any) string { return p.compact("RS256", "rsa-1", k.other, payload(c), nil) },
		"12 kid of paths": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "../../etc/passwd", k.rsa, payload(c), nil)
		},
		"12 kid of SQL": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "' or '1'='1", k.rsa, payload(c), nil)
		},
		"12 kid no string": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "", k.rsa, payload(c), map[string]any{"kid": 7})
		},
		"13 crit": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "rsa-1", k.rsa, payload(c), map[string]any{"crit": []string{"exp"}})
		},
		"14 two segments": func(p *idp, c map[string]any) string {
			t := p.compact("RS256", "rsa-1", k.rsa, payload(c), nil)
			return t[:strings.LastIndexByte(t, '.')]
		},
		"14 four segments": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "rsa-1", k.rsa, payload(c), nil) + ".x"
		},
		"14 JSON serialization": func(p *idp, c map[string]any) string {
			part := strings.Split(p.compact("RS256", "rsa-1", k.rsa, payload(c), nil), ".")
			return `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`
		},
		"15 payload altered": func(p *idp, c map[string]any) string {
			part := strings.Split(p.compact("RS256", "rsa-1", k.rsa, payload(c), nil), ".")
			c["sub"] = "an administrator"
			return part[0] + "." + b64.EncodeToString(payload(c)) + "." + part[2]
		},
		"16 ECDSA of zeros": func(_ *idp, c map[string]any) string {
			return raw(`{"alg":"ES256","kid":"ec-1"}`, payload(c), make([]byte, 64))
		},
		// A high s is lawful (RFC 7518 section 3.4 sets no bound), and half of all providers' tokens have one; what is beyond the order is not.
		"16 ECDSA beyond the order": func(_ *idp, c map[string]any) string {
			return raw(`{"alg":"ES256","kid":"ec-1"}`, payload(c), bytes.Repeat([]byte{0xff}, 64))
		},
		"16 ECDSA in DER": func(p *idp, c map[string]any) string {
			head := b64.EncodeToString([]byte(`{"alg":"ES256","kid":"ec-1"}`)) + "." + b64.EncodeToString(payload(c))
			sum := sha256.Sum256([]byte(head))
			der, err := k.ec.Sign(nil, sum[:], crypto.SHA256)
			if err != nil {
				p.t.Errorf("sign: %v", err)
			}
			return head + "." + b64.EncodeToString(der)
		},
		"16 ECDSA with more behind it": func(p *idp, c map[string]any) string {
			return p.compact("ES256", "ec-1", k.ec, payload(c), nil) + "AA"
		},
		"16 ECDSA too short": func(_ *idp, c map[string]any) string {
			return raw(`{"alg":"ES256","kid":"ec-1"}`, payload(c), []byte{1})
		},
		"16 RSA key, ECDSA algorithm": func(_ *idp, c map[string]any) string {
			return raw(`{"alg":"ES256","kid":"rsa-1"}`, payload(c), make([]byte, 64))
		},
		"50 logout token": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "rsa-1", k.rsa, payload(c), map[string]any{"typ": "logout+jwt"})
		},
		"50 security event": func(p *idp, c map[string]any) string {
			c["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
			return p.compact("RS256", "rsa-1", k.rsa, payload(c), nil)
		},
		"51 access token": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "rsa-1", k.rsa, payload(c), map[string]any{"typ": "at+jwt"})
		},
		"51 access token without a type": func(p *idp, c map[string]any) string {
			delete(c, "nonce")
			c["scope"], c["client_id"] = "openid", "vestibule"
			return p.compact("RS256", "rsa-1", k.rsa, payload(c), nil)
		},
		"56 two subs": func(p *idp, c map[string]any) string {
			twice := append([]byte(`{"sub":"somebody",`), payload(c)[1:]...)
			return p.compact("RS256", "rsa-1", k.rsa, twice, nil)
		},
		"56 twice in the header": func(p *idp, c map[string]any) string {
			return raw(`{"alg":"none","alg":"RS256","kid":"rsa-1"}`, payload(c), make([]byte, 256))
		},
		"56 claims that are no object": func(p *idp, _ map[string]any) string { return p.compact("RS256", "rsa-1", k.rsa, []byte(`[1]`), nil) },
		"56 something behind the claims": func(p *idp, c map[string]any) string {
			return p.compact("RS256", "rsa-1", k.rsa, append(payload(c), `{"sub":"b"}`...), nil)
		},
	} {
		hostile(t, name, func(t *testing.T, w *world) {
			w.idp.sign = func(c map[string]any) string { return sign(w.idp, c) }
			w.refuses(signin.CodeToken, w.signIn)
		})
	}
}

func TestUpstream_KeysThatMustNotVerify(t *testing.T) {
	t.Parallel()
	k := keyring()
	hostile(t, "05 RS256 where ES256 is pinned", func(_ *testing.T, w *world) {
		w.configure(func(s *connection.Settings) { s.Algorithms = []string{"ES256"} })
		w.refuses(signin.CodeToken, w.signIn)
		w.idp.sign = func(c map[string]any) string { return w.idp.compact("ES256", "ec-1", k.ec, payload(c), nil) }
		w.mustSignIn()
	})
	hostile(t, "11 no kid, two keys fit", func(_ *testing.T, w *world) {
		w.idp.sign = func(c map[string]any) string { return w.idp.compact("RS256", "", k.rsa, payload(c), nil) }
		w.idp.keys = func() []jose.JSONWebKey {
			return []jose.JSONWebKey{public("a", "RS256", "sig", k.rsa), public("b", "RS256", "sig", k.other)}
		}
		w.refuses(signin.CodeToken, w.signIn)
	})
	hostile(t, "11 no kid, one key fits", func(_ *testing.T, w *world) {
		w.idp.sign = func(c map[string]any) string { return w.idp.compact("RS256", "", k.rsa, payload(c), nil) }
		w.mustSignIn()
	})
	hostile(t, "11 one kid twice", func(_ *testing.T, w *world) {
		w.idp.keys = func() []jose.JSONWebKey {
			return []jose.JSONWebKey{public("rsa-1", "RS256", "sig", k.rsa), public("rsa-1", "RS256", "sig", k.other)}
		}
		w.refuses(signin.CodeToken, w.signIn)
	})
	hostile(t, "17 RSA of 1024 bits", func(_ *testing.T, w *world) {
		w.idp.keys = func() []jose.JSONWebKey { return []jose.JSONWebKey{public("rsa-1", "RS256", "sig", k.weak)} }
		w.idp.sign = func(c map[string]any) string {
			head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"rsa-1"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload(c))
			sum := sha256.Sum256([]byte(head))
			sig, err := k.weak.Sign(nil, sum[:], crypto.SHA256)
			if err != nil {
				t.Errorf("sign: %v", err)
			}
			return head + "." + base64.RawURLEncoding.EncodeToString(sig)
		}
		w.refuses(signin.CodeToken, w.signIn)
	})
	hostile(t, "18 a key for encryption", func(_ *testing.T, w *world) {
		w.idp.keys = func() []jose.JSONWebKey { return []jose.JSONWebKey{public("rsa-1", "RS256", "enc", k.rsa)} }
		w.refuses(signin.CodeToken, w.signIn)
	})
	hostile(t, "18 too many keys", func(_ *testing.T, w *world) {
		w.idp.keys = func() []jose.JSONWebKey {
			return slices.Repeat([]jose.JSONWebKey{public("rsa-1", "RS256", "sig", k.rsa)}, 101)
		}
		w.refuses(signin.CodeProvider, w.signIn)
	})
	hostile(t, "09 unknown kid: one fetch", func(t *testing.T, w *world) {
		w.mustSignIn()
		w.idp.sign = func(c map[string]any) string { return w.idp.compact("RS256", "new", k.other, payload(c), nil) }
		before := w.idp.count("/jwks")
		w.refuses(signin.CodeToken, w.signIn)
		w.clock.Advance(31 * time.Second)
		w.refuses(signin.CodeToken, w.signIn)
		w.refuses(signin.CodeToken, w.signIn)
		if got := w.idp.count("/jwks") - before; got != 1 {
			t.Errorf("%d fetches, want 1", got)
		}
		// The provider rolls its keys over: the next fetch finds the new one.
		w.idp.keys = func() []jose.JSONWebKey { return []jose.JSONWebKey{public("new", "RS256", "sig", k.other)} }
		w.clock.Advance(31 * time.Second)
		w.mustSignIn()
	})
	hostile(t, "10 many made-up kids", func(t *testing.T, w *world) {
		w.mustSignIn()
		w.clock.Advance(31 * time.Second)
		before := w.idp.count("/jwks")
		w.idp.sign = func(c map[string]any) string {
			return raw(`{"alg":"RS256","kid":"kid-`+strconv.FormatUint(rand.Uint64(), 36)+`"}`, payload(c), make([]byte, 256))
		}
		for i := range 1000 {
			if i%200 == 199 { // the limit of sign-ins begun from one address
				w.ip = "192.0.2." + strconv.Itoa(i/200+2)
			}
			if got := w.signIn().code(); got != string(signin.CodeToken) {
				t.Fatalf("token %d: got %q", i, got)
			}
		}
		if got := w.idp.count("/jwks") - before; got > 1 {
			t.Errorf("%d fetches, want at most 1", got)
		}
	})
	hostile(t, "a withdrawn key is forgotten", func(_ *testing.T, w *world) {
		w.mustSignIn()
		w.idp.keys = func() []jose.JSONWebKey { return []jose.JSONWebKey{public("new", "RS256", "sig", k.other)} }
		w.clock.Advance(11 * time.Minute)
		w.refuses(signin.CodeToken, w.signIn)
	})
}

// What the token says: cases 19 to 27, 35, 39, 43, 44, 46 and 47.
func TestUpstream_ClaimsThatDoNotFit(t *testing.T) {
	t.Parallel()
	set := func(name string, v any) func(*world, map[string]any) {
		return func(_ *world, c map[string]any) { c[name] = v }
	}
	in := func(name string, d time.Duration) func(*world, map[string]any) {
		return func(w *world, c map[string]any) { c[name] = w.clock.Now().Add(d).Unix() }
	}
	for name, change := range map[string]func(w *world, c map[string]any){
		"19 iss of another connection": func(w *world, c map[string]any) { c["iss"] = w.other.URL },
		"20 iss with a slash":          func(w *world, c map[string]any) { c["iss"] = w.idp.URL + "/" },
		"20 iss in another case":       func(w *world, c map[string]any) { c["iss"] = strings.ToUpper(w.idp.URL) },
		"20 iss missing":               set("iss", nil),
		"21 aud another client":        set("aud", "another"),
		"21 aud missing":               set("aud", nil),
		"21 aud a number":              set("aud", 7),
		"22 aud with a foreign member": set("aud", []string{"vestibule", "another"}),
		"22 aud list of mixed kinds":   set("aud", []any{"vestibule", 7}),
		"23 azp another":               set("azp", "another"),
		"23 azp no string":             set("azp", []string{"vestibule"}),
		"24 exp past":                  in("exp", -2*time.Minute),
		"24 exp missing":               set("exp", nil),
		"24 exp a string": func(w *world, c map[string]any) {
			c["exp"] = strconv.FormatInt(w.clock.Now().Add(time.Hour).Unix(), 10)
		},
		"24 exp beyond all years":    set("exp", 1e300),
		"24 exp negative":            set("exp", -1),
		"25 iat in ten minutes":      in("iat", 10*time.Minute),
		"25 iat missing":             set("iat", nil),
		"26 nbf future":              in("nbf", 10*time.Minute),
		"26 nbf a string":            set("nbf", "now"),
		"27 nonce missing":           set("nonce", nil),
		"27 nonce another":           set("nonce", seal.Handle()),
		"27 nonce empty":             set("nonce", ""),
		"35 at_hash wrong":           set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"35 at_hash no string":       set("at_hash", 7),
		"39 sub missing":             set("sub", nil),
		"39 sub empty":               set("sub", ""),
		"39 sub a number":            set("sub", 7),
		"39 sub too long":            set("sub", strings.Repeat("a", 256)),
		"39 sub with NUL":            set("sub", "sub-ann\x00"),
		"46 auth_time in the future": in("auth_time", time.Hour),
		"46 auth_time no number":     set("auth_time", "now"),
	} {
		hostile(t, name, func(_ *testing.T, w *world) {
			w.idp.claims = func(c map[string]any) { change(w, c) }
			w.refuses(signin.CodeToken, w.signIn)
		})
	}
	for name, tt := range map[string]struct {
		pin      func(s *connection.Settings)
		claim    string
		bad, fit any
	}{
		"42 and 43 tid": {func(s *connection.Settings) { s.Tenant = "tenant-1" }, "tid", "tenant-2", "tenant-1"},
		"44 hd":         {func(s *connection.Settings) { s.HostedDomain = "northwind.example" }, "hd", "evil.example", "northwind.example"},
		"47 acr":        {func(s *connection.Settings) { s.ACRValues = []string{"mfa"} }, "acr", "pwd", "mfa"},
	} {
		hostile(t, name, func(_ *testing.T, w *world) {
			w.configure(tt.pin)
			for _, v := range []any{nil, tt.bad, []any{tt.fit}} {
				w.idp.claims = func(c map[string]any) { c[tt.claim] = v }
				w.refuses(signin.CodeToken, w.signIn)
			}
			w.idp.claims = func(c map[string]any) { c[tt.claim] = tt.fit }
			w.mustSignIn()
		})
	}
	hostile(t, "22 several audiences with azp", func(_ *testing.T, w *world) {
		w.idp.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{"vestibule", "another"}, "vestibule" }
		w.mustSignIn()
	})
	hostile(t, "35 at_hash right", func(_ *testing.T, w *world) {
		sum := sha256.Sum256([]byte("upstream-access-token"))
		w.idp.claims = func(c map[string]any) { c["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:16]) }
		w.mustSignIn()
	})
}

func TestUpstream_46_FreshSignInsAreProved(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		request string
		asked   url.Values // of the provider
		age     time.Duration
		silent  bool
		refused bool
	}{
		"max_age and silence":      {`{"organization":"northwind","max_age":300}`, url.Values{"max_age": {"300"}}, 0, true, true},
		"max_age and too old":      {`{"organization":"northwind","max_age":300}`, url.Values{"max_age": {"300"}}, 10 * time.Minute, false, true},
		"max_age and fresh enough": {`{"organization":"northwind","max_age":300}`, url.Values{"max_age": {"300"}}, 4 * time.Minute, false, false},
		"max_age 0 and old":        {`{"organization":"northwind","max_age":0}`, url.Values{"max_age": {"0"}, "prompt": {"login"}}, 4 * time.Minute, false, true},
		"login and silence":        {`{"organization":"northwind","prompt":["login"]}`, url.Values{"max_age": {"0"}, "prompt": {"login"}}, 0, true, true},
		"login and old":            {`{"organization":"northwind","prompt":["login"]}`, url.Values{"max_age": {"0"}, "prompt": {"login"}}, 4 * time.Minute, false, true},
		"login and done":           {`{"organization":"northwind","prompt":["login"]}`, url.Values{"max_age": {"0"}, "prompt": {"login"}}, 0, false, false},
		"nothing asked":            {`{"organization":"northwind"}`, url.Values{}, 0, true, false},
	} {
		hostile(t, name, func(t *testing.T, w *world) {
			w.idp.claims = func(c map[string]any) {
				if !tt.silent {
					c["auth_time"] = w.clock.Now().Add(-tt.age).Unix()
				}
			}
			run := func() answer { return w.get(w.approve(w.away(w.application(tt.request)))) }
			if tt.refused {
				w.refuses(signin.CodeToken, run)
			} else if a := run(); !strings.HasPrefix(a.header.Get("Location"), "/authorize/resume?") {
				t.Errorf("refused: %s", a.code())
			} else if s, err := w.session(northwind); err != nil || s.AuthTime.IsZero() != tt.silent {
				t.Errorf("the session's auth_time: %v %v", s.AuthTime, err)
			}
			for _, name := range []string{"max_age", "prompt"} {
				if got, want := w.idp.last.Get(name), tt.asked.Get(name); got != want {
					t.Errorf("%s: the provider was asked %q, want %q", name, got, want)
				}
			}
		})
	}
}

// The way back: cases 28 to 34, 48, 49, 57, 58 and 59.
func TestUpstream_AnswersThatAreNotTheirs(t *testing.T) {
	t.Parallel()
	hostile(t, "28 state missing", func(_ *testing.T, w *world) {
		w.idp.respond = func(q url.Values) { q.Del("state") }
		w.refuses(signin.CodeAttempt, w.signIn)
	})
	hostile(t, "28 state another", func(_ *testing.T, w *world) {
		w.idp.respond = func(q url.Values) { q.Set("state", seal.Handle()) }
		w.refuses(signin.CodeAttempt, w.signIn)
	})
	hostile(t, "28 state expired", func(_ *testing.T, w *world) {
		back := w.approve(w.away(toConsole))
		w.clock.Advance(11 * time.Minute)
		w.refuses(signin.CodeAttempt, func() answer { return w.get(back) })
	})
	hostile(t, "28 a second start makes the first worthless", func(_ *testing.T, w *world) {
		start := w.get(toConsole).header.Get("Location")
		back := w.approve(w.away(start))
		w.away(start)
		w.refuses(signin.CodeAttempt, func() answer { return w.get(back) })
	})
	hostile(t, "29 another browser", func(t *testing.T, w *world) {
		back := w.approve(w.away(toConsole))
		for _, stranger := range []*http.Client{newBrowser(), newBrowser()} {
			w.refuses(signin.CodeAttempt, func() answer { return w.do(stranger, http.MethodGet, back, nil) })
		}
		if got := w.get(back).header.Get("Location"); got != "/o/northwind/me" {
			t.Errorf("the stranger's try burned the sign-in: %q", got)
		}
	})
	hostile(t, "30 state twice", func(_ *testing.T, w *world) {
		back := w.approve(w.away(toConsole))
		w.get(back)
		w.refuses(signin.CodeAttempt, func() answer { return w.get(back) })
	})
	hostile(t, "31 at another connection", func(_ *testing.T, w *world) {
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(w.connection(northwind, "lab", w.other.URL, nil))
			return nil
		}))
		back := w.approve(w.away(toConsole + "&connection=lab"))
		w.refuses(signin.CodeAttempt, func() answer { return w.get(strings.Replace(back, "/lab/", "/corp/", 1)) })
	})
	hostile(t, "32 iss another", func(_ *testing.T, w *world) {
		w.idp.respond = func(q url.Values) { q.Set("iss", w.other.URL) }
		w.refuses(signin.CodeIssuer, w.signIn)
	})
	hostile(t, "32 iss missing where promised", func(_ *testing.T, w *world) {
		w.idp.discovery = func(_ http.ResponseWriter, _ *http.Request, d map[string]any) bool {
			d["authorization_response_iss_parameter_supported"] = true
			return false
		}
		w.refuses(signin.CodeIssuer, w.signIn)
		w.idp.respond = func(q url.Values) { q.Set("iss", w.idp.URL) }
		w.mustSignIn()
	})
	for _, noPKCE := range []bool{false, true} {
		hostile(t, "33 somebody else's code, provider checks PKCE: "+strconv.FormatBool(!noPKCE), func(_ *testing.T, w *world) {
			w.idp.noPKCE = noPKCE
			stranger := w.browser
			stolen, err := url.Parse(w.approve(w.away(toConsole)))
			w.must(err)
			w.browser = newBrowser()
			w.idp.respond = func(q url.Values) { q.Set("code", stolen.Query().Get("code")) }
			code := signin.CodeProvider
			if noPKCE {
				code = signin.CodeToken // the nonce is the stranger's
			}
			w.refuses(code, w.signIn)
			w.browser = stranger
		})
	}
	hostile(t, "34 no ID token", func(_ *testing.T, w *world) {
		w.idp.token = func(_ http.ResponseWriter, _ *http.Request, a map[string]any) bool {
			delete(a, "id_token")
			return false
		}
		w.refuses(signin.CodeProvider, w.signIn)
	})
	hostile(t, "48 an error with markup", func(t *testing.T, w *world) {
		w.idp.respond = func(q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied")
			q.Set("error_description", "<script>alert(1)</script> call 555-SCAM")
		}
		e := w.refuses(signin.CodeDenied, func() answer {
			a := w.signIn()
			if strings.Contains(a.body, "SCAM") || strings.Contains(a.body, "alert(1)") {
				t.Error("the page repeats the provider's words")
			}
			return a
		})
		if !strings.Contains(e.Reason, "access_denied") || strings.Contains(e.Reason, "SCAM") {
			t.Errorf("the event's reason: %q", e.Reason)
		}
		w.idp.respond = func(q url.Values) { q.Del("code"); q.Set("error", "<script>alert(1)</script>") }
		if e := w.refuses(signin.CodeDenied, w.signIn); strings.Contains(e.Reason, "script") {
			t.Errorf("the event's reason: %q", e.Reason)
		}
	})
	hostile(t, "49 error and code", func(_ *testing.T, w *world) {
		w.idp.respond = func(q url.Values) { q.Set("error", "access_denied") }
		w.refuses(signin.CodeProvider, w.signIn)
	})
	hostile(t, "57 parameters twice", func(_ *testing.T, w *world) {
		for _, name := range []string{"code", "state", "iss"} {
			back := w.approve(w.away(toConsole))
			w.refuses(signin.CodeProvider, func() answer { return w.get(back + "&" + name + "=x&" + name + "=y") })
		}
	})
	hostile(t, "58 switched off meanwhile", func(_ *testing.T, w *world) {
		back := w.approve(w.away(toConsole))
		w.configure(func(s *connection.Settings) { s.Disabled = true })
		w.refuses(connection.CodeConnectionDisabled, func() answer { return w.get(back) })
		w.configure(nil)
		// ... even while the code was being redeemed.
		w.idp.token = func(http.ResponseWriter, *http.Request, map[string]any) bool {
			w.configure(func(s *connection.Settings) { s.Disabled = true })
			return false
		}
		w.refuses(connection.CodeConnectionDisabled, w.signIn, "connections")
	})
	hostile(t, "59 another organization's connection", func(t *testing.T, w *world) {
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(w.connection(southwind, "theirs", w.other.URL, nil))
			return nil
		}))
		before := w.state()
		back := w.approve(w.away("/signin?organization=southwind&connection=theirs"))
		if a := w.get(strings.Replace(back, "/southwind/", "/northwind/", 1)); a.code() != string(connection.CodeUnknownConnection) {
			t.Errorf("got %q", a.code())
		}
		// A connection of the same id in both: the state is the other one's.
		back = w.approve(w.away("/signin?organization=southwind&connection=corp"))
		w.refuses(signin.CodeAttempt, func() answer { return w.get(strings.Replace(back, "/southwind/", "/northwind/", 1)) })
		if len(before.Users) != len(w.state().Users) {
			t.Error("a user was made")
		}
	})
}

// What the provider's own endpoints answer: cases 36 to 38, 53 to 55.
func TestUpstream_EndpointsThatMisbehave(t *testing.T) {
	t.Parallel()
	respond := func(kind, body string) func(http.ResponseWriter, *http.Request, map[string]any) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ map[string]any) bool {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	for name, tt := range map[string]struct {
		userinfo func(http.ResponseWriter, *http.Request, map[string]any) bool
		code     connection.Code
	}{
		"36 userinfo of another subject": {respond("application/json", `{"sub":"somebody"}`), signin.CodeToken},
		"36 userinfo without a subject":  {respond("application/json", `{"email":"a@northwind.example"}`), signin.CodeToken},
		"37 userinfo signed":             {respond("application/jwt", "a.b.c"), signin.CodeProvider},
		"37 userinfo HTML":               {respond("text/html", "<html>"), signin.CodeProvider},
		"37 userinfo HTML as JSON":       {respond("application/json", "<html>"), signin.CodeProvider},
		"37 userinfo of 5 MiB":           {respond("application/json", `{"sub":"sub-ann","a":"`+strings.Repeat("a", 5<<20)+`"}`), signin.CodeProvider},
		"37 userinfo twice the subject":  {respond("application/json", `{"sub":"somebody","sub":"sub-ann"}`), signin.CodeProvider},
		"37 userinfo too deep":           {respond("application/json", `{"sub":"sub-ann","a":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`), signin.CodeProvider},
	} {
		hostile(t, name, func(_ *testing.T, w *world) {
			w.idp.userinfo = tt.userinfo
			w.refuses(tt.code, w.signIn)
		})
	}
	hostile(t, "38 userinfo overrides nothing", func(t *testing.T, w *world) {
		w.idp.person = map[string]any{"sub": "new", "email": "new@northwind.example", "email_verified": false}
		w.idp.userinfo = respond("application/json",
			`{"sub":"new","iss":"https://evil.example","email":"ann@northwind.example","email_verified":true,"acr":"mfa"}`)
		w.refuses(connection.CodeUnverified, w.signIn)
	})
	hostile(t, "53 discovery of another issuer", func(_ *testing.T, w *world) {
		w.idp.discovery = func(_ http.ResponseWriter, _ *http.Request, d map[string]any) bool {
			d["issuer"] = w.other.URL
			return false
		}
		w.refuses(signin.CodeProvider, func() answer { return w.get(w.get(toConsole).header.Get("Location")) })
	})
	for name, address := range map[string]string{
		"plain http":  "http://idp.example/x",
		"link-local":  "http://169.254.169.254/x",
		"file":        "file:///etc/passwd",
		"user in URL": "https://idp.example@127.0.0.1/x",
		"script":      "javascript:alert(1)",
		"no address":  "",
	} {
		hostile(t, "53 "+name, func(_ *testing.T, w *world) {
			for _, endpoint := range []string{"token_endpoint", "authorization_endpoint", "jwks_uri", "userinfo_endpoint"} {
				if endpoint == "userinfo_endpoint" && address == "" {
					continue // a provider need not have one
				}
				w.idp.discovery = func(_ http.ResponseWriter, _ *http.Request, d map[string]any) bool {
					d[endpoint] = address
					return false
				}
				w.clock.Advance(time.Hour)
				w.refuses(signin.CodeProvider, func() answer { return w.get(w.get(toConsole).header.Get("Location")) })
			}
		})
	}
	redirect := func(status int, to func() string) func(http.ResponseWriter, *http.Request, map[string]any) bool {
		return func(rw http.ResponseWriter, r *http.Request, _ map[string]any) bool {
			http.Redirect(rw, r, to(), status)
			return true
		}
	}
	hostile(t, "53 discovery redirects elsewhere", func(_ *testing.T, w *world) {
		w.idp.discovery = redirect(http.StatusFound, func() string { return w.other.URL + "/trap" })
		w.refuses(signin.CodeProvider, func() answer { return w.get(w.get(toConsole).header.Get("Location")) })
	})
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		hostile(t, "54 the token endpoint redirects "+strconv.Itoa(status), func(_ *testing.T, w *world) {
			w.idp.token = redirect(status, func() string { return w.other.URL + "/trap" })
			w.refuses(signin.CodeProvider, w.signIn)
		})
	}
	hostile(t, "an outage later: the last good documents serve", func(_ *testing.T, w *world) {
		w.mustSignIn()
		w.clock.Advance(2 * time.Hour)
		w.idp.discovery = respond("text/html", "down for maintenance")
		w.mustSignIn()
		w.clock.Advance(48 * time.Hour)
		w.refuses(signin.CodeProvider, func() answer { return w.get(w.get(toConsole).header.Get("Location")) })
	})
}

// Who the token is about: cases 40 to 42.
func TestUpstream_AddressesProveNothing(t *testing.T) {
	t.Parallel()
	hostile(t, "40 one sub of two issuers", func(t *testing.T, w *world) {
		first := w.mustSignIn()
		w.must(w.db.System().Write(w.ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredConnection(w.connection(northwind, "corp", w.other.URL, nil))
			return nil
		}))
		w.other.person = map[string]any{"sub": "sub-ann", "oid": "another", "email": "eve@northwind.example", "email_verified": true}
		if second := w.mustSignIn(); second.User == first.User {
			t.Error("the other issuer's sub is the same person")
		}
	})
	for name, value := range map[string]any{"false": false, "text": "true", "one": 1, "missing": nil, "list": []any{true}} {
		hostile(t, "41 email_verified "+name, func(_ *testing.T, w *world) {
			w.push("", "victim", "victim@northwind.example")
			w.idp.person = map[string]any{"sub": "evil", "email": "victim@northwind.example", "email_verified": value}
			code := connection.CodeUnverified
			if value == nil {
				code = connection.CodeEmailTaken // silence would do for a newcomer, never for joining somebody
			}
			w.refuses(code, w.signIn)
		})
	}
	hostile(t, "42 nOAuth: a victim's address from elsewhere", func(_ *testing.T, w *world) {
		w.configure(func(s *connection.Settings) { s.Tenant = "tenant-1" })
		w.push("", "victim", "victim@northwind.example")
		w.idp.person = map[string]any{"sub": "evil", "tid": "tenant-2", "email": "victim@northwind.example", "email_verified": true}
		w.refuses(signin.CodeToken, w.signIn)
	})
	hostile(t, "42 the key of somebody else as text with blanks", func(_ *testing.T, w *world) {
		for _, oid := range []string{"oid-ann ", " oid-ann", "OID-ANN", "oid-ann\x00", "oid\u2010ann"} {
			w.idp.person = map[string]any{"sub": "evil", "oid": oid, "email": "evil@elsewhere.example"}
			w.refuses(connection.CodeForeignDomain, w.signIn)
		}
	})
}

// 181: what people are called never reaches a header or markup.
func TestUpstream_181_NamesAreText(t *testing.T) {
	t.Parallel()
	hostile(t, "display name", func(t *testing.T, w *world) {
		w.idp.person = map[string]any{
			"sub": "new", "email": "new@northwind.example", "name": "Eve\r\nSet-Cookie: a=b\u202e<script>alert(1)</script>",
		}
		s := w.mustSignIn()
		if s.DisplayName != "EveSet-Cookie: a=b<script>alert(1)</script>" {
			t.Errorf("the name: %q", s.DisplayName)
		}
		if page := w.get(signin.NoAccessPath + "?organization=northwind"); strings.Contains(page.body, "<script>alert") {
			t.Error("the page runs the name")
		}
	})
}

// 190, as far as sign-in goes: no event holds a secret, a token, a code or a state.
func TestAudit_190_HoldsNoSecret(t *testing.T) {
	t.Parallel()
	hostile(t, "all events", func(t *testing.T, w *world) {
		back := w.approve(w.away(toConsole))
		u, err := url.Parse(back)
		w.must(err)
		w.get(back)
		w.idp.claims = func(c map[string]any) { c["nonce"] = "x" }
		w.signIn()
		raw, err := json.Marshal(w.events())
		w.must(err)
		for what, secret := range map[string]string{
			"code": u.Query().Get("code"), "state": u.Query().Get("state"), "handle": w.cookie("vestibule_s_northwind"),
			"client secret": clientSecret, "access token": "upstream-access-token", "token": "eyJ",
		} {
			if secret == "" || strings.Contains(string(raw), secret) {
				t.Errorf("the log holds the %s: %s", what, raw)
			}
		}
	})
}

func TestRates_StrayCallbacksAreCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite)
	for i := range 70 {
		a := w.get("/sso/northwind/corp/callback?code=x&state=" + seal.Handle())
		want := http.StatusGone
		if i >= 60 {
			want = http.StatusTooManyRequests
		}
		if a.status != want {
			t.Fatalf("request %d: got %d, want %d", i, a.status, want)
		}
		if want == http.StatusTooManyRequests && a.header.Get("Retry-After") == "" {
			t.Fatal("no Retry-After")
		}
	}
	if n := len(w.events()); n != 60 {
		t.Errorf("%d events, want 60", n)
	}
	w.clock.Advance(time.Minute)
	if a := w.get("/sso/northwind/corp/callback?code=x&state=" + seal.Handle()); a.status != http.StatusGone {
		t.Errorf("a minute later: %d", a.status)
	}
}

func TestForms_OfAnotherSiteAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite)
	w.mustSignIn()
	for _, target := range []string{"/signin", signin.NoAccessPath} {
		r, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.app.URL+target, strings.NewReader("organization=northwind&note=hello"))
		w.must(err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		response, err := w.browser.Do(r)
		w.must(err)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %d", target, response.StatusCode)
		}
	}
	if u := w.state().Users[0]; u.Note != "" {
		t.Errorf("the note was kept: %q", u.Note)
	}
}

// Two tabs of one newcomer land at once: one user, one identity, both signed in.
func TestSignIn_ANewcomerInTwoTabsIsOneUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var backs []string
		for range 4 {
			backs = append(backs, w.approve(w.away(toConsole)))
		}
		got := make(chan string, len(backs))
		for _, back := range backs {
			go func() {
				response, err := w.browser.Get(back)
				if err != nil {
					got <- err.Error()
					return
				}
				_ = response.Body.Close()
				got <- response.Header.Get("Location")
			}()
		}
		for range backs {
			if to := <-got; to != "/o/northwind/me" {
				t.Errorf("one tab ended at %q", to)
			}
		}
		s := w.state()
		if len(s.Users) != 1 || len(s.Identities[s.Users[0].ID]) != 1 {
			t.Errorf("users: %+v", s)
		}
	})
}
