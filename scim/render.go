package scim

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"
)

// ETag is the entity tag of a version (RFC 7644 section 3.14). It speaks of the resource's own
// attributes and its Rows; the groups a user is in are computed and do not count.
func ETag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }

// Location is the address of a resource.
func (t *Tenant) location(rt *ResourceType, id string) string { return t.Base + rt.Endpoint + "/" + id }

const timeForm = "2006-01-02T15:04:05.000000Z"

// sheets are what answers are written on before they are sent. A large one is left to the collector: it would be held for good.
var sheets = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func blank() *bytes.Buffer {
	buf, _ := sheets.Get().(*bytes.Buffer) // nothing else is put there
	return buf
}

func done(buf *bytes.Buffer) {
	if buf.Cap() <= streamChunk {
		buf.Reset()
		sheets.Put(buf)
	}
}

// render writes one resource. sent is the request's body where the request wrote it.
//
// Without a projection the stored document is the answer: id, groups, rows and meta are spliced in and
// nothing is decoded.
func (h *Handler) render(buf *bytes.Buffer, t *Tenant, rt *ResourceType, r *Resource, p *Projection, sent Attributes) error {
	if p == nil {
		h.splice(buf, t, rt, r)
		return nil
	}
	a, err := h.assemble(t, rt, r)
	if err != nil {
		return err
	}
	buf.Write(rt.EncodeJSON(p.Project(a, sent)))
	return nil
}

// splice relies on the form EncodeJSON gives a document: an object that opens with "schemas".
func (h *Handler) splice(buf *bytes.Buffer, t *Tenant, rt *ResourceType, r *Resource) {
	buf.Grow(len(r.Document) + 256 + 160*(len(r.Rows)+len(r.Groups)))
	h.spliceHead(buf, r)
	if len(r.Rows) > 0 {
		buf.WriteString(`,`)
		writeString(buf, rt.Rows)
		buf.WriteString(`:`)
		h.writeReferences(buf, t, r.Rows, h.rowRef(t))
	}
	if len(r.Groups) > 0 {
		buf.WriteString(`,"groups":`)
		h.writeReferences(buf, t, r.Groups, h.groupRef(t))
	}
	h.spliceTail(buf, t, rt, r)
}

// spliceHead writes an answer up to where rows and groups stand.
func (h *Handler) spliceHead(buf *bytes.Buffer, r *Resource) {
	doc := r.Document
	cut := bytes.IndexByte(doc, ']') + 1 // no schema's URN holds a bracket
	buf.Write(doc[:cut])
	buf.WriteString(`,"id":`)
	writeString(buf, r.ID)
	buf.Write(doc[cut : len(doc)-1])
}

// spliceTail writes what follows them.
func (h *Handler) spliceTail(buf *bytes.Buffer, t *Tenant, rt *ResourceType, r *Resource) {
	buf.WriteString(`,"meta":{"resourceType":`)
	writeString(buf, rt.Name)
	buf.WriteString(`,"created":"`)
	writeStamp(buf, r.Created)
	buf.WriteString(`","lastModified":"`)
	writeStamp(buf, r.Modified)
	buf.WriteString(`","location":`)
	writeString(buf, t.location(rt, r.ID))
	buf.WriteString(`,"version":"W/\"`) // ETag, in a string of JSON
	buf.Write(strconv.AppendInt(buf.AvailableBuffer(), r.Version, 10))
	buf.WriteString(`\""}}`)
}

func (h *Handler) writeReferences(buf *bytes.Buffer, t *Tenant, refs []Reference, address func(Reference) string) {
	buf.WriteByte('[')
	h.writeElements(buf, refs, address)
	buf.WriteByte(']')
}

func (h *Handler) writeElements(buf *bytes.Buffer, refs []Reference, address func(Reference) string) {
	for i, ref := range refs {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.WriteString(`{"value":`)
		writeString(buf, ref.Value)
		buf.WriteString(`,"$ref":`)
		writeString(buf, address(ref))
		if ref.Display != "" {
			buf.WriteString(`,"display":`)
			writeString(buf, ref.Display)
		}
		if ref.Type != "" {
			buf.WriteString(`,"type":`)
			writeString(buf, ref.Type)
		}
		buf.WriteByte('}')
	}
}

func (h *Handler) rowRef(t *Tenant) func(Reference) string {
	return func(ref Reference) string {
		if rt := h.typeNamed(ref.Type); rt != nil {
			return t.location(rt, ref.Value)
		}
		return t.Base + "/Users/" + ref.Value
	}
}

func (h *Handler) groupRef(t *Tenant) func(Reference) string {
	return func(ref Reference) string { return t.Base + "/Groups/" + ref.Value }
}

// assemble is splice for a projection: the whole resource, decoded.
func (h *Handler) assemble(t *Tenant, rt *ResourceType, r *Resource) (Attributes, error) {
	a, err := DecodeStored(r.Document)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", rt.Name, r.ID, err)
	}
	a["id"] = r.ID
	if len(r.Rows) > 0 {
		a[rt.Rows] = elements(r.Rows, h.rowRef(t))
	}
	if len(r.Groups) > 0 {
		a["groups"] = elements(r.Groups, h.groupRef(t))
	}
	a["meta"] = map[string]any{
		"resourceType": rt.Name,
		"created":      stamp(r.Created),
		"lastModified": stamp(r.Modified),
		"location":     t.location(rt, r.ID),
		"version":      ETag(r.Version),
	}
	return a, nil
}

func elements(refs []Reference, address func(Reference) string) []any {
	out := make([]any, len(refs))
	for i, ref := range refs {
		e := map[string]any{"value": ref.Value, "$ref": address(ref)}
		if ref.Display != "" {
			e["display"] = ref.Display
		}
		if ref.Type != "" {
			e["type"] = ref.Type
		}
		out[i] = e
	}
	return out
}

// DecodeStored reads a document that EncodeJSON wrote. It has been checked once, so no limit holds.
func DecodeStored(document []byte) (Attributes, error) {
	return DecodeJSON(document, Limits{Bytes: len(document), Depth: 64, Values: len(document) + 1})
}

func stamp(t time.Time) string { return string(appendStamp(nil, t)) }

func writeStamp(buf *bytes.Buffer, t time.Time) { buf.Write(appendStamp(buf.AvailableBuffer(), t)) }

// appendStamp writes a time in timeForm. Package time reads any other layout anew for each time, but knows RFC 3339 by heart.
func appendStamp(b []byte, t time.Time) []byte {
	t = t.UTC()
	b = t.AppendFormat(b, time.RFC3339)
	b[len(b)-1] = '.' // instead of the Z
	micros := t.Nanosecond() / 1000
	for unit := 100_000; unit > 0; unit /= 10 {
		b = append(b, byte('0'+micros/unit%10))
	}
	return append(b, 'Z')
}

// StoredDocument is what a Store keeps of decided attributes: without what the server adds to every
// answer.
func (rt *ResourceType) StoredDocument(a Attributes) []byte {
	kept, added := a, func(name string) bool { return name == "id" || name == "meta" || name == rt.Rows }
	for name := range a {
		if added(name) {
			kept = maps.Clone(a)
			maps.DeleteFunc(kept, func(name string, _ any) bool { return added(name) })
			break
		}
	}
	return rt.EncodeJSON(kept)
}
