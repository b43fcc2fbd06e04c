package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/vestibule-id/vestibule/internal/store"
)

var errForeignKey = errors.New("key: VESTIBULE_KEY opens nothing that this store keeps: it is another store's key, or its former key " +
	"is no longer listed; nothing was done")

// checkKeys holds the node's keys against what the store keeps under them. With another store's key every secret that a command
// writes would be lost to the nodes, and every token refused, so nothing begins. Where only a former key is missing, what does not
// need it works on.
func checkKeys(ctx context.Context, db *store.DB, log *slog.Logger) error {
	var all []store.KeptSecrets
	err := db.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		all, err = tx.KeptSecrets(ctx, db.Keys.Len() > 1)
		return err
	})
	if err != nil {
		return err
	}
	opened, older := 0, make([]int, db.Keys.Len()+1)
	var lost []string
	for _, s := range all {
		place := db.Keys.Place(s.Key)
		if place == 0 {
			lost = append(lost, s.Kind)
			continue
		}
		opened++
		older[place] += s.Count
	}
	switch {
	case len(lost) > 0 && opened == 0:
		return errForeignKey
	case len(lost) > 0:
		log.Warn("some secrets lie under a key that VESTIBULE_KEY no longer lists, and do not work: put it back, behind the others",
			"secrets", strings.Join(lost, ", "))
	}
	for place := 2; place < len(older); place++ {
		if older[place] == 0 {
			log.Info("an older key can leave VESTIBULE_KEY in two days: nothing that lasts lies under it", "place", place)
		} else {
			log.Info("an older key is needed", "place", place, "secrets", older[place])
		}
	}
	return nil
}
