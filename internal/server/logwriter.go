package server

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// A line for each request, written by itself, is a call of the system for each request. LogWriter gathers lines for a moment
// and writes them as one. A warning or worse is written at once, with what stands before it.

const (
	logGathers = 100 * time.Millisecond
	logHolds   = 32 << 10
)

// LogWriter gathers what a handler of slog writes to it.
type LogWriter struct {
	mu    sync.Mutex
	to    io.Writer
	lines []byte      // guarded by mu
	due   *time.Timer // guarded by mu; nil before the first line
}

// NewLogWriter gathers lines for to.
func NewLogWriter(to io.Writer) *LogWriter { return &LogWriter{to: to} }

// Logger is a logger of JSON lines whose warnings are written at once.
func (w *LogWriter) Logger() *slog.Logger { return slog.New(urgent{slog.NewJSONHandler(w, nil), w}) }

// Write keeps a line for the next moment. It never fails: there is nobody to tell.
func (w *LogWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) == 0 {
		if w.due == nil {
			w.due = time.AfterFunc(logGathers, w.Flush)
		} else {
			w.due.Reset(logGathers)
		}
	}
	w.lines = append(w.lines, line...)
	if len(w.lines) >= logHolds {
		w.flush()
	}
	return len(line), nil
}

// Flush writes what was kept.
func (w *LogWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

func (w *LogWriter) flush() {
	if len(w.lines) > 0 {
		_, _ = w.to.Write(w.lines)
		w.lines = w.lines[:0]
	}
}

// urgent is a handler that writes warnings, and what is worse, at once.
type urgent struct {
	slog.Handler
	w *LogWriter
}

// Handle is slog's.
func (u urgent) Handle(ctx context.Context, r slog.Record) error {
	err := u.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		u.w.Flush()
	}
	return err
}

// WithAttrs is slog's.
func (u urgent) WithAttrs(a []slog.Attr) slog.Handler { return urgent{u.Handler.WithAttrs(a), u.w} }

// WithGroup is slog's.
func (u urgent) WithGroup(name string) slog.Handler { return urgent{u.Handler.WithGroup(name), u.w} }
