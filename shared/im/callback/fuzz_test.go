package callback

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Whatever decodes comes out again with nothing lost, decodes to the same
// event, and is what encoding/json reads.
func FuzzEvent(f *testing.F) {
	for command := range table() {
		f.Add(command, sample(f, command))
	}
	f.Add("Group.CallbackBeforeSendMsg", []byte(strange))
	f.Add("No.Such", []byte(`{"a":"\ud800\u0000","b":[-0.0e+1,{"":[]}]}`))
	f.Add("State.StateChange", []byte(`{"Info":{"info":null,"Action":"\/"},"KickedDevice":[null,{}]}`))
	f.Fuzz(func(t *testing.T, command string, body []byte) {
		e, err := Decode(command, body)
		if err != nil {
			if reason := new(Reason); !errors.As(err, &reason) {
				t.Fatalf("%v is not a reason", err)
			}
			checkRefusal(t, command, body, err)
			return
		}
		encoded, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		sameJSON(t, encoded, body)
		again, err := Decode(command, encoded)
		if err != nil {
			t.Fatal(err)
		}
		e.base().raw, again.base().raw = nil, nil
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("decoded %+v, then %+v", e, again)
		}
		// What encoding/json refuses, a number as text for one, has no peer.
		if other := lookUp(command).make(); !misspelt(t, command, body) && json.Unmarshal(body, other) == nil {
			other.base().Query = e.base().Query
			if !reflect.DeepEqual(e, other) {
				t.Fatalf("decoded %+v, encoding/json %+v", e, other)
			}
		}
	})
}

// checkRefusal holds a refusal against encoding/json, which is to refuse too
// where the rules are the same.
func checkRefusal(t *testing.T, command string, body []byte, reason error) {
	switch {
	case errors.Is(reason, ErrWrongType):
		if json.Unmarshal(body, lookUp(command).make()) == nil {
			t.Fatalf("%s: %v, but encoding/json reads it", body, reason)
		}
	case errors.Is(reason, ErrNotObject):
		nested := strings.Count(string(body), "{") + strings.Count(string(body), "[")
		var v map[string]any
		if json.Unmarshal(body, &v) == nil && v != nil && nested <= maxDepth && len(v) <= maxFields && strings.Count(string(body), ":") <= maxFields {
			t.Fatalf("%s: %v, but encoding/json reads it", body, reason)
		}
	}
}

// misspelt reports whether a name differs from one of ours in case alone, which
// encoding/json takes for ours and we do not.
func misspelt(t *testing.T, command string, body []byte) bool {
	var ours []string
	for name := range lookUp(command).readers() {
		ours = append(ours, name)
	}
	differs := func(fs map[string]any, ours ...string) bool {
		for name := range fs {
			if !slices.Contains(ours, name) && slices.ContainsFunc(ours, func(o string) bool { return strings.EqualFold(o, name) }) {
				return true
			}
		}
		return false
	}
	top := generic(t, body).(map[string]any)
	elements, _ := top["MsgBody"].([]any)
	return differs(top, ours...) || slices.ContainsFunc(elements, func(e any) bool {
		element, _ := e.(map[string]any)
		return differs(element, "MsgType", "MsgContent")
	})
}

// The endpoint answers every request in IM's envelope and lets none reach a
// rule that is not signed.
func FuzzEndpoint(f *testing.F) {
	c := newClock()
	signed, err := (Signer{SDKAppID: app, Token: token, Now: c.now}).Request(f.Context(), "http://im/im", "", sample(f, "Group.CallbackBeforeSendMsg"))
	if err != nil {
		f.Fatal(err)
	}
	for command := range table() {
		f.Add(http.MethodPost, "SdkAppid=1400000001&CallbackCommand="+command, sample(f, command), "")
	}
	f.Add(http.MethodPost, signed.URL.RawQuery, sample(f, "Group.CallbackBeforeSendMsg"), "")
	f.Add(http.MethodGet, "", []byte(nil), "x")
	f.Add(http.MethodPost, "SdkAppid=1&SdkAppid=2&CallbackCommand=%zz;", []byte("{"), "")
	f.Fuzz(func(t *testing.T, method, query string, body []byte, hop string) {
		for _, unsigned := range []bool{true, false} {
			reached := false
			m := NewMux()
			m.before["Group.CallbackBeforeSendMsg"] = []beforeRule{{"r", FailOpen, func(context.Context, Event) (*outcome, error) {
				reached = true
				return new(outcome), nil
			}}}
			conf := Config{SDKAppID: app, Mux: m, AllowUnsigned: true, Now: c.now, Log: silent}
			if !unsigned {
				conf.Token = token
			}
			ep, err := NewEndpoint(conf)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, "/im", strings.NewReader(string(body)))
			r.Method, r.URL.RawQuery = method, query
			r.Header.Set(ForwardedHeader, hop)
			w := httptest.NewRecorder()
			ep.ServeHTTP(w, r)
			var a answer
			if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.ActionStatus == "" {
				t.Fatalf("answered %s: %v", w.Body, err)
			}
			if (w.Code == http.StatusOK) != (a.ActionStatus == "OK") {
				t.Fatalf("answered %d with %s", w.Code, w.Body)
			}
			if reached && !unsigned && !strings.Contains(query, Sign(token, c.seconds())) {
				t.Fatalf("an unsigned request reached a rule: %s", query)
			}
		}
	})
}
