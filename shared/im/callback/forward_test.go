package callback

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// direct is a transport that brings requests to a handler without a network;
// without a handler it never answers.
type direct struct{ http.Handler }

// unreachable is a transport without a network.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.Handler == nil {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// forward makes near pass on what register wants to far.
func forward(t *testing.T, near, far *rig, register func(*Mux)) {
	t.Helper()
	register(far.mux)
	if err := near.mux.Forward("far", "http://far.test/im", &http.Client{Transport: direct{far.ep}}, register); err != nil {
		t.Fatal(err)
	}
}

func TestForwardedVerdictsCount(t *testing.T) {
	for name, c := range map[string]struct {
		command, want string
		register      func(*Mux)
	}{
		"allow": {beforeSend, allows, func(m *Mux) {
			Before(m, "far", FailClosed, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v, nil })
		}},
		"code": {beforeSend, `{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10123}`, func(m *Mux) {
			Before(m, "far", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v.RejectCode(10123, "no"), nil })
		}},
		"drop": {beforeSend, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}`, func(m *Mux) {
			Before(m, "far", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v.Drop(), nil })
		}},
		"members": {"Group.CallbackBeforeInviteJoinGroup", `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedMembers_Account":["jared"]}`, func(m *Mux) {
			Before(m, "far", FailOpen, func(ctx, *GroupBeforeInviteJoin) (v InviteVerdict, err error) { return v.Refuse("jared"), nil })
		}},
		"friends": {
			"Sns.CallbackPrevFriendAdd", `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"id1","ResultCode":38001,"ResultInfo":"no"}]}`,
			func(m *Mux) {
				Before(m, "far", FailOpen, func(ctx, *SnsPrevFriendAdd) (v FriendVerdict, err error) { return v.Deny("id1", 38001, "no"), nil })
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := newRig(t, nil), newRig(t, nil)
			forward(t, near, far, c.register)
			near.answers(c.command, c.want)
			if failed := near.ep.Stats().Rules; len(failed) > 0 {
				t.Errorf("failed: %v, %s", failed, near.log)
			}
		})
	}
}

// A forwarded rule stands in its turn: it sees what was rewritten before it, and
// what it rewrites is seen after it.
func TestForwardedRewritesChain(t *testing.T) {
	near, far := newRig(t, nil), newRig(t, nil)
	add := func(m *Mux, suffix string) {
		Before(m, suffix, FailOpen, func(_ ctx, e *GroupBeforeSendMsg) (v GroupVerdict, err error) {
			return v.Rewrite(im.Text(e.MsgBody.PlainText() + suffix)), nil
		})
	}
	add(near.mux, " 1")
	forward(t, near, far, func(m *Mux) { add(m, " 2") })
	add(near.mux, " 3")
	near.answers(beforeSend, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
		"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"red packet 1 2 3"}}]}`)
}

// Rules of the Allowed kind wait for the last word, wherever they run.
func TestForwardedAllowedRulesWaitForTheVerdict(t *testing.T) {
	for _, refused := range []bool{true, false} {
		near, far := newRig(t, nil), newRig(t, nil)
		asked, told := 0, ""
		forward(t, near, far, func(m *Mux) {
			Before(m, "far", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) {
				asked++
				return v, nil
			})
			Allowed(m, "far", func(_ ctx, e *GroupBeforeSendMsg) error {
				told += e.MsgBody.PlainText()
				return nil
			})
		})
		Before(near.mux, "last word", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) {
			if refused {
				return v.Reject(""), nil
			}
			return v.Rewrite(im.Text("final")), nil
		})
		near.send(beforeSend, string(sample(t, beforeSend)))
		want := map[bool]string{true: "", false: "final"}[refused]
		if asked != 1 || told != want {
			t.Errorf("refused %v: asked %d times, told %q", refused, asked, told)
		}
	}
}

func TestForwardedAfterCallbacksAreOriginal(t *testing.T) {
	near, far := newRig(t, nil), newRig(t, nil)
	near.signer.ClientIP = "203.0.113.9"
	var got *GroupAfterSendMsg
	forward(t, near, far, func(m *Mux) {
		After(m, "count", func(_ ctx, e *GroupAfterSendMsg) error {
			got = e
			return nil
		})
	})
	local := 0
	After(near.mux, "near", func(ctx, *GroupAfterSendMsg) error {
		local++
		return nil
	})
	near.answers(afterSend, allows)
	if local != 1 || got == nil || got.Query.ClientIP != "203.0.113.9" || string(got.Raw()) != string(sample(t, afterSend)) {
		t.Errorf("local %d, far got %+v", local, got)
	}
	near.answers("State.StateChange", allows)
	if far.ep.Stats().Unknown+far.ep.Stats().Deferred != 0 {
		t.Error("what nobody wants there was forwarded")
	}
}

