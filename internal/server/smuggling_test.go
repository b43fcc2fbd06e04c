package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Negative case 192: a request that two readers would cut in two places is refused before any handler sees it (RFC 9112 section 6.3).
func TestRequests_ThatCouldBeCutInTwoPlacesAreRefused(t *testing.T) {
	t.Parallel()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(h.Close)
	for name, headers := range map[string]string{
		"two lengths":          "Content-Length: 5\r\nContent-Length: 6\r\n",
		"a length with a sign": "Content-Length: +5\r\n",
		"two lengths in one":   "Content-Length: 5, 6\r\n",
		"unknown coding":       "Transfer-Encoding: chunked, identity\r\n",
		"two codings":          "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"a blank before colon": "Content-Length : 5\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "POST /token HTTP/1.1\r\nHost: id.example\r\n"+headers+"\r\nhello"+strings.Repeat("\r\n", 2)); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if res.StatusCode != http.StatusBadRequest && res.StatusCode != http.StatusNotImplemented {
				t.Errorf("got %d", res.StatusCode)
			}
		})
	}
}
