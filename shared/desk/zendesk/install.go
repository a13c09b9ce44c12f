package zendesk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/desk"
)

// AdminScope is the scope of an [Installer]'s OAuth client.
const AdminScope = "webhooks:read webhooks:write triggers:read triggers:write"

// Installer installs the webhooks and the trigger of definitions in an account, and
// removes them. It recognises its webhooks and triggers by their names, so it may run
// any number of times.
type Installer struct {
	desk        *Desk
	definitions fs.FS
	bundle      string
}

// NewInstaller returns an Installer of the definitions, three files named as in
// integrations/zendesk, in which {{bundle}} is the base URL of the bundle; "" looks and
// removes, whichever bundle is told, and installs nothing. conf needs URL and what
// proves us, and has AdminScope unless it says otherwise.
func NewInstaller(conf Config, definitions fs.FS, bundle string) (*Installer, error) {
	conf.GroupField = 1 // no tickets are changed
	if conf.Scope == "" {
		conf.Scope = AdminScope
	}
	if err := desk.CheckBase(bundle); err != nil && bundle != "" {
		return nil, fmt.Errorf("zendesk: the bundle: %w", err)
	}
	d, err := New(conf)
	if err != nil {
		return nil, err
	}
	return &Installer{d, definitions, bundle}, nil
}

// The actions of a [Step].
const (
	Keep   = "keep"
	Create = "create"
	Change = "change"
	Remove = "remove"
)

// Step is one step of a plan.
type Step struct {
	Action string // one of those above
	Kind   string // webhook or trigger
	Name   string
	ID     string // "" before it is made
	Why    string // of a change: the fields that differ

	file string
	hook *Step // whose id a trigger names
}

// kinds are the two kinds of things, with the paths of the API.
var kinds = map[string]struct{ list, one, name string }{
	"webhook": {"/api/v2/webhooks?page%5Bsize%5D=100", "/api/v2/webhooks", "name"},
	"trigger": {"/api/v2/triggers.json", "/api/v2/triggers", "title"},
}

// Plan returns what Apply would do, in order, to install or to remove.
func (in *Installer) Plan(ctx context.Context, remove bool) ([]Step, error) {
	webhooks, err := in.list(ctx, "webhook")
	if err != nil {
		return nil, err
	}
	triggers, err := in.list(ctx, "trigger")
	if err != nil {
		return nil, err
	}
	hook := &Step{Kind: "webhook", file: "webhook.json"}
	steps := []*Step{{Kind: "webhook", file: "events.json"}, hook, {Kind: "trigger", file: "trigger.json", hook: hook}}
	if remove { // whoever is named goes after those who name it
		steps[0], steps[2] = steps[2], steps[0]
	}
	var plan []Step
	for _, s := range steps {
		known := webhooks
		if s.Kind == "trigger" {
			known = triggers
		}
		if err := in.compare(s, known, remove); err != nil {
			return nil, err
		}
		if s.Action != "" {
			plan = append(plan, *s)
		}
	}
	for i := range plan {
		if plan[i].hook != nil {
			for j := range plan {
				if plan[j].file == plan[i].hook.file {
					plan[i].hook = &plan[j] // Apply writes its id there
				}
			}
		}
	}
	return plan, nil
}

// list returns all things of a kind, as the API has them.
func (in *Installer) list(ctx context.Context, kind string) (all []map[string]any, err error) {
	path := in.desk.conf.URL + kinds[kind].list
	for range 1000 {
		var out map[string]json.RawMessage
		call := desk.Call{Op: "list " + kind + "s", Method: http.MethodGet, URL: path}
		if _, err := in.desk.do(ctx, in.desk.client.Do, call, nil, &out); err != nil {
			return nil, err
		}
		var page []map[string]any
		if json.Unmarshal(out[kind+"s"], &page) != nil {
			return nil, in.desk.client.Unreadable(call)
		}
		all = append(all, page...)
		next := ""
		_ = json.Unmarshal(out["next_page"], &next) // of triggers; null at the end
		var meta struct {
			HasMore bool   `json:"has_more"`
			After   string `json:"after_cursor"`
		}
		_ = json.Unmarshal(out["meta"], &meta) // of webhooks
		switch {
		case meta.HasMore && meta.After != "":
			path = in.desk.conf.URL + kinds[kind].list + "&page%5Bafter%5D=" + url.QueryEscape(meta.After)
		case next != "":
			// Only its query is taken: the token goes nowhere else.
			u, err := url.Parse(next)
			if err != nil {
				return nil, in.desk.client.Unreadable(call)
			}
			path = in.desk.conf.URL + kinds[kind].list + "?" + u.RawQuery
		default:
			return all, nil
		}
	}
	return nil, errors.New("zendesk: the list has no end")
}

