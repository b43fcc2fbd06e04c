package scim

import (
	"net/http"
	"strconv"
	"strings"
)

func (h *Handler) answer(c *call, status int, rt *ResourceType, r *Resource, p *Projection, sent Attributes) error {
	buf := blank()
	defer done(buf)
	if err := h.render(buf, c.tenant, rt, r, p, sent); err != nil {
		return err
	}
	c.w.Header().Set("ETag", ETag(r.Version))
	c.w.Header().Set("Location", c.tenant.location(rt, r.ID))
	send(c.w, status, buf.Bytes())
	return nil
}

func (h *Handler) create(c *call, rt *ResourceType) error {
	p, err := h.projection(c, rt)
	if err != nil {
		return err
	}
	raw, err := c.body(MaxBody)
	if err != nil {
		return err
	}
	decided, err := rt.Create(raw, c.tenant.Dialect)
	if err != nil {
		return err
	}
	c.tenant.repaired(decided.Repairs)
	r, err := c.tenant.Store.Create(c.r.Context(), rt, decided, h.want(rt, p))
	if err != nil {
		return err
	}
	return h.answer(c, http.StatusCreated, rt, r, p, raw)
}

func (h *Handler) get(c *call, rt *ResourceType) error {
	p, err := h.projection(c, rt)
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	if tags := c.r.Header.Values("If-None-Match"); len(tags) > 0 {
		r, err := c.tenant.Store.Get(ctx, rt, c.id, Want{})
		if err != nil {
			return err
		}
		if matchTags(tags, r.Version) {
			c.w.Header().Set("ETag", ETag(r.Version))
			c.w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	w := h.want(rt, p)
	if s, ok := c.tenant.Store.(Streamer); ok && p == nil && w.Rows && !w.Groups {
		return h.stream(c, s, rt)
	}
	r, err := c.tenant.Store.Get(ctx, rt, c.id, w)
	if err != nil {
		return err
	}
	return h.answer(c, http.StatusOK, rt, r, p, nil)
}

func (h *Handler) replace(c *call, rt *ResourceType) error {
	p, err := h.projection(c, rt)
	if err != nil {
		return err
	}
	raw, err := c.body(MaxBody)
	if err != nil {
		return err
	}
	r, err := h.modify(c, rt, c.id, precondition(c.r), h.want(rt, p), func(current Attributes) (Result, error) {
		return rt.Replace(current, raw, c.tenant.Dialect)
	})
	if err != nil {
		return err
	}
	return h.answer(c, http.StatusOK, rt, r, p, raw)
}

// patch answers 204 for a type with rows unless attributes were asked for (RFC 7644 section 3.5.2): the
// client that added one member does not want to read the other 99,999.
func (h *Handler) patch(c *call, rt *ResourceType) error {
	p, err := h.projection(c, rt)
	if err != nil {
		return err
	}
	raw, err := c.body(MaxBody)
	if err != nil {
		return err
	}
	patch, err := PatchFrom(rt, raw, c.tenant.Dialect)
	if err != nil {
		return err
	}
	silent := rt.Rows != "" && len(c.query["attributes"]) == 0 && len(c.query["excludedAttributes"]) == 0
	w := h.want(rt, p)
	if silent {
		w = Want{}
	}
	r, err := h.modify(c, rt, c.id, precondition(c.r), w, func(current Attributes) (Result, error) {
		return Apply(rt, current, patch)
	})
	if err != nil {
		return err
	}
	if silent {
		c.w.Header().Set("ETag", ETag(r.Version))
		c.w.Header().Set("Location", c.tenant.location(rt, r.ID))
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return h.answer(c, http.StatusOK, rt, r, p, patch.Sent())
}

func (h *Handler) modify(c *call, rt *ResourceType, id string, check func(int64) error, w Want, change func(Attributes) (Result, error)) (*Resource, error) {
	var repairs Repairs
	r, err := c.tenant.Store.Modify(c.r.Context(), rt, id, check, func(current Attributes) (Result, error) {
		decided, err := change(current)
		repairs = decided.Repairs
		return decided, err
	}, w)
	if err != nil {
		return nil, err
	}
	c.tenant.repaired(repairs)
	return r, nil
}

func (h *Handler) delete(c *call, rt *ResourceType) error {
	if err := c.tenant.Store.Delete(c.r.Context(), rt, c.id, precondition(c.r)); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// precondition reads If-Match and If-None-Match of a write; nil when there is neither.
func precondition(r *http.Request) func(int64) error {
	must, mustNot := r.Header.Values("If-Match"), r.Header.Values("If-None-Match")
	if len(must) == 0 && len(mustNot) == 0 {
		return nil
	}
	return checkTags(must, mustNot)
}

func checkTags(must, mustNot []string) func(int64) error {
	return func(version int64) error {
		if len(must) > 0 && !matchTags(must, version) || len(mustNot) > 0 && matchTags(mustNot, version) {
			return Errorf(http.StatusPreconditionFailed, "",
				"The resource is not as the precondition wants it; its version is %s.", ETag(version))
		}
		return nil
	}
}

// matchTags compares opaque parts only. RFC 9110 section 13.1.1 would have If-Match compare strongly, so
// that no weak tag ever matched; RFC 7644 section 3.14 sends weak tags and means them to match.
func matchTags(headers []string, version int64) bool {
	opaque := strconv.FormatInt(version, 10)
	for _, header := range headers {
		for tag := range strings.SplitSeq(header, ",") {
			tag = strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`)
			if tag == "*" || tag == opaque {
				return true
			}
		}
	}
	return false
}
