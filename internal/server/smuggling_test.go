package server

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Negative case 192: a request that two readers would cut in two places is refused before any handler sees it (RFC 9112 section 6.3).
func TestRequests_192_ThatCouldBeCutInTwoPlacesAreRefused(t *testing.T) {
	t.Parallel()
	// The whole node, as it listens: what is refused has reached no handler, so it stands in no line of its log.
	var lines lockedBuffer
	s := node(t, storetest.Open(t, storetest.SQLite), &lines)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if strings.Contains(lines.String(), `"path":"/token"`) {
			t.Errorf("a handler saw one: %s", lines.String())
		}
	})
	for name, headers := range map[string]string{
		"two lengths":          "Content-Length: 5\r\nContent-Length: 6\r\n",
		"a length with a sign": "Content-Length: +5\r\n",
		"two lengths in one":   "Content-Length: 5, 6\r\n",
		"unknown coding":       "Transfer-Encoding: chunked, identity\r\n",
		"two codings":          "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"a blank before colon": "Content-Length : 5\r\n",
		"a folded header":      "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\nX-A: b\r\n\tc: d\x00\r\n",
		"a coding with a tab":  "Transfer-Encoding: \x0bchunked\r\n",
		"two hosts":            "Host: other.example\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
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
