package store_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// What a row of the request log costs: a read, which has no bodies, and a create. Beside the time it tells the CPU of this process
// and the bytes that it wrote, both for a row; on PostgreSQL that is the node's half alone.
func BenchmarkLogRequests(b *testing.B) {
	read := directory.Request{
		Directory: "entra", Method: "GET", Path: "/Users/019ab1c2-7d10-7a53-b3c4-0d9e4bc6a123", Status: 200, Took: 300 * time.Microsecond,
		Operation: "Read Ann Example", ResourceKind: "User", ResourceID: "019ab1c2-7d10-7a53-b3c4-0d9e4bc6a123", ResourceName: "Ann Example",
		Search: "ann example\nann@northwind.example\nx-1001", Token: "019ab1c2-7d10-7a53-b3c4-0d9e4bc6a124",
		TokenState: directory.TokenGood, IP: "192.0.2.5", Request: "019ab1c2-7d10-7a53-b3c4-0d9e4bc6a125",
	}
	create := read
	create.Method, create.Path, create.Status, create.Operation, create.Whole = "POST", "/Users", 201, "Created Ann Example", true
	create.Effects = []directory.Effect{{Action: "user.created", Said: "Created the user Ann Example", After: `{"user":"u","active":true}`}}
	create.Body, create.Answer = `{"n":"`+strings.Repeat("abcdefghij ", 100)+`"}`, `{"n":"`+strings.Repeat("klmnopqrst ", 110)+`"}`
	for _, kind := range storetest.Kinds {
		for name, row := range map[string]directory.Request{"read": read, "create": create} {
			for _, rows := range []int{256, 512, 1024} {
				b.Run(string(kind)+"/"+name+"/"+strconv.Itoa(rows), func(b *testing.B) {
					db, ctx := storetest.Open(b, kind), context.Background()
					if err := db.System().Write(ctx, func(tx *store.SystemTx) error {
						tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind"})
						tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: "northwind", ID: "entra", Name: "Entra", Dialect: "entra", Key: directory.KeyExternalID})
						return nil
					}); err != nil {
						b.Fatal(err)
					}
					list := make([]directory.Request, rows)
					written, used := writtenBytes(b), usedCPU(b)
					n := 0
					for b.Loop() {
						for i := range list {
							list[i] = row
							list[i].At = db.Now()
							list[i].ID = id.At[id.Request](list[i].At)
						}
						n += rows
						if err := db.Write(ctx, "northwind", func(tx *store.Tx) error {
							tx.LogRequests(ctx, list)
							return nil
						}); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/row")
					b.ReportMetric(float64(usedCPU(b)-used)/float64(n), "cpu-ns/row")
					b.ReportMetric(float64(writtenBytes(b)-written)/float64(n), "written-B/row")
				})
			}
		}
	}
}

func usedCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func writtenBytes(b *testing.B) (n int64) {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(text)) {
		if s, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, _ = strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		}
	}
	return n
}