// A function that is away: before-callbacks follow its strictest policy,
// after-callbacks wait in the queue under its name, and are signed anew when
// their turn comes long after the first signature has expired.
// TestForwardedIsWhatConcernsTheFunction: an after-callback that is about nothing the
// function's rules look at stays here; no rule but those that it concerns hears of it.
func TestForwardedIsWhatConcernsTheFunction(t *testing.T) {
	const room, ticket = `{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":"lobby","From_Account":"a"}`, `{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":"TICKET#1","From_Account":"a"}`
	for name, tt := range map[string]struct {
		more func(*Mux) // a rule of the function that wants all
		want int
	}{
		"one rule":                  {func(*Mux) {}, 1},
		"another rule that is told": {func(m *Mux) { After(m, "all", func(ctx, *GroupAfterSendMsg) error { return nil }) }, 2},
	} {
		near, far := newRig(t, nil), newRig(t, nil)
		forwarded, heard := 0, []string{}
		register := func(m *Mux) {
			AfterAbout(m, "tickets", func(e *GroupAfterSendMsg) bool { return strings.HasPrefix(e.GroupID, "TICKET#") }, func(_ ctx, e *GroupAfterSendMsg) error {
				heard = append(heard, e.GroupID)
				return nil
			})
			tt.more(m)
		}
		register(far.mux)
		counting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { forwarded++; far.ep.ServeHTTP(w, r) })
		if err := near.mux.Forward("far", "http://far.test/im", &http.Client{Transport: direct{counting}}, register); err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{room, ticket} {
			if w := near.send("Group.CallbackAfterSendMsg", body); w.Code != http.StatusOK {
				t.Errorf("%s: status %d", name, w.Code)
			}
		}
		if forwarded != tt.want || len(heard) != 1 || heard[0] != "TICKET#1" {
			t.Errorf("%s: %d callbacks are forwarded, want %d; the rule hears of %q", name, forwarded, tt.want, heard)
		}
	}
}

func TestForwardingToAFunctionThatIsAway(t *testing.T) {
	near, far := newRig(t, nil), newRig(t, nil)
	counted := 0
	register := func(m *Mux) {
		Before(m, "strict", FailClosed, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v, nil })
		Before(m, "lax", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v, nil })
		Before(m, "lax", FailOpen, func(ctx, *C2CBeforeSendMsg) (v C2CVerdict, err error) { return v, nil })
		After(m, "count", func(ctx, *GroupAfterSendMsg) error {
			counted++
			return nil
		})
	}
	register(far.mux)
	away := true
	client := &http.Client{Transport: direct{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away {
			http.Error(w, "not deployed", http.StatusBadGateway)
			return
		}
		far.ep.ServeHTTP(w, r)
	})}}
	if err := near.mux.Forward("counter", "http://far.test/im", client, register); err != nil {
		t.Fatal(err)
	}
	near.answers(beforeSend, refuses)
	near.answers("C2C.CallbackBeforeSendMsg", allows)
	near.answers(afterSend, allows)
	if len(near.deferred) != 1 || near.deferred[0].Rule != "counter" {
		t.Fatalf("deferred %+v", near.deferred)
	}
	if err := near.mux.Redo(t.Context(), near.deferred[0]); err == nil {
		t.Error("done, though the function is away")
	}
	away = false
	near.clock.move(time.Hour)
	far.clock.move(time.Hour)
	if err := near.mux.Redo(t.Context(), near.deferred[0]); err != nil || counted != 1 {
		t.Errorf("%v, counted %d; %s", err, counted, far.log)
	}
	// What the function itself deferred is done here, by its own rule.
	aside := near.deferred[0]
	aside.Rule = "count"
	if err := near.mux.Redo(t.Context(), aside); err != nil || counted != 2 {
		t.Errorf("the function's own rule: %v, counted %d", err, counted)
	}
	near.quotesNothing("far.test", "red packet")
}

