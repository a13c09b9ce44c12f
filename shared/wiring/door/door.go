// Package door reads the settings of the callback endpoint, the door through
// which IM comes in.
package door

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
)

// DevelopmentToken is what scripts/dev uses. Everybody knows it, so it is
// refused everywhere else.
const DevelopmentToken = "dev-callback-token"

// Door is what the settings say of the endpoint.
type Door struct {
	// Jobs gets what an after-rule failed on, and has it done again. Without
	// it such a callback is answered with status 500.
	Jobs *queue.Ledger
	// Observe goes to the endpoint; see [callback.Config].
	Observe func(callback.Exchange)

	config   callback.Config
	forwards map[string]string
}

// Part is the callbacks of one function: its name, as under functions/, and
// what registers its rules.
type Part struct {
	Function string
	Register func(*callback.Mux)
}

// Read reads the endpoint's settings, and for each function named whether its
// callbacks go to a deployment of its own.
func Read(set *config.Reader, forwardable ...string) *Door {
	d := &Door{forwards: make(map[string]string)}
	d.config.SDKAppID = access.AppID(set)
	d.config.AllowUnsigned = set.Bool(config.Setting{
		Name: "CALLBACK_ALLOW_UNSIGNED", Meaning: "accept callbacks that nobody signed, when there is no token", Format: "1 or 0", Default: "0",
	})
	token := config.Setting{
		Name: "CALLBACK_TOKEN", Meaning: "the authentication token of the console's callback settings",
		Format: "text of 1 to 128 bytes", Required: !d.config.AllowUnsigned, Secret: true, Public: []string{DevelopmentToken},
	}
	if set.Listing() {
		token.Required = true
	}
	d.config.Token = set.Text(token)
	previous := token
	previous.Name, previous.Required = "CALLBACK_TOKEN_PREVIOUS", false
	previous.Meaning = "the token before, accepted as well while it is being changed"
	d.config.PreviousToken = set.Text(previous)
	d.config.PathSecret = set.Text(config.Setting{
		Name: "CALLBACK_PATH_SECRET", Meaning: "what must follow /im/ in the callback URL", Format: "letters, digits and hyphens", Secret: true,
	})
	if strings.Trim(d.config.PathSecret, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		set.Fault("CALLBACK_PATH_SECRET", "must be letters, digits and hyphens, since IM takes no others in a URL")
	}
	for _, function := range forwardable {
		name := "FORWARD_" + strings.ToUpper(strings.ReplaceAll(function, "-", "_"))
		d.forwards[function] = set.URL(config.Setting{
			Name: name, Meaning: "callback URL of " + function + " deployed on its own; without it, its rules run here",
			Format: "a URL ending in /im or /im/SECRET",
		})
	}
	return d
}

// Mount adds the endpoint's routes, with the rules of the parts behind it.
func (d *Door) Mount(routes *http.ServeMux, parts ...Part) error {
	endpoint, err := d.endpoint(parts)
	if err != nil {
		return err
	}
	routes.Handle("/im", endpoint)
	routes.Handle("/im/{secret}", endpoint)
	return nil
}

// Redo prepares Jobs to run the rules of the parts again, in a program that
// serves no callbacks itself.
func (d *Door) Redo(parts ...Part) error {
	_, err := d.endpoint(parts)
	return err
}

func (d *Door) endpoint(parts []Part) (http.Handler, error) {
	rules := callback.NewMux()
	client := &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 55 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, p := range parts {
		target := d.forwards[p.Function]
		if target == "" {
			p.Register(rules)
			continue
		}
		if err := rules.Forward(p.Function, target, client, p.Register); err != nil {
			return nil, fmt.Errorf("forwarding: %w", err)
		}
	}
	d.config.Mux, d.config.Observe = rules, d.Observe
	if d.Jobs != nil {
		d.config.Defer = d.put
		d.Jobs.Handle(deferredKind, func(ctx context.Context, j queue.Job) error {
			var again callback.Deferred
			if err := json.Unmarshal(j.Body, &again); err != nil {
				return errors.New("the job holds no callback")
			}
			return rules.Redo(ctx, again)
		})
	}
	return callback.NewEndpoint(d.config)
}

// deferredKind is the kind of a job that runs one after-rule again.
const deferredKind = "callback"

// put makes a job of what a rule failed on. Its id is its own: the rule knows a
// repeated event, so two jobs for one do no harm.
func (d *Door) put(ctx context.Context, failed callback.Deferred) error {
	body, err := json.Marshal(failed)
	if err != nil {
		return err
	}
	return d.Jobs.Put(ctx, queue.Job{ID: rand.Text(), Kind: deferredKind, Lane: queue.Fast, Body: body})
}
