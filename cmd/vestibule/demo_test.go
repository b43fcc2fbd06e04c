package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"
)

// output is what a command has written so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	grew chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	select {
	case o.grew <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// started is a command that runs until it is stopped.
type started struct {
	out, err *output
	stop     context.CancelFunc
	code     chan int
}

func start(t *testing.T, args ...string) *started {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &started{&output{grew: make(chan struct{}, 1)}, &output{grew: make(chan struct{}, 1)}, stop, make(chan int, 1)}
	go func() { s.code <- run(terminal{ctx, s.out, s.err}, args) }()
	t.Cleanup(stop)
	return s
}

// find waits until the standard output has what the pattern wants, and gives its groups.
func (s *started) find(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(20 * time.Second)
	for {
		if found := re.FindStringSubmatch(s.out.String()); found != nil {
			return found
		}
		select {
		case <-s.out.grew:
		case code := <-s.code:
			t.Fatalf("it ended with %d: %s", code, s.err)
		case <-deadline:
			t.Fatalf("no %s in: %s %s", pattern, s.out, s.err)
		}
	}
}

// browser is a person's: it keeps cookies and follows redirects.
type browser struct {
	t *testing.T
	c *http.Client
}

type shown struct {
	*goquery.Document
	status int
	url    *url.URL
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

func (b *browser) show(response *http.Response, err error) shown {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	doc, err := goquery.NewDocumentFromReader(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return shown{doc, response.StatusCode, response.Request.URL}
}

func (b *browser) get(address string) shown {
	b.t.Helper()
	return b.show(b.c.Get(address))
}

// press sends the form that the button stands in, with what is filled in.
func (b *browser) press(p shown, button string, fill ...string) shown {
	b.t.Helper()
	at := p.Find("button, input[type=submit]").FilterFunction(func(_ int, s *goquery.Selection) bool {
		return strings.TrimSpace(s.Text()) == button
	}).First()
	form := at.Closest("form")
	if form.Length() == 0 {
		b.t.Fatalf("%s has no button %q: %s", p.url, button, p.text())
	}
	values := url.Values{}
	form.Find("input").Each(func(_ int, s *goquery.Selection) {
		kind := s.AttrOr("type", "text")
		_, checked := s.Attr("checked")
		_, disabled := s.Attr("disabled")
		if name, ok := s.Attr("name"); ok && !disabled && (kind != "checkbox" && kind != "radio" || checked) {
			values.Add(name, s.AttrOr("value", ""))
		}
	})
	form.Find("select").Each(func(_ int, s *goquery.Selection) {
		if name, ok := s.Attr("name"); ok {
			values.Add(name, s.Find("option[selected]").AttrOr("value", s.Find("option").First().AttrOr("value", "")))
		}
	})
	if name, ok := at.Attr("name"); ok {
		values.Set(name, at.AttrOr("value", ""))
	}
	for i := 0; i < len(fill); i += 2 {
		values.Set(fill[i], fill[i+1])
	}
	to, err := p.url.Parse(form.AttrOr("action", ""))
	if err != nil {
		b.t.Fatal(err)
	}
	if strings.EqualFold(form.AttrOr("method", "get"), "get") {
		to.RawQuery = values.Encode()
		return b.get(to.String())
	}
	return b.show(b.c.PostForm(to.String(), values))
}

func (p shown) text() string { return strings.Join(strings.Fields(p.Find("body").Text()), " ") }

// grants are those the sample application shows.
func (p shown) grants() []string {
	var out []string
	p.Find("tbody tr").Each(func(_ int, s *goquery.Selection) {
		out = append(out, s.Find("td").First().Text()+"@"+s.Find("td").Last().Text())
	})
	return out
}

func TestDemo_TheStoryGoesAsItIsPrinted(t *testing.T) {
	t.Parallel()
	d := start(t, "demo", "--addr", "127.0.0.1:0", "--application", "127.0.0.1:0", "--provider", "127.0.0.1:0")
	setup := d.find(t, `operator, once +(http://\S+)#(\S+)`)
	application := d.find(t, `sample application +(http://\S+)`)[1]
	provider := d.find(t, `identity provider +(http://\S+)`)[1]
	vestibule := d.find(t, `Vestibule's console +(http://\S+)`)[1]
	d.find(t, `Ctrl-C ends it all`)

	person := newBrowser(t)
	as := func(name string) shown {
		return person.press(person.get(application+"/login?organization=northwind"), "Sign in as "+name)
	}
	signOut := func(p shown) {
		t.Helper()
		if after := person.press(p, "Sign out"); !strings.Contains(after.text(), "Sign in through Northwind") {
			t.Fatalf("signed out: %s: %s", after.url, after.text())
		}
	}

	ann := as("Ann")
	if diff := cmp.Diff(ann.grants(), []string{"viewer@northwind", "asset-editor@london-1"}); diff != "" {
		t.Fatalf("Ann: %s\n%s: %s", diff, ann.url, ann.text())
	}
	signOut(ann)

	nina := as("Nina")
	if diff := cmp.Diff(nina.grants(), []string{"viewer@northwind"}); diff != "" {
		t.Fatalf("Nina: %s\n%s: %s", diff, nina.url, nina.text())
	}

	operator := newBrowser(t)
	home := operator.press(operator.get(setup[1]), "Become the operator", "token", setup[2], "name", "Op", "email", "op@vestibule.example", "password", "four unrelated words here")
	if home.status != http.StatusOK || home.url.Path == "/setup" {
		t.Fatalf("the operator's link led to %s: %s", home.url, home.text())
	}
	if again := newBrowser(t).get(setup[1]); again.status != http.StatusGone {
		t.Errorf("the one-time link works twice: %d", again.status)
	}
	inbox := operator.get(vestibule + "/o/northwind/inbox")
	row := inbox.Find("main *").FilterFunction(func(_ int, s *goquery.Selection) bool {
		return strings.Contains(s.Text(), "Nina Novak") && s.Find(`a[href*="/give"]`).Length() > 0
	}).Last()
	give, ok := row.Find(`a[href*="/give"]`).First().Attr("href")
	if !ok {
		t.Fatalf("Nina does not stand in the inbox: %s", inbox.text())
	}
	given := operator.press(operator.get(vestibule+give), "Save", "role", "asset-editor", "resource", "berlin-1")
	if given.status != http.StatusOK {
		t.Fatalf("giving the role: %d %s", given.status, given.text())
	}
	again := person.press(nina, "Refresh the token")
	if diff := cmp.Diff(again.grants(), []string{"viewer@northwind", "asset-editor@berlin-1"}); diff != "" {
		t.Fatalf("after the role was given: %s: %s", diff, again.text())
	}
	signOut(again)

	ann = as("Ann")
	staff := newBrowser(t)
	if left := staff.press(staff.get(provider), "Ann leaves"); !strings.Contains(left.text(), "Ann Archer has left") {
		t.Fatalf("Ann leaves: %s", left.text())
	}
	if after := person.press(ann, "Refresh the token"); !strings.Contains(after.text(), "so you are signed out here") {
		t.Fatalf("after Ann left: %s", after.text())
	}
	for _, name := range []string{"Ann", "Leo", "Eve"} {
		if refused := as(name); refused.status < 400 || !strings.HasPrefix(refused.url.String(), vestibule) {
			t.Errorf("%s came in: %s: %s", name, refused.url, refused.text())
		}
	}
	if back := staff.press(staff.get(provider), "Ann comes back"); !strings.Contains(back.text(), "Ann Archer is back") {
		t.Fatalf("Ann comes back: %s", back.text())
	}
	if diff := cmp.Diff(as("Ann").grants(), []string{"viewer@northwind", "asset-editor@london-1"}); diff != "" {
		t.Errorf("Ann is back: %s", diff)
	}
	fred := newBrowser(t)
	// Fred's company has a SAML provider, whose answer is a form: what follows it is a page that leads on by itself in a browser.
	got := fred.press(fred.get(application+"/login?login_hint=fred@fieldserv.example"), "Sign in as Fred")
	if on, leads := got.Find("main a.primary").Attr("href"); leads && strings.HasSuffix(got.url.Path, "/acs") {
		to, err := got.url.Parse(on)
		if err != nil {
			t.Fatal(err)
		}
		got = fred.get(to.String())
	}
	if !cmp.Equal(got.grants(), []string{"viewer@fieldserv"}) {
		t.Errorf("Fred: %s: %s", got.url, got.text())
	}

	d.stop()
	if code := <-d.code; code != 0 || !strings.Contains(d.out.String(), "its store is gone") {
		t.Errorf("it ended with %d: %s", code, d.err)
	}
}

func TestServe_PicksAPortPrintsItDrainsAndEndsWithZero(t *testing.T) {
	t.Parallel()
	s := start(t, "serve", "--addr", "127.0.0.1:0", "--database", "sqlite:"+t.TempDir()+"/var/v.db")
	url := s.find(t, `listens on (http://127\.0\.0\.1:\d+)`)[1]
	s.find(t, `/setup#[A-Za-z0-9_-]{43}\n`)
	response, err := http.Get(url + "/readyz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("readyz: %v, %v", response, err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	began := time.Now()
	s.stop()
	if code := <-s.code; code != 0 {
		t.Errorf("it ended with %d: %s", code, s.err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("stopping took %s: it waited for something that never ends", took)
	}
}
