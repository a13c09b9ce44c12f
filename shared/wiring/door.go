package wiring

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
)

// door is the callback endpoint, through which IM comes in, as the settings say.
type door struct {
	config   callback.Config
	forwards map[string]string // URLs of functions deployed on their own
	closed   bool              // there is no endpoint
}

// readDoor reads the endpoint's settings, and for each function that may be
// deployed on its own the URL to forward to.
func readDoor(set *config.Reader, forwardable []string) entrance {
	return readDoorOf(set, forwardable, true)
}

// readOptionalDoor is readDoor for a program that also does without callbacks:
// without a token, and not told to accept unsigned ones, it has no endpoint.
func readOptionalDoor(set *config.Reader, forwardable []string) entrance {
	return readDoorOf(set, forwardable, false)
}

func readDoorOf(set *config.Reader, forwardable []string, required bool) entrance {
	d := &door{forwards: make(map[string]string)}
	set.Group(groupCallbacks)
	d.config.SDKAppID = appID(set)
	d.config.AllowUnsigned = set.Bool(config.Setting{
		Name: "CALLBACK_ALLOW_UNSIGNED", Meaning: "1 accepts callbacks without a signature when CALLBACK_TOKEN is not given", Format: "1 or 0", Default: "0",
	})
	token := config.Setting{
		Name: "CALLBACK_TOKEN", Meaning: "authentication token of the callback settings in IM's console",
		Format: "text of 8 to 128 bytes", Required: required && !d.config.AllowUnsigned, Secret: true, Least: 8, Most: 128,
	}
	if set.Listing() {
		token.Required = required
	}
	d.config.Token = set.Text(token)
	d.closed = !required && d.config.Token == "" && !d.config.AllowUnsigned
	if d.config.AllowUnsigned && d.config.Token == "" {
		set.Warn("CALLBACK_ALLOW_UNSIGNED", "anybody who knows the URL can send callbacks in IM's name: set CALLBACK_TOKEN to the console's authentication token")
	}
	previous := token
	previous.Name, previous.Required = "CALLBACK_TOKEN_PREVIOUS", false
	previous.Meaning = "authentication token before the current one, accepted as well while the console's token is being changed"
	d.config.PreviousToken = set.Text(previous)
	d.config.PathSecret = set.Text(config.Setting{
		Name: "CALLBACK_PATH_SECRET", Meaning: "path that must follow /im/ in the callback URL", Format: "at least 8 letters, digits and hyphens", Secret: true, Least: 8, Most: 128,
	})
	if strings.Trim(d.config.PathSecret, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		set.Fault("CALLBACK_PATH_SECRET", "must be letters, digits and hyphens, since IM takes no others in a URL")
	}
	for _, function := range forwardable {
		d.forwards[function] = set.URL(config.Setting{
			Name:    "FORWARD_" + strings.ToUpper(strings.ReplaceAll(function, "-", "_")),
			Meaning: "callback URL of " + function + " deployed on its own; the rules of " + function + " run here without this setting",
			Format:  "a URL ending in /im or /im/SECRET",
		})
	}
	return d
}

// forwarded reports whether a function's callbacks go to its own deployment.
func (d *door) forwarded(function string) bool { return d.forwards[function] != "" }

// app returns the SDKAppID.
func (d *door) app() uint32 { return d.config.SDKAppID }

// rules returns the rules of all parts, and has the ledger retry after-rules that
// failed. Without a ledger nothing is retried.
func (d *door) rules(parts []part, jobs *queue.Ledger) (*callback.Mux, error) {
	rules := callback.NewMux()
	rules.SignForwarded(d.config.Token, nil)
	client := &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 55 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	forwarded := map[string]bool{}
	for _, p := range parts {
		target := d.forwards[p.function]
		if target == "" {
			p.register(rules)
			continue
		}
		if forwarded[p.function] {
			continue
		}
		forwarded[p.function] = true
		// A callback goes out once, however many of the function's rules want it.
		all := func(m *callback.Mux) {
			for _, other := range parts {
				if other.function == p.function {
					other.register(m)
				}
			}
		}
		if err := rules.Forward(p.function, target, client, all); err != nil {
			return nil, fmt.Errorf("forwarding: %w", err)
		}
	}
	if jobs != nil {
		jobs.Handle(deferredKind, func(ctx context.Context, j queue.Job) error {
			var failed callback.Deferred
			if err := json.Unmarshal(j.Body, &failed); err != nil {
				return errors.New("the job holds no callback")
			}
			return rules.Redo(ctx, failed)
		})
	}
	return rules, nil
}

// mount adds the endpoint's routes. Without a ledger, IM gets status 500 for an
// after-callback whose rule failed.
func (d *door) mount(routes *http.ServeMux, rules *callback.Mux, jobs *queue.Ledger, w watchers) error {
	if d.closed {
		return nil
	}
	conf := d.config
	conf.Mux, conf.Observe, conf.Watch = rules, w.observe, w.watch
	if jobs != nil {
		conf.Defer = func(ctx context.Context, failed callback.Deferred) error { return deferCallback(ctx, jobs, failed) }
	}
	endpoint, err := callback.NewEndpoint(conf)
	if err != nil {
		return err
	}
	routes.Handle("/im", endpoint)
	routes.Handle("/im/{secret}", endpoint)
	return nil
}

// deferredKind is the kind of a job that retries one after-rule.
const deferredKind = "callback"

// deferCallback enqueues a callback so that the rule that failed is retried. The
// job's id is random: the rule deduplicates by the event, so two jobs for one
// callback do no harm.
func deferCallback(ctx context.Context, jobs *queue.Ledger, failed callback.Deferred) error {
	body, err := json.Marshal(failed)
	if err != nil {
		return err
	}
	return jobs.Put(ctx, queue.Job{ID: rand.Text(), Kind: deferredKind, Lane: queue.Fast, Body: body})
}
