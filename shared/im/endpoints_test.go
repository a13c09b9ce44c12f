package im_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

// row is a call that a fixture's case expects.
type row struct {
	command, name string
	call          func(context.Context, *im.Client) (any, error)
	want          any
	err           error // what the error is, by errors.Is
	// once: a lost answer is not followed by a repeat, which could do it twice.
	once bool
}

// on sets the command of rows.
func on(command string, rows ...row) []row {
	for i := range rows {
		rows[i].command = command
	}
	return rows
}

// rows are all calls of all API areas.
var rows = slices.Concat(
	accountRows, c2cRows, profileRows, friendRows, conversationRows, robotRows, pushRows,
	groupRows, memberRows, muteRows, groupMsgRows, roomRows, attributeRows, counterRows, topicRows, permissionRows,
)

// done is for calls that return an error alone.
func done(err error) (any, error) { return nil, err }

func each(t *testing.T, f func(t *testing.T, r row, exchanges []exchange)) {
	known := fixtures(t)
	for _, r := range rows {
		t.Run(r.command+"/"+r.name, func(t *testing.T) {
			exchanges := known[r.command].Cases[r.name]
			if len(exchanges) == 0 {
				t.Fatal("no such fixture")
			}
			f(t, r, exchanges)
		})
	}
}

// Every call sends what IM's page shows, field by field, and reads its answer.
func TestEndpoints(t *testing.T) {
	each(t, func(t *testing.T, r row, exchanges []exchange) {
		f := newFake(t, newClock())
		f.answers(f.expecting(r.command, exchanges))
		got, err := r.call(ctx(t), f.client())
		f.settled()
		if !errors.Is(err, r.err) {
			t.Fatalf("error %v, want %v", err, r.err)
		}
		if !reflect.DeepEqual(got, r.want) {
			t.Errorf("got  %+v\nwant %+v", got, r.want)
		}
		if n := len(f.requests()); n != len(exchanges) {
			t.Errorf("%d requests, want %d", n, len(exchanges))
		}
	})
}

// After a lost answer a call is repeated byte by byte, or not at all.
func TestLostAnswers(t *testing.T) {
	each(t, func(t *testing.T, r row, exchanges []exchange) {
		f := newFake(t, newClock())
		rest, lost := f.expecting(r.command, exchanges), false
		f.answers(func(q received) reply {
			if !lost {
				lost = true
				return reply{lost: true}
			}
			return rest(q)
		})
		got, err := r.call(ctx(t), f.client())
		sent := f.requests()
		if r.once {
			if e := only(t, err, im.ClassTransient); !e.MayHaveWorked || len(sent) != 1 {
				t.Errorf("%d requests, %v", len(sent), err)
			}
			return
		}
		f.settled()
		if len(sent) != len(exchanges)+1 || sent[0].body != sent[1].body {
			t.Errorf("%d requests, want %d; the first two:\n%s\n%s", len(sent), len(exchanges)+1, sent[0].body, sent[1].body)
		}
		if !errors.Is(err, r.err) || !reflect.DeepEqual(got, r.want) {
			t.Errorf("got %+v, %v\nwant %+v, %v", got, err, r.want, r.err)
		}
	})
}

func TestEveryFixtureIsUsed(t *testing.T) {
	for command, f := range fixtures(t) {
		for name := range f.Cases {
			if !slices.ContainsFunc(rows, func(r row) bool { return r.command == command && r.name == name }) {
				t.Errorf("no call uses %s %s", command, name)
			}
		}
	}
}

// mutation is a mistake that a client could make; it reports whether the request
// had a place for it.
type mutation struct {
	name   string
	mutate func(rng *rand.Rand, req *http.Request, body map[string]any) bool
}

