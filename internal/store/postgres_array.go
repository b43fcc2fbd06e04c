package store

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// Rows that share a statement travel as arrays, half a megabyte of texts in one. pgx writes an array value by value through
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

// arrays is pgx's codec of text[], bigint[] or boolean[], but for how a []string, []int64 or []bool is written.
type arrays struct {
	*pgtype.ArrayCodec
	room *room
}

// fastArrays is done to every new connection.
func fastArrays(_ context.Context, conn *pgx.Conn) error {
	types, own := conn.TypeMap(), &room{frontend: conn.PgConn().Frontend()}
	for _, oid := range []uint32{pgtype.TextArrayOID, pgtype.Int8ArrayOID, pgtype.BoolArrayOID} {
		if t, ok := types.TypeForOID(oid); ok {
			if codec, ok := t.Codec.(*pgtype.ArrayCodec); ok {
				types.RegisterType(&pgtype.Type{Name: t.Name, OID: t.OID, Codec: arrays{codec, own}})
			}
		}
	}
	return nil
}

// room is what a connection keeps to write many rows into. pgx writes a statement twice, its values first and then the message
// that holds them, and gives up both buffers after it: what they grew by was more than the rows of a push.
type room struct {
	frontend        *pgproto3.Frontend
	values, message []byte
}

const (
	roomMost = 256 << 10 // of each that is kept: a full batch of creates; one of the request log is more, and rare
	// roomAround is more than a message usually has beside its texts, with an eighth of them for numbers that follow.
	roomAround = 1 << 10
)

// forValues gives pgx's buffer of values so much more room, and its message as well. The memory is the connection's own from one
// statement to the next: pgx begins each with buffers of its own, and has written this one by then.
func (r *room) forValues(written []byte, size int) []byte {
	size += len(written)
	r.message = slices.Grow(r.message[:0], size+size/8+roomAround)
	r.frontend.Send(r)
	r.values = slices.Grow(r.values[:0], size)
	enough := append(r.values, written...)
	if cap(r.values) > roomMost {
		r.values, r.message = nil, nil
	}
	return enough
}

// Encode is pgx asking what the message is, before the one that needs the room: nothing, behind what is written already.
func (r *room) Encode(written []byte) ([]byte, error) { return append(r.message[:0], written...), nil }

// Decode and Frontend make it one of pgx's messages.
func (*room) Decode([]byte) error { return nil }
func (*room) Frontend()           {}

// PlanEncode is pgx asking how a value is written.
func (c arrays) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		switch value.(type) {
		case []string, texts:
			if oid == pgtype.TextArrayOID {
				return textArrayPlan{c.room}
			}
		case []int64:
			if oid == pgtype.Int8ArrayOID {
				return numberArrayPlan{}
			}
		case []bool:
			if oid == pgtype.BoolArrayOID {
				return truthArrayPlan{}
			}
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// appendHead begins what array_recv of PostgreSQL reads: dimensions, whether there are nulls, the type of the elements, then of the one
// dimension its length and first index. Each element follows behind its length.
func appendHead(buf []byte, oid uint32, length int) []byte {
	buf = appendNumber(appendNumber(appendNumber(buf, min(length, 1)), 0), int(oid))
	if length == 0 {
		return buf
	}
	return appendNumber(appendNumber(buf, length), 1)
}

func appendNumber(buf []byte, n int) []byte { return binary.BigEndian.AppendUint32(buf, uint32(n)) }

type textArrayPlan struct{ room *room }

// Encode appends an array of texts; of a list that is nil it makes null, as pgx does.
func (p textArrayPlan) Encode(value any, buf []byte) ([]byte, error) {
	list, _ := value.([]string)
	t, many := value.(texts)
	if many {
		list = t.list
	}
	if list == nil {
		return nil, nil
	}
	size := sizeOf(list)
	if many {
		for _, l := range t.behind {
			size += sizeOf(l)
		}
		buf = p.room.forValues(buf, size)
	} else {
		buf = slices.Grow(buf, size)
	}
	buf = appendHead(buf, pgtype.TextOID, len(list))
	for _, s := range list {
		buf = append(appendNumber(buf, len(s)), s...)
	}
	return buf, nil
}

type numberArrayPlan struct{}

// Encode appends an array of numbers.
func (numberArrayPlan) Encode(value any, buf []byte) ([]byte, error) {
	list, _ := value.([]int64)
	if list == nil {
		return nil, nil
	}
	buf = appendHead(slices.Grow(buf, 20+12*len(list)), pgtype.Int8OID, len(list))
	for _, n := range list {
		buf = binary.BigEndian.AppendUint64(appendNumber(buf, 8), uint64(n))
	}
	return buf, nil
}

type truthArrayPlan struct{}

// Encode appends an array of booleans.
func (truthArrayPlan) Encode(value any, buf []byte) ([]byte, error) {
	list, _ := value.([]bool)
	if list == nil {
		return nil, nil
	}
	buf = appendHead(slices.Grow(buf, 20+5*len(list)), pgtype.BoolOID, len(list))
	for _, yes := range list {
		buf = appendNumber(buf, 1)
		if yes {
			buf = append(buf, 1)
		} else {
			buf = append(buf, 0)
		}
	}
	return buf, nil
}
