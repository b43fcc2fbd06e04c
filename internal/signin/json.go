package signin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxDepth of upstream JSON; a claim is never this deep.
const maxDepth = 16

// object is a JSON object whose every name stood there once.
type object map[string]any

// parseObject reads one JSON object and nothing after it. RFC 8259 section 4 leaves two members of one name to the reader; one
// who takes the last and one who takes the first see two different people in the same token (RFC 7519 section 4 lets a reader
// refuse), so any repetition is refused, at any depth. Numbers stay as written.
func parseObject(raw []byte) (object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return o, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("JSON too deep")
	}
	t, err := d.Token()
	if err != nil {
		return nil, errors.New("not JSON")
	}
	switch t {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, errors.New("not JSON")
			}
			key, ok := name.(string)
			if !ok {
				return nil, errors.New("not JSON")
			}
			if _, twice := o[key]; twice {
				return nil, fmt.Errorf("the member %.40q stands there twice", key)
			}
			if o[key], err = parseValue(d, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return t, nil
}

// text gives a string member, or "" for anything else.
func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// texts gives a member that is a string or a list of strings, and whether it is.
func (o object) texts(name string) ([]string, bool) {
	switch v := o[name].(type) {
	case string:
		return []string{v}, true
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			out[i] = s
		}
		return out, true
	}
	return nil, false
}

// seconds gives a NumericDate member (RFC 7519 section 2), and whether it is one. A string is none.
func (o object) seconds(name string) (int64, bool) {
	n, ok := o[name].(json.Number)
	if !ok {
		return 0, false
	}
	if i, err := n.Int64(); err == nil {
		return i, i >= 0 && i < 1<<40
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f >= 1<<40 {
		return 0, false
	}
	return int64(f), true
}