// The URL and the query, which carries the signature, are in no error.
func TestForwardingFailsDiscreetly(t *testing.T) {
	near := newRig(t, nil)
	err := near.mux.Forward("far", "http://far.test/im/s3cret", &http.Client{Transport: unreachable{}}, func(m *Mux) {
		After(m, "far", func(ctx, *GroupAfterSendMsg) error { return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	near.answers(afterSend, allows)
	if near.noted("connection refused") != 1 {
		t.Errorf("logged %s", near.log)
	}
	near.quotesNothing("far.test", "s3cret", "SdkAppid")
}

func TestForwardingStaysWithinTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := newRig(t, nil)
		err := near.mux.Forward("silent", "http://far.test/im", &http.Client{Transport: direct{}}, func(m *Mux) {
			Before(m, "far", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v, nil })
			After(m, "far", func(ctx, *GroupAfterSendMsg) error { return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{beforeSend, afterSend} {
			start := time.Now()
			near.answers(command, allows)
			if took := time.Since(start); took > DefaultDeadline {
				t.Errorf("%s: answered after %v", command, took)
			}
		}
		if s := near.ep.Stats(); s.Rules["silent"].Timeouts != 2 || s.Deferred != 1 {
			t.Errorf("counted %+v", s)
		}
		near.quotesNothing("far.test")
	})
}

// A forwarding URL that points back, at once or round about, ends at the first
// endpoint that would forward again, and its jobs fail instead of multiplying.
func TestForwardingDoesNotLoop(t *testing.T) {
	one, two := newRig(t, nil), newRig(t, nil)
	hops, local := 0, 0
	to := func(ep *Endpoint) *http.Client {
		return &http.Client{Transport: direct{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hops++
			ep.ServeHTTP(w, r)
		})}}
	}
	register := func(m *Mux) {
		Before(m, "words", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v, nil })
		After(m, "count", func(ctx, *GroupAfterSendMsg) error {
			local++
			return nil
		})
	}
	if err := errors.Join(
		one.mux.Forward("round", "http://two.test/im", to(two.ep), register),
		two.mux.Forward("about", "http://one.test/im", to(one.ep), register),
	); err != nil {
		t.Fatal(err)
	}
	After(two.mux, "local", func(ctx, *GroupAfterSendMsg) error {
		local++
		return nil
	})
	one.answers(beforeSend, allows)
	one.answers(afterSend, allows)
	if hops != 2 || local != 0 {
		t.Errorf("%d hops, %d effects of a callback that was refused", hops, local)
	}
	if got := two.ep.Stats().Refused[ErrLoop.Code]; got != 2 {
		t.Errorf("refused %d", got)
	}
	if len(one.deferred) != 1 || len(two.deferred) != 0 {
		t.Fatalf("deferred %d and %d", len(one.deferred), len(two.deferred))
	}
	if err := one.mux.Redo(t.Context(), one.deferred[0]); !errors.Is(err, ErrLoop) {
		t.Errorf("done again: %v", err)
	}
	if len(one.deferred) != 1 || len(two.deferred) != 0 {
		t.Error("a job made another job")
	}
}

// Only what an endpoint says counts as a verdict.
func TestForwardedAnswersAreChecked(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"text":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("OK")) },
		"null":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("null")) },
		"failure":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(failure("")) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"ActionStatus":"OK","ErrorInfo":"` + strings.Repeat("x", MaxBody) + `"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			near := newRig(t, nil)
			client := &http.Client{
				Transport:     direct{answer},
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}
			if err := near.mux.Forward("far", "http://far.test/im", client, func(m *Mux) {
				Before(m, "far", FailClosed, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v, nil })
			}); err != nil {
				t.Fatal(err)
			}
			near.answers(beforeSend, refuses)
		})
	}
}

func TestForwardNeedsAURLAndAClient(t *testing.T) {
	for _, target := range []string{"", "far.test/im", "ftp://far.test/im", "http://far.test/im?x=1", "http://", "http://far.test/%zz"} {
		if err := NewMux().Forward("far", target, http.DefaultClient, func(*Mux) {}); err == nil {
			t.Errorf("%q was accepted", target)
		}
	}
	if err := NewMux().Forward("far", "http://far.test/im", nil, func(*Mux) {}); err == nil {
		t.Error("no client was accepted")
	}
}

// Over a real connection, as deployed.
func TestForwardOverHTTP(t *testing.T) {
	near, far := newRig(t, nil), newRig(t, func(c *Config) { c.PathSecret = "s" })
	server := httptest.NewServer(far.routes())
	defer server.Close()
	register := func(m *Mux) {
		Before(m, "words", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v.Reject("no"), nil })
	}
	register(far.mux)
	if err := near.mux.Forward("before-send-filter", server.URL+"/im/s", server.Client(), register); err != nil {
		t.Fatal(err)
	}
	near.answers(beforeSend, `{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":1}`)
}