// definition reads a file's request.
func (in *Installer) definition(s *Step) (map[string]any, error) {
	b, err := fs.ReadFile(in.definitions, s.file)
	if err != nil {
		return nil, fmt.Errorf("zendesk: %w", err)
	}
	id := ""
	if s.hook != nil {
		id = s.hook.ID
	}
	text := strings.NewReplacer("{{bundle}}", in.bundle, "{{webhook}}", id).Replace(string(b))
	var out map[string]map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("zendesk: %s: %w", s.file, err)
	}
	return out[s.Kind], nil
}

// compare says what is to be done about one thing.
func (in *Installer) compare(s *Step, known []map[string]any, remove bool) error {
	want, err := in.definition(s)
	if err != nil {
		return err
	}
	name := kinds[s.Kind].name
	s.Name, _ = want[name].(string)
	var found map[string]any
	for _, k := range known {
		if k[name] == s.Name && (found == nil || fmt.Sprint(k["active"], k["status"]) == "true <nil>") {
			found = k
		}
	}
	if found != nil {
		s.ID = idOf(found["id"])
	}
	switch {
	case remove && found == nil:
	case remove:
		s.Action = Remove
	case found == nil:
		s.Action = Create
	default:
		var differ []string
		for _, field := range slices.Sorted(maps.Keys(want)) {
			if field == "endpoint" && in.bundle == "" {
				continue
			}
			if !covers(found[field], want[field]) {
				differ = append(differ, field)
			}
		}
		s.Action = Keep
		if len(differ) > 0 {
			s.Action, s.Why = Change, strings.Join(differ, ", ")
		}
	}
	return nil
}

// idOf writes an id that is a number or a text.
func idOf(v any) string {
	if n, is := v.(float64); is {
		return fmt.Sprintf("%.0f", n)
	}
	s, _ := v.(string)
	return s
}

// covers reports whether what the API has is what was asked for, beside what it adds.
func covers(has, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		has, is := has.(map[string]any)
		if !is {
			return false
		}
		for k, v := range want {
			if !covers(has[k], v) {
				return false
			}
		}
		return true
	case []any:
		has, is := has.([]any)
		if !is || len(has) != len(want) {
			return false
		}
		if texts(has) && texts(want) { // a set, such as the events of a webhook
			for _, w := range want {
				if !slices.Contains(has, w) {
					return false
				}
			}
			return true
		}
		for i := range want {
			if !covers(has[i], want[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(has, want) || want == nil && has == "" || idOf(has) != "" && idOf(has) == idOf(want)
}

func texts(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool { _, is := v.(string); return !is })
}

// Apply carries out one step of a plan and notes the id of what it made.
func (in *Installer) Apply(ctx context.Context, s *Step) error {
	base := in.desk.conf.URL + kinds[s.Kind].one
	switch s.Action {
	case Remove:
		call := desk.Call{Op: "remove a " + s.Kind, Method: http.MethodDelete, URL: base + "/" + url.PathEscape(s.ID)}
		_, err := in.desk.do(ctx, in.desk.client.Do, call, nil, nil)
		if errors.Is(err, desk.ErrNotFound) {
			return nil // it is gone
		}
		return err
	case Create, Change:
		want, err := in.definition(s)
		if err != nil {
			return err
		}
		call := desk.Call{Op: "make a " + s.Kind, Method: http.MethodPost, URL: base}
		if s.Action == Change {
			call.Op, call.Method, call.URL = "change a "+s.Kind, http.MethodPut, base+"/"+url.PathEscape(s.ID)
		}
		var out map[string]map[string]any
		a, err := in.desk.do(ctx, in.desk.client.Do, call, map[string]any{s.Kind: want}, nil)
		if err != nil {
			return err
		}
		if s.Action == Create {
			if json.Unmarshal(a.Body, &out) != nil || idOf(out[s.Kind]["id"]) == "" {
				return in.desk.client.Unreadable(call)
			}
			s.ID = idOf(out[s.Kind]["id"])
		}
	}
	return nil
}

// Secret returns the signing secret of a webhook, for ZENDESK_WEBHOOK_SECRETS.
func (in *Installer) Secret(ctx context.Context, s Step) (string, error) {
	call := desk.Call{Op: "read a webhook's secret", Method: http.MethodGet, URL: in.desk.conf.URL + "/api/v2/webhooks/" + url.PathEscape(s.ID) + "/signing_secret"}
	var out struct {
		SigningSecret struct {
			Secret string `json:"secret"`
		} `json:"signing_secret"`
	}
	if _, err := in.desk.do(ctx, in.desk.client.Do, call, nil, &out); err != nil {
		return "", err
	}
	if out.SigningSecret.Secret == "" {
		return "", in.desk.client.Unreadable(call)
	}
	return out.SigningSecret.Secret, nil
}
