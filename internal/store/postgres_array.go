package store

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Rows that share a statement travel as arrays of text, half a megabyte in one. pgx writes an array value by value through
// an interface, into a buffer that it doubles again and again; here its length is known before the first byte.

// texts is an array with those that come behind it in the same statement: room for all of them is made once. Without it the
// buffer grows with nearly each of two dozen arrays, and is copied each time.
type texts struct {
	list   []string
	behind [][]string
}

// appendTexts appends arrays that stand one behind the other in a statement.
func appendTexts(args []any, arrays [][]string) []any {
	args = append(args, texts{arrays[0], arrays[1:]})
	for _, list := range arrays[1:] {
		args = append(args, list)
	}
	return args
}

// sizeOf is how many bytes an array takes.
func sizeOf(list []string) int {
	size := 24
	for _, s := range list {
		size += 4 + len(s)
	}
	return size
}

// textArrays is pgx's codec of text[], but for how a []string is written.
type textArrays struct{ *pgtype.ArrayCodec }

// fastArrays is done to every new connection.
func fastArrays(_ context.Context, conn *pgx.Conn) error {
	types := conn.TypeMap()
	if t, ok := types.TypeForOID(pgtype.TextArrayOID); ok {
		if codec, ok := t.Codec.(*pgtype.ArrayCodec); ok {
			types.RegisterType(&pgtype.Type{Name: t.Name, OID: t.OID, Codec: textArrays{codec}})
		}
	}
	return nil
}

// PlanEncode is pgx asking how a value is written.
func (c textArrays) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		switch value.(type) {
		case []string, texts:
			return textArrayPlan{}
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

type textArrayPlan struct{}

// Encode appends what array_recv of PostgreSQL reads: dimensions, whether there are nulls, the type of the elements, then of
// the one dimension its length and first index, and each element behind its length.
func (textArrayPlan) Encode(value any, buf []byte) ([]byte, error) {
	list, _ := value.([]string)
	size := 0
	if t, ok := value.(texts); ok {
		list = t.list
		for _, l := range t.behind {
			size += sizeOf(l)
		}
	}
	if list == nil {
		return nil, nil // null, as pgx has it
	}
	buf = slices.Grow(buf, size+sizeOf(list))
	number := func(n int) { buf = binary.BigEndian.AppendUint32(buf, uint32(n)) }
	if len(list) == 0 {
		number(0)
	} else {
		number(1)
	}
	number(0)
	number(pgtype.TextOID)
	if len(list) == 0 {
		return buf, nil
	}
	number(len(list))
	number(1)
	for _, s := range list {
		number(len(s))
		buf = append(buf, s...)
	}
	return buf, nil
}
