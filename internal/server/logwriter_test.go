package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func messages(b *bytes.Buffer) string {
	var out []string
	for line := range strings.Lines(b.String()) {
		_, rest, _ := strings.Cut(line, `"msg":"`)
		message, _, _ := strings.Cut(rest, `"`)
		out = append(out, message)
	}
	return strings.Join(out, " ")
}

// Lines wait for a moment; a warning waits for nothing, and takes along what came before it. None is lost or changes places.
func TestLogWriter_GathersLinesAndHoldsNoWarning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var to bytes.Buffer
		w := NewLogWriter(&to)
		log := w.Logger()
		log.Info("a")
		log.With("x", 1).WithGroup("g").Info("b")
		if got := messages(&to); got != "" {
			t.Errorf("written at once: %q", got)
		}
		time.Sleep(logGathers)
		synctest.Wait()
		if got := messages(&to); got != "a b" {
			t.Errorf("after a moment: %q", got)
		}
		log.Info("c")
		log.With("x", 1).Warn("d")
		if got := messages(&to); got != "a b c d" {
			t.Errorf("after a warning: %q", got)
		}
		log.Info("e")
		w.Flush()
		if got := messages(&to); got != "a b c d e" {
			t.Errorf("after the end: %q", got)
		}
		to.Reset()
		long := strings.Repeat("x", 300)
		var want []string
		for i := range 400 {
			log.LogAttrs(t.Context(), slog.LevelInfo, fmt.Sprint(i), slog.String("long", long))
			want = append(want, fmt.Sprint(i))
		}
		if to.Len() < logHolds {
			t.Errorf("more is held than %d bytes", logHolds)
		}
		w.Flush()
		if got := messages(&to); got != strings.Join(want, " ") {
			t.Errorf("many lines: %.200q", got)
		}
	})
}
