package store

import (
	"context"
)

// KeptSecrets says how many secrets of a kind lie under one of the node's keys.
type KeptSecrets struct {
	Kind  string // in the plural, for a person
	Key   string // the key's id, as seal.KeyOf gives it
	Count int
}

// KeptSecrets counts what lies under which key, by the id that every sealed value and hash begins with, since nothing else
// tells an operator which keys VESTIBULE_KEY must still list. What goes by itself within days (letters, attempts, tokens of an
// hour) is left out. People's factors and codes are many, and counted only when asked for.
func (tx *SystemTx) KeptSecrets(ctx context.Context, people bool) ([]KeptSecrets, error) {
	const ofPeople = `
			union all
			select 'second factors', substr(secret, 4, 8) from factors where secret <> ''
			union all
			select 'recovery codes', substr(hash, 1, 8) from recovery_codes`
	where := ""
	if people {
		where = ofPeople
	}
	return collect[KeptSecrets](tx.query(ctx, `
		select kind, key_id, count(*)
		from (
			select 'signing keys' as kind, substr(private_key, 4, 8) as key_id from signing_keys where gone is null
			union all
			select 'SAML signing keys', substr(private_key, 4, 8) from assertion_keys where gone is null
			union all
			select 'keys of SAML connections', substr(private_key, 4, 8) from saml_keys where private_key <> ''
			union all
			select 'API tokens', substr(hash, 1, 8) from api_tokens where revoked is null
			union all
			select 'directory tokens', substr(hash, 1, 8) from directory_tokens
			union all
			select 'secrets of directory clients', substr(secret_hash, 1, 8) from directory_clients where secret_hash <> ''
			union all
			select 'secrets of applications', substr(secret_hash, 1, 8) from applications where secret_hash <> ''
			union all
			select 'secrets of webhooks', substr(secret, 4, 8) from webhooks
			union all
			select 'secrets of connections', substr(document ->> 'client_secret', 4, 8) from connections where document ->> 'client_secret' <> ''
			union all
			select 'secrets of text message services', substr(settings -> 'messages' ->> 'secret', 4, 8)
			from organizations
			where settings -> 'messages' ->> 'secret' <> ''
			union all
			select 'second factors of operators', substr(secret, 4, 8) from operator_factors
			union all
			select 'recovery codes of operators', substr(hash, 1, 8) from operator_recovery_codes`+where+`
		) as kept
		group by kind, key_id
		order by kind, key_id`))(func(s scanner) (KeptSecrets, error) {
		var k KeptSecrets
		err := s.Scan(&k.Kind, &k.Key, &k.Count)
		return k, err
	})
}
