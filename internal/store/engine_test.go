package store

import (
	"context"
	"path/filepath"
	"testing"
)

func TestSmoke(t *testing.T) {
	db, err := Open(context.Background(), Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "a b.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	err = db.System().Write(ctx, func(tx *SystemTx) error {
		tx.queue(`insert into organizations (organization, name, settings, flags, version, created) values ($1,$2,$3,$4,$5,$6)`, "o", "O", "{}", "{}", 1, 2)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.System().Write(ctx, func(tx *SystemTx) error {
		tx.queue(`insert into organizations (organization, name, settings, flags, version, created) values ($1,$2,$3,$4,$5,$6)`, "o", "O", "{}", "{}", 1, 2)
		return nil
	})
	t.Log(err)
	var n string
	err = db.Read(ctx, "o", func(tx *Tx) error {
		return tx.lastRow(ctx, `select name from organizations where organization=$1`, tx.Organization).Scan(&n)
	})
	if err != nil || n != "O" {
		t.Fatal(n, err)
	}
	func() {
		defer func() { t.Log(recover()) }()
		_ = db.Read(ctx, "o", func(tx *Tx) error { return db.Read(ctx, "o", func(tx *Tx) error { return nil }) })
		t.Error("no panic")
	}()
}