// mutateSome changes one value of a kind somewhere in the body.
func mutateSome[T any](change func(T) any) func(*rand.Rand, *http.Request, map[string]any) bool {
	return func(rng *rand.Rand, _ *http.Request, body map[string]any) bool {
		var places []func()
		var walk func(v any, set func(any))
		walk = func(v any, set func(any)) {
			if x, ok := v.(T); ok {
				places = append(places, func() { set(change(x)) })
			}
			switch v := v.(type) {
			case map[string]any:
				for _, name := range slices.Sorted(maps.Keys(v)) {
					walk(v[name], func(to any) { v[name] = to })
				}
			case []any:
				for i := range v {
					walk(v[i], func(to any) { v[i] = to })
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(body)) {
			walk(body[name], func(to any) { body[name] = to })
		}
		if len(places) == 0 {
			return false
		}
		places[rng.IntN(len(places))]()
		return true
	}
}

// mutateField changes one of the body's own fields.
func mutateField(change func(body map[string]any, name string)) func(*rand.Rand, *http.Request, map[string]any) bool {
	return func(rng *rand.Rand, _ *http.Request, body map[string]any) bool {
		names := slices.Sorted(maps.Keys(body))
		if len(names) == 0 {
			return false
		}
		change(body, names[rng.IntN(len(names))])
		return true
	}
}

func mutateRequest(change func(*http.Request)) func(*rand.Rand, *http.Request, map[string]any) bool {
	return func(_ *rand.Rand, req *http.Request, _ map[string]any) bool {
		change(req)
		return true
	}
}

func mutateQuery(name, value string) func(*rand.Rand, *http.Request, map[string]any) bool {
	return mutateRequest(func(req *http.Request) {
		q := req.URL.Query()
		q.Set(name, value)
		req.URL.RawQuery = q.Encode()
	})
}

var mutations = []mutation{
	{"a field in the wrong case", mutateField(func(body map[string]any, name string) {
		end := len(name) - 1
		wrong := name[:end] + strings.ToUpper(name[end:])
		if wrong == name {
			wrong = name[:end] + strings.ToLower(name[end:])
		}
		body[wrong] = body[name]
		delete(body, name)
	})},
	{"a field missing", mutateField(func(body map[string]any, name string) { delete(body, name) })},
	{"a field too many", mutateField(func(body map[string]any, _ string) { body["Extra"] = 1 })},
	{"text for a number", mutateSome(func(n json.Number) any { return n.String() })},
	{"a number for text", mutateSome(func(string) any { return 7 })},
	{"another number", mutateSome(func(n json.Number) any { return json.Number("1" + n.String()) })},
	{"another text", mutateSome(func(s string) any { return s + "x" })},
	{"text in the wrong case", mutateSome(func(s string) any {
		if lower := strings.ToLower(s); lower != s {
			return lower
		}
		return strings.ToUpper(s) + "!"
	})},
	{"one item for a list", mutateSome(func(list []any) any { return list[0] })},
	{"an item missing", mutateSome(func(list []any) any { return list[1:] })},
	{"the wrong service", mutateRequest(func(req *http.Request) {
		req.URL.Path = strings.Replace(req.URL.Path, "/v4/", "/v4/other_", 1)
	})},
	{"the wrong command", mutateRequest(func(req *http.Request) { req.URL.Path += "_new" })},
	{"no version", mutateRequest(func(req *http.Request) { req.URL.Path = strings.Replace(req.URL.Path, "/v4", "", 1) })},
	{"another method", mutateRequest(func(req *http.Request) { req.Method = http.MethodPut })},
	{"another admin", mutateQuery("identifier", "alice")},
	{"another app", mutateQuery("sdkappid", "1400000002")},
	{"a random too large", mutateQuery("random", "4294967296")},
	{"a form", mutateQuery("contenttype", "form")},
}

// mutant sends requests on as a mistaken client would have.
type mutant struct {
	mutation
	rng     *rand.Rand
	applied bool
}

func (m *mutant) RoundTrip(req *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	body := decoded(raw).(map[string]any)
	u := *req.URL
	changed := req.Clone(req.Context())
	changed.URL = &u
	m.applied = m.mutate(m.rng, changed, body) || m.applied
	raw, err = json.Marshal(body)
	if err != nil {
		return nil, err
	}
	changed.Body, changed.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return http.DefaultTransport.RoundTrip(changed)
}

// A mistake in any request is noticed by the check of TestEndpoints: each
// mutation is made to the requests of every call, at a place drawn from the seed.
func TestMistakesAreNoticed(t *testing.T) {
	known := fixtures(t)
	for seed, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			f := newFake(t, newClock())
			applied := 0
			for _, r := range rows {
				f.forget()
				f.answers(f.expecting(r.command, known[r.command].Cases[r.name]))
				mutated := &mutant{mutation: m, rng: rand.New(rand.NewPCG(uint64(seed), 1))}
				_, _ = r.call(ctx(t), f.client(func(conf *im.Config) { conf.Transport = mutated }))
				if !mutated.applied {
					continue
				}
				applied++
				if f.fine() {
					t.Errorf("%s %s: nobody noticed: %s", r.command, r.name, f.requests()[0].body)
				}
			}
			if applied == 0 {
				t.Error("no request had a place for it")
			}
		})
	}
}
