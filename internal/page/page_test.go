package page

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/fault"
)

// The vendored file is htmx 4.0.1 as published; a changed byte is a changed dependency and is reviewed as one.
func TestAssets_HtmxIsTheReviewedRelease(t *testing.T) {
	t.Parallel()
	b, err := files.ReadFile("assets/htmx.min.js")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	const want = "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("htmx.min.js has SHA-256 %s, want %s", got, want)
	}
}

// What hands a passkey's question to the browser runs on the sign-in page: a changed byte is looked at twice.
func TestAssets_ThePasskeyScriptIsTheReviewedOne(t *testing.T) {
	t.Parallel()
	b, err := files.ReadFile("assets/passkey.js")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	const want = "64bffee543a7d8b8a18e318cd4f8ad4abfb74f6ba40d1a4c350755ae3c07c073"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("passkey.js has SHA-256 %s, want %s", got, want)
	}
}

func TestAssets_AreServedWithHeadersAndKeptByTheirHash(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"style.css":   "text/css; charset=utf-8",
		"htmx.min.js": "text/javascript; charset=utf-8",
		"passkey.js":  "text/javascript; charset=utf-8",
		"mark.svg":    "image/svg+xml",
	} {
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, asset(name), nil))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: status %d", name, w.Code)
		}
		if got := w.Header().Get("Content-Type"); got != want {
			t.Errorf("%s: content type %q, want %q", name, got, want)
		}
		if got := w.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s: Cache-Control %q keeps nothing", name, got)
		}
		if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q", name, got)
		}
	}
	w := httptest.NewRecorder()
	Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, AssetsPath, nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("the list of assets is shown: status %d", w.Code)
	}
}

func TestPolicy_HasNoExceptionAndNamesItsReportAddress(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if err := Render(w, r, http.StatusOK, CardPage(Document{Title: "T"}, "Heading")); err != nil {
		t.Fatal(err)
	}
	want := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; report-uri /csp-report"
	if diff := cmp.Diff(w.Header().Get("Content-Security-Policy"), want); diff != "" {
		t.Error(diff)
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

func TestAllowForms_WidensOnlyTheFormsAndOnlyByOrigins(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	// The second would open script-src if it were copied as it stands.
	AllowForms(w, "https://idp.example", "https://x.example; script-src *")
	got := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(got, "form-action 'self' https://idp.example;") || strings.Contains(got, "script-src *") {
		t.Errorf("policy %q", got)
	}
}

// Inline code would need an exception in the policy; there is none, so there must be no inline code.
func TestTemplates_HoldNothingInline(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	RefuseWith(w, httptest.NewRequest(http.MethodGet, "/", nil), slog.New(slog.DiscardHandler), http.StatusTeapot,
		Failure{Title: "No", Said: "Said.", Do: "Do.", Code: "ABCD-EFGH", Back: "/", Where: "Start"})
	body := w.Body.String()
	if m := regexp.MustCompile(`(?i)\s(style|on[a-z]+|hx-on[a-z:-]*)\s*=|javascript:|<style|<script>`).FindString(body); m != "" {
		t.Errorf("inline %q in %s", m, body)
	}
}

func TestReports_AreCountedAndOnlyTakenByPost(t *testing.T) {
	t.Parallel()
	var reports Reports
	for range 2 {
		w := httptest.NewRecorder()
		reports.ServeHTTP(w, httptest.NewRequest(http.MethodPost, ReportPath, strings.NewReader("{}")))
		if w.Code != http.StatusNoContent {
			t.Fatalf("status %d", w.Code)
		}
	}
	w := httptest.NewRecorder()
	reports.ServeHTTP(w, httptest.NewRequest(http.MethodGet, ReportPath, nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET answers %d", w.Code)
	}
	if got := reports.Count(); got != 2 {
		t.Errorf("counted %d, want 2", got)
	}
}

func TestRefuse_EveryKindHasAStatusAHeadingAndAdvice(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, kind := range fault.Kinds {
		w := httptest.NewRecorder()
		Refuse(w, httptest.NewRequest(http.MethodGet, "/x", nil), log, fault.New(kind, "The sentence of %s.", kind))
		if w.Code < 400 {
			t.Errorf("%s: status %d", kind, w.Code)
		}
		doc, err := goquery.NewDocumentFromReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if doc.Find("h1").Text() == "" || doc.Find("p.muted").Text() == "" {
			t.Errorf("%s: no heading or no advice", kind)
		}
		said := doc.Find("p.lead").Text()
		if kind == fault.Internal {
			if strings.Contains(said, "sentence") || doc.Find("code").Text() == "" {
				t.Errorf("internal: says %q with code %q", said, doc.Find("code").Text())
			}
		} else if want := "The sentence of " + kind.String() + "."; said != want {
			t.Errorf("%s: says %q, want %q", kind, said, want)
		}
	}
}

func TestRefuse_AnErrorWithoutKindTellsTheReaderNothingButACode(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	w := httptest.NewRecorder()
	Refuse(w, httptest.NewRequest(http.MethodGet, "/x", nil), slog.New(slog.NewTextHandler(&log, nil)),
		errors.New("dial tcp 10.0.0.1: refused"))
	if strings.Contains(w.Body.String(), "10.0.0.1") {
		t.Error("the page quotes the cause")
	}
	doc, err := goquery.NewDocumentFromReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	code := doc.Find("code").Text()
	if !regexp.MustCompile(`^[A-Z2-9]{4}-[A-Z2-9]{4}$`).MatchString(code) {
		t.Fatalf("code %q", code)
	}
	if !strings.Contains(log.String(), code) || !strings.Contains(log.String(), "10.0.0.1") {
		t.Errorf("the log lacks code or cause: %s", log.String())
	}
}

func TestField_ErrorAndHintBelongToTheInput(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	in := Input{ID: "email", Label: "Email", Hint: "Yours", Error: "Missing", Autocomplete: "email"}
	if err := Render(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusOK, Field(in)); err != nil {
		t.Fatal(err)
	}
	doc, err := goquery.NewDocumentFromReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range strings.Fields(doc.Find("input").AttrOr("aria-describedby", "")) {
		if doc.Find("#"+id).Length() != 1 {
			t.Errorf("described by #%s, which is not there", id)
		}
	}
	if got := doc.Find("input").AttrOr("aria-invalid", ""); got != "true" {
		t.Errorf("aria-invalid %q", got)
	}
}
