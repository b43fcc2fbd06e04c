package provisioning_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// What a directory asks of us all day. Make bench compares with the machine's own limits; this is for a profile.
func BenchmarkProvisioning(b *testing.B) {
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			w := newWorld(b, kind)
			err := w.db.System().Write(b.Context(), func(tx *store.SystemTx) error {
				tx.PutDeclaredDirectory(store.DeclaredDirectory{
					Organization: "northwind", ID: "entra", Name: "Entra", Dialect: "entra", Key: directory.KeyExternalID,
					Settings: directory.Settings{RateLimit: directory.RateLimit{PerMinute: directory.MaxPerMinute}},
				})
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			// The log is written while requests are served, as on a node.
			ctx, stop := context.WithCancel(context.Background())
			var following sync.WaitGroup
			following.Go(func() { w.handler().Follow(ctx) })
			defer following.Wait()
			defer stop()
			c := w.entra()
			var n atomic.Int64
			create := func() {
				i := n.Add(1)
				a := c.send(c.request("POST", "/Users", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
					"externalId":"e-%d","userName":"user%d@x.org","active":true,"displayName":"User %d","name":{"givenName":"G","familyName":"F"},
					"emails":[{"type":"work","value":"user%d@x.org","primary":true}],"title":"T","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"D"}}`, i, i, i, i)))
				if a.status != 201 {
					b.Fatal(a.raw)
				}
			}
			b.Run("create", func(b *testing.B) {
				for b.Loop() {
					create()
				}
			})
			b.Run("create-parallel", func(b *testing.B) {
				b.SetParallelism(8)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						create()
					}
				})
			})
			user, other := c.user("bench"), c.user("bench2")
			group := c.group("Bench", user)
			b.Run("get", func(b *testing.B) {
				for b.Loop() {
					c.send(c.request("GET", "/Users/"+user, ""))
				}
			})
			b.Run("filter", func(b *testing.B) {
				for b.Loop() {
					c.send(c.request("GET", `/Users?filter=userName eq "USER1@x.org"`, ""))
				}
			})
			b.Run("patch-user", func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					c.send(c.request("PATCH", "/Users/"+user, fmt.Sprintf(`{%s,"Operations":[{"op":"Replace","path":"title","value":"T%d"}]}`, patchOp, i)))
				}
			})
			b.Run("patch-member", func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					op := "Add"
					if i%2 == 1 {
						op = "Remove"
					}
					c.send(c.request("PATCH", "/Groups/"+group, fmt.Sprintf(`{%s,"Operations":[{"op":%q,"path":"members","value":[{"value":%q}]}]}`, patchOp, op, other)))
				}
			})
		})
	}
}
