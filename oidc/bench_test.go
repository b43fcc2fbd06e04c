package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/oidc"
)

// What an application's token costs beside its signature, and a document.

func BenchmarkClientCredentials(b *testing.B) {
	w := newWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("grant_type=client_credentials&client_id=machine&client_secret=m"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			b.Fatal(rec.Body)
		}
	}
}

func BenchmarkKeys(b *testing.B) {
	w := newWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		w.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, oidc.PathKeys, nil))
	}
}
