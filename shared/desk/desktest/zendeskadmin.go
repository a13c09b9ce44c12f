package desktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// thing is a webhook or a trigger of an account.
type thing map[string]any

// admin adds what an account's administrators call: webhooks and triggers.
func (z *Zendesk) admin() {
	for kind, scope := range map[string]string{"webhook": "webhooks", "trigger": "triggers"} {
		list, one := "/api/v2/"+kind+"s", "/api/v2/"+kind+"s/{id}"
		serve := func(call, needs string, f func(r *http.Request, body []byte) answer) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				body := read(r)
				z.serve(w, call+" "+kind, r.PathValue("id")+r.URL.RawQuery, func() answer {
					if !z.knows(r.Header.Get("Authorization"), scope+":"+needs) {
						return problem(403, "Forbidden", "You do not have access to this page.")
					}
					return f(r, body)
				})
			}
		}
		all := serve("list", "read", func(*http.Request, []byte) answer {
			return answer{status: 200, body: map[string]any{kind + "s": z.things[kind], "next_page": nil, "meta": map[string]any{"has_more": false}}}
		})
		z.mux.HandleFunc("GET "+list, all)
		z.mux.HandleFunc("GET "+list+".json", all)
		z.mux.HandleFunc("POST "+list, serve("create", "write", func(_ *http.Request, body []byte) answer { return z.addThing(kind, body) }))
		z.mux.HandleFunc("PUT "+one, serve("change", "write", func(r *http.Request, body []byte) answer {
			i := z.indexOf(kind, r.PathValue("id"))
			var in map[string]thing
			if i < 0 || json.Unmarshal(body, &in) != nil {
				return problem(404, "RecordNotFound", "Not found")
			}
			for k, v := range in[kind] {
				z.things[kind][i][k] = v
			}
			return answer{status: 200, body: map[string]any{kind: z.things[kind][i]}}
		}))
		z.mux.HandleFunc("DELETE "+one, serve("remove", "write", func(r *http.Request, _ []byte) answer {
			i := z.indexOf(kind, r.PathValue("id"))
			if i < 0 {
				return problem(404, "RecordNotFound", "Not found")
			}
			if kind == "webhook" && strings.Contains(fmt.Sprint(z.things["trigger"]), r.PathValue("id")) {
				return problem(400, "BadRequest", "the webhook is used by a trigger")
			}
			z.things[kind] = slices.Delete(z.things[kind], i, i+1)
			return answer{status: 204}
		}))
	}
	z.mux.HandleFunc("GET /api/v2/webhooks/{id}/signing_secret", func(w http.ResponseWriter, r *http.Request) {
		z.serve(w, "secret", r.PathValue("id"), func() answer {
			if !z.knows(r.Header.Get("Authorization"), "webhooks:read") || z.indexOf("webhook", r.PathValue("id")) < 0 {
				return problem(404, "RecordNotFound", "Not found")
			}
			return answer{status: 200, body: map[string]any{"signing_secret": map[string]any{"algorithm": "SHA256", "secret": z.conf.WebhookSecret}}}
		})
	})
}

func (z *Zendesk) indexOf(kind, id string) int {
	return slices.IndexFunc(z.things[kind], func(t thing) bool { return fmt.Sprint(t["id"]) == id })
}

func (z *Zendesk) addThing(kind string, body []byte) answer {
	var in map[string]thing
	if json.Unmarshal(body, &in) != nil || in[kind] == nil {
		return problem(400, "invalid_request", "the request is not JSON")
	}
	t := in[kind]
	if kind == "webhook" && (t["name"] == nil || !strings.HasPrefix(fmt.Sprint(t["endpoint"]), "http")) {
		return problem(400, "InvalidRequest", "the webhook has no name or endpoint")
	}
	if kind == "trigger" {
		conditions, _ := t["conditions"].(map[string]any)
		if t["title"] == nil || conditions == nil || t["actions"] == nil {
			return problem(422, "RecordInvalid", "the trigger has no title, conditions or actions")
		}
		for _, a := range t["actions"].([]any) {
			action, _ := a.(map[string]any)
			values, _ := action["value"].([]any)
			if action["field"] != "notification_webhook" || len(values) != 2 || z.indexOf("webhook", fmt.Sprint(values[0])) < 0 {
				return problem(422, "RecordInvalid", "the action names no webhook")
			}
		}
	}
	z.made++
	t["id"] = fmt.Sprintf("01H%09d", z.made)
	if kind == "trigger" {
		t["id"] = z.made
	}
	z.things[kind] = append(z.things[kind], t)
	return answer{status: 201, body: map[string]any{kind: t}}
}

// Things returns the names of the account's webhooks or triggers.
func (z *Zendesk) Things(kind string) (names []string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, t := range z.things[kind] {
		name, _ := t["name"].(string)
		if name == "" {
			name, _ = t["title"].(string)
		}
		names = append(names, name)
	}
	return names
}
