package scim

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"
)

// Streamer is a Store that can hand over the rows of a resource a page at a time, so that a group of 100,000 members is
// answered in the memory of a few. All pages are of one moment, that of the resource's version.
type Streamer interface {
	// Stream calls begin with the resource without its rows, then rows with one page of them after the other. It may begin
	// again from the start, unless a function has answered an error.
	Stream(ctx context.Context, rt *ResourceType, id string, begin func(*Resource) error, rows func([]Reference) error) error
}

const (
	// streamChunk is how much of an answer is held before it is sent; what is smaller goes out in one piece, with its length.
	streamChunk = 64 << 10
	// streamFor bounds how long a transaction stays open for a client that reads slowly; the server's own bound on writing
	// ends a write that hangs.
	streamFor = time.Minute
)

var errSent = errors.New("scim: a part of the answer has gone out and cannot be begun again")

// stream answers a resource with its rows as they are read. An error before anything has gone out is answered as usual; one
// later cuts the connection, so that nobody takes the part for the whole.
func (h *Handler) stream(c *call, s Streamer, rt *ResourceType) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), streamFor)
	defer cancel()
	var buf bytes.Buffer
	var r *Resource
	sent, any := false, false
	begin := func(found *Resource) error {
		if sent {
			return errSent
		}
		buf.Reset()
		r, any = found, false
		h.spliceHead(&buf, r)
		return nil
	}
	err := s.Stream(ctx, rt, c.id, begin, func(page []Reference) error {
		if len(page) == 0 {
			return nil
		}
		if any {
			buf.WriteByte(',')
		} else {
			buf.WriteByte(',')
			writeString(&buf, rt.Rows)
			buf.WriteString(`:[`)
			any = true
		}
		h.writeElements(&buf, page, h.rowRef(c.tenant))
		if buf.Len() < streamChunk {
			return nil
		}
		if !sent {
			sent = true
			h.resourceHeaders(c, rt, r)
			c.w.Header().Set("Content-Type", MediaType)
			c.w.Header().Set("Cache-Control", "no-store")
			c.w.WriteHeader(http.StatusOK)
		}
		_, err := c.w.Write(buf.Bytes())
		buf.Reset()
		return err
	})
	switch {
	case err != nil && sent:
		h.Log.WarnContext(c.r.Context(), "scim answer cut short", "path", c.r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	case err != nil:
		return err
	}
	if any {
		buf.WriteByte(']')
	}
	h.spliceTail(&buf, c.tenant, rt, r)
	if sent {
		_, _ = c.w.Write(buf.Bytes()) // the client has gone; there is nobody to tell
		return nil
	}
	h.resourceHeaders(c, rt, r)
	send(c.w, http.StatusOK, buf.Bytes())
	return nil
}

func (h *Handler) resourceHeaders(c *call, rt *ResourceType, r *Resource) {
	c.w.Header().Set("ETag", ETag(r.Version))
	c.w.Header().Set("Location", c.tenant.location(rt, r.ID))
}
