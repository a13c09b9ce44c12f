// Package state opens the store that STATE_URL names, among the engines that
// the program chose to link.
package state

import (
	"context"
	"fmt"
	"strings"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Opener opens the store that was configured.
type Opener func(ctx context.Context) (kv.Store, error)

// Read reads STATE_URL, whose scheme must be that of one of the engines.
func Read(set *config.Reader, engines ...kv.Engine) Opener { return read(set, true, engines) }

// Optional is Read for a program that may do without state: the store is then
// nil.
func Optional(set *config.Reader, engines ...kv.Engine) Opener { return read(set, false, engines) }

func read(set *config.Reader, required bool, engines []kv.Engine) Opener {
	schemes := make([]string, len(engines))
	for i, e := range engines {
		schemes[i] = e.Scheme
	}
	url := set.Text(config.Setting{
		Name:     "STATE_URL",
		Meaning:  "where state is kept",
		Format:   "dynamodb:TABLE, redis://HOST:PORT/DB or rediss://... ; bolt:FILE for one process of the bundle",
		Required: required,
		Secret:   true, // a Redis URL may hold a password
	})
	if url == "" {
		return func(context.Context) (kv.Store, error) { return nil, nil }
	}
	scheme, _, _ := strings.Cut(url, ":")
	for _, e := range engines {
		if e.Scheme != scheme {
			continue
		}
		return func(ctx context.Context) (kv.Store, error) {
			store, err := e.Open(ctx, url)
			if err != nil {
				return nil, fmt.Errorf("STATE_URL: %w", err)
			}
			return store, nil
		}
	}
	set.Fault("STATE_URL", "this program keeps state in %s, and the value starts with none of them", strings.Join(schemes, ", "))
	return nil
}
