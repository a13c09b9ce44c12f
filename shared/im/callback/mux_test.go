package callback

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// A rule's event type decides what it may answer. What the compiler checks at
// Before, Allowed and After is whether the type implements these interfaces.
func TestEachEventTakesOneKindOfAnswer(t *testing.T) {
	want := map[string]string{
		"C2C.CallbackBeforeSendMsg":           "c2c",
		"Group.CallbackBeforeSendMsg":         "group",
		"Group.CallbackBeforeCreateGroup":     "entry",
		"Group.CallbackBeforeCreateTopic":     "entry",
		"Group.CallbackBeforeApplyJoinGroup":  "entry",
		"Group.CallbackBeforeInviteJoinGroup": "invite",
		"Sns.CallbackPrevFriendAdd":           "friend",
		"Sns.CallbackPrevFriendResponse":      "friend",
	}
	for command, entry := range table() {
		var takes []string
		e := entry.make()
		if _, is := e.(BeforeEvent[C2CVerdict]); is {
			takes = append(takes, "c2c")
		}
		if _, is := e.(BeforeEvent[GroupVerdict]); is {
			takes = append(takes, "group")
		}
		if _, is := e.(BeforeEvent[EntryVerdict]); is {
			takes = append(takes, "entry")
		}
		if _, is := e.(BeforeEvent[InviteVerdict]); is {
			takes = append(takes, "invite")
		}
		if _, is := e.(BeforeEvent[FriendVerdict]); is {
			takes = append(takes, "friend")
		}
		if _, is := e.(AfterEvent); is {
			takes = append(takes, "nothing")
		}
		wanted, asks := want[command]
		if !asks {
			wanted = "nothing"
		}
		if len(takes) != 1 || takes[0] != wanted {
			t.Errorf("%s takes %q, want %s", command, takes, wanted)
		}
	}
}

// rule registers a before-rule that always says v.
// always registers a before-rule that says v whatever it is asked.
func always[E BeforeEvent[V], V Verdict](r *rig, v V) {
	Before(r.mux, "rule", FailOpen, func(ctx, E) (V, error) { return v, nil })
}

func TestVerdictsAsIMReadsThem(t *testing.T) {
	const (
		c2c    = "C2C.CallbackBeforeSendMsg"
		create = "Group.CallbackBeforeCreateGroup"
		topic  = "Group.CallbackBeforeCreateTopic"
		apply  = "Group.CallbackBeforeApplyJoinGroup"
		invite = "Group.CallbackBeforeInviteJoinGroup"
		add    = "Sns.CallbackPrevFriendAdd"
		reply  = "Sns.CallbackPrevFriendResponse"
	)
	envelope := func(code, info, more string) string {
		return `{"ActionStatus":"OK","ErrorCode":` + code + `,"ErrorInfo":"` + info + `"` + more + `}`
	}
	text := im.Text("***")
	rewritten := `,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]`
	for name, c := range map[string]struct {
		command, want, verdict string
		register               func(*rig)
	}{
		"c2c allow":   {c2c, allows, "allow", func(r *rig) { always[*C2CBeforeSendMsg](r, C2CVerdict{}) }},
		"c2c reject":  {c2c, envelope("1", "no", ""), "reject", func(r *rig) { always[*C2CBeforeSendMsg](r, C2CVerdict{}.Reject("no")) }},
		"c2c code":    {c2c, envelope("120001", "no", ""), "reject", func(r *rig) { always[*C2CBeforeSendMsg](r, C2CVerdict{}.RejectCode(120001, "no")) }},
		"c2c drop":    {c2c, envelope("2", "", ""), "drop", func(r *rig) { always[*C2CBeforeSendMsg](r, C2CVerdict{}.Drop()) }},
		"c2c rewrite": {c2c, envelope("0", "", rewritten), "rewrite", func(r *rig) { always[*C2CBeforeSendMsg](r, C2CVerdict{}.Rewrite(text)) }},
		"c2c data": {c2c, envelope("0", "", `,"CloudCustomData":""`), "rewrite", func(r *rig) {
			always[*C2CBeforeSendMsg](r, C2CVerdict{}.SetCustomData(""))
		}},
		"group allow":  {beforeSend, allows, "allow", func(r *rig) { always[*GroupBeforeSendMsg](r, GroupVerdict{}) }},
		"group reject": {beforeSend, envelope("1", "no", ""), "reject", func(r *rig) { always[*GroupBeforeSendMsg](r, GroupVerdict{}.Reject("no")) }},
		"group code":   {beforeSend, envelope("10200", "no", ""), "reject", func(r *rig) { always[*GroupBeforeSendMsg](r, GroupVerdict{}.RejectCode(10200, "no")) }},
		"group drop":   {beforeSend, envelope("2", "", ""), "drop", func(r *rig) { always[*GroupBeforeSendMsg](r, GroupVerdict{}.Drop()) }},
		"group rewrite": {beforeSend, envelope("0", "", rewritten+`,"CloudCustomData":"d"`), "rewrite", func(r *rig) {
			always[*GroupBeforeSendMsg](r, GroupVerdict{}.Rewrite(text).SetCustomData("d"))
		}},
		"create reject": {create, envelope("1", "no", ""), "reject", func(r *rig) { always[*GroupBeforeCreate](r, EntryVerdict{}.Reject("no")) }},
		"topic code":    {topic, envelope("10100", "no", ""), "reject", func(r *rig) { always[*TopicBeforeCreate](r, EntryVerdict{}.RejectCode(10100, "no")) }},
		"apply allow":   {apply, allows, "allow", func(r *rig) { always[*GroupBeforeApplyJoin](r, EntryVerdict{}) }},
		"invite partly": {invite, envelope("0", "", `,"RefusedMembers_Account":["jared"]`), "partly", func(r *rig) {
			always[*GroupBeforeInviteJoin](r, InviteVerdict{}.Refuse("jared"))
		}},
		"invite reject": {invite, envelope("1", "no", ""), "reject", func(r *rig) { always[*GroupBeforeInviteJoin](r, InviteVerdict{}.Reject("no")) }},
		"invite code":   {invite, envelope("10150", "no", ""), "reject", func(r *rig) { always[*GroupBeforeInviteJoin](r, InviteVerdict{}.RejectCode(10150, "no")) }},
		"friend allow": {add, envelope("0", "", `,"ResultItem":[{"To_Account":"id1","ResultCode":0,"ResultInfo":""}]`), "allow", func(r *rig) {
			always[*SnsPrevFriendAdd](r, FriendVerdict{})
		}},
		"friend deny": {add, envelope("0", "", `,"ResultItem":[{"To_Account":"id1","ResultCode":38001,"ResultInfo":"no"}]`), "partly", func(r *rig) {
			always[*SnsPrevFriendAdd](r, FriendVerdict{}.Deny("somebody else", 38000, "").Deny("id1", 38001, "no").Deny("id1", 39000, "later"))
		}},
		"friend response": {reply, envelope("0", "", `,"ResultItem":[{"To_Account":"id1","ResultCode":39000,"ResultInfo":"no"}]`), "partly", func(r *rig) {
			always[*SnsPrevFriendResponse](r, FriendVerdict{}.Deny("id1", 39000, "no"))
		}},
		"friend without rules": {add, envelope("0", "", `,"ResultItem":[{"To_Account":"id1","ResultCode":0,"ResultInfo":""}]`), "allow", func(*rig) {}},
	} {
		t.Run(name, func(t *testing.T) {
			var verdict string
			r := newRig(t, func(c *Config) { c.Observe = func(x Exchange) { verdict = x.Verdict } })
			c.register(r)
			r.answers(c.command, c.want)
			if verdict != c.verdict {
				t.Errorf("shown as %s, want %s", verdict, c.verdict)
			}
			if failed := r.ep.Stats().Rules; len(failed) > 0 {
				t.Errorf("failed: %v", failed)
			}
		})
	}
}

// A code of another family would mean something else to IM, or nothing: the
// refusal stands, with the plain code, and the mistake is reported.
func TestCodesOutsideTheFamilysRange(t *testing.T) {
	for name, register := range map[string]func(*rig){
		"group":  func(r *rig) { always[*GroupBeforeSendMsg](r, GroupVerdict{}.RejectCode(120001, "")) },
		"c2c":    func(r *rig) { always[*C2CBeforeSendMsg](r, C2CVerdict{}.RejectCode(10100, "")) },
		"c2c 0":  func(r *rig) { always[*C2CBeforeSendMsg](r, C2CVerdict{}.RejectCode(0, "")) },
		"create": func(r *rig) { always[*GroupBeforeCreate](r, EntryVerdict{}.RejectCode(10099, "")) },
		"invite": func(r *rig) { always[*GroupBeforeInviteJoin](r, InviteVerdict{}.RejectCode(10201, "")) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			register(r)
			r.answers(r.mux.Commands()[0], refuses)
			if r.ep.Stats().Rules["rule"].Failed != 1 {
				t.Error("not reported")
			}
		})
	}
	r := newRig(t, nil)
	always[*SnsPrevFriendAdd](r, FriendVerdict{}.Deny("id1", 1, "no"))
	r.answers("Sns.CallbackPrevFriendAdd",
		`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"id1","ResultCode":38000,"ResultInfo":"no"}]}`)
}

func TestRewritesChain(t *testing.T) {
	r := newRig(t, nil)
	var received *GroupBeforeSendMsg
	add := func(suffix string) func(ctx, *GroupBeforeSendMsg) (GroupVerdict, error) {
		return func(_ ctx, e *GroupBeforeSendMsg) (v GroupVerdict, err error) {
			if received == nil {
				received = e
			}
			return v.Rewrite(im.Text(e.MsgBody.PlainText() + suffix)), nil
		}
	}
	Before(r.mux, "one", FailOpen, add(" 1"))
	Before(r.mux, "data", FailOpen, func(_ ctx, e *GroupBeforeSendMsg) (v GroupVerdict, err error) {
		return v.SetCustomData(e.CloudCustomData + "!"), nil
	})
	Before(r.mux, "two", FailOpen, add(" 2"))
	var final string
	Allowed(r.mux, "seen", func(_ ctx, e *GroupBeforeSendMsg) error {
		final = e.MsgBody.PlainText() + e.CloudCustomData
		return nil
	})
	r.answers(beforeSend, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"order 7!",
		"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"red packet 1 2"}}]}`)
	if final != "red packet 1 2order 7!" {
		t.Errorf("Allowed saw %q", final)
	}
	if received.MsgBody.PlainText() != "red packet" {
		t.Error("a rule's event changed after it was handed out")
	}
}

func TestFirstRefusalWins(t *testing.T) {
	r := newRig(t, nil)
	var asked []string
	say := func(name string, v GroupVerdict) {
		Before(r.mux, name, FailOpen, func(ctx, *GroupBeforeSendMsg) (GroupVerdict, error) {
			asked = append(asked, name)
			return v, nil
		})
	}
	say("rewrites", GroupVerdict{}.Rewrite(im.Text("x")))
	say("drops", GroupVerdict{}.Drop())
	say("rejects", GroupVerdict{}.Reject("no"))
	Allowed(r.mux, "never", func(ctx, *GroupBeforeSendMsg) error {
		asked = append(asked, "never")
		return nil
	})
	r.answers(beforeSend, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}`)
	if !reflect.DeepEqual(asked, []string{"rewrites", "drops"}) {
		t.Errorf("asked %q", asked)
	}
}

func TestRefusedMembersAddUp(t *testing.T) {
	r := newRig(t, nil)
	always[*GroupBeforeInviteJoin](r, InviteVerdict{}.Refuse("jared"))
	always[*GroupBeforeInviteJoin](r, InviteVerdict{}.Refuse("tommy"))
	r.answers("Group.CallbackBeforeInviteJoinGroup", `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedMembers_Account":["jared","tommy"]}`)
}

// fail is each way a rule can fail.
var fail = map[string]func(ctx) error{
	"error":    func(ctx) error { return errors.New("the store is away") },
	"panic":    func(ctx) error { panic("whisper") },
	"nil":      func(ctx) error { writeTo(nil); return nil },
	"Goexit":   func(ctx) error { runtime.Goexit(); return nil },
	"late":     func(c ctx) error { <-c.Done(); return c.Err() },
	"careless": func(ctx) error { time.Sleep(time.Hour); return nil },
}

// IM never asks twice and lets a message pass when no answer comes in time, so
// an answer comes in time whatever a rule does, and says what its policy says.
func TestPolicies(t *testing.T) {
	for how, fail := range fail {
		for policy, want := range map[Policy]string{FailOpen: allows, FailClosed: refuses} {
			t.Run(how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil)
					Before(r.mux, "failing", policy, func(c ctx, _ *GroupBeforeSendMsg) (v GroupVerdict, err error) {
						return v.Drop(), fail(c) // a verdict beside an error does not count
					})
					start := time.Now()
					r.answers(beforeSend, want)
					if took := time.Since(start); took > DefaultDeadline {
						t.Errorf("answered after %v", took)
					}
					s := r.ep.Stats().Rules["failing"]
					timeouts := int64(0)
					if how == "late" || how == "careless" {
						timeouts = 1
					}
					if s.Failed != 1 || s.Timeouts != timeouts {
						t.Errorf("counted %+v", s)
					}
					if r.noted(`"rule":"failing"`) != 1 {
						t.Errorf("logged %s", r.log)
					}
					r.quotesNothing("whisper")
					r.noLeftovers()
				})
			})
		}
	}
}

// What the runtime says of a panic helps, and where it was; what the rule said
// may be a message.
func TestPanicsAreLoggedWithTheirPlace(t *testing.T) {
	r := newRig(t, nil)
	After(r.mux, "panics", func(c ctx, _ *GroupAfterSendMsg) error { return fail["nil"](c) })
	r.answers(afterSend, allows)
	if r.noted("assignment to entry in nil map") != 1 || r.noted("mux_test.go") == 0 {
		t.Errorf("logged %s", r.log)
	}
}

func TestFriendsFailClosedOneByOne(t *testing.T) {
	r := newRig(t, nil)
	Before(r.mux, "failing", FailClosed, func(ctx, *SnsPrevFriendAdd) (v FriendVerdict, err error) { return v, errors.New("away") })
	r.answers("Sns.CallbackPrevFriendAdd",
		`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"id1","ResultCode":38000,"ResultInfo":""}]}`)
}

// Rules that were never asked, because time ran out before, have failed too.
func TestTimeSpentByOneRuleIsMissedByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		Before(r.mux, "slow", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) {
			time.Sleep(time.Hour)
			return v, nil
		})
		Before(r.mux, "strict", FailClosed, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) {
			t.Error("asked after the deadline")
			return v, nil
		})
		r.answers(beforeSend, refuses)
		if s := r.ep.Stats().Rules; s["slow"].Timeouts != 1 || s["strict"].Timeouts != 1 {
			t.Errorf("counted %v", s)
		}
		r.noLeftovers()
	})
}

// noLeftovers lets rules that were given up on finish, within a bubble.
func (r *rig) noLeftovers() { time.Sleep(2 * time.Hour); synctest.Wait() }

func TestUnwritableRewriteFollowsThePolicy(t *testing.T) {
	r := newRig(t, nil)
	Before(r.mux, "broken", FailClosed, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) {
		return v.Rewrite(im.MsgBody{{MsgType: im.TextElem, MsgContent: json.RawMessage(`{"Text":`)}}), nil
	})
	r.answers(beforeSend, refuses)
}

func TestAllowedCannotChangeTheAnswer(t *testing.T) {
	for how, fail := range fail {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				ran := false
				Allowed(r.mux, "first", func(ctx, *GroupBeforeSendMsg) error {
					ran = true
					return nil
				})
				Allowed(r.mux, "failing", func(c ctx, _ *GroupBeforeSendMsg) error { return fail(c) })
				start := time.Now()
				r.answers(beforeSend, allows)
				if took := time.Since(start); took > allowedTime {
					t.Errorf("answered after %v", took)
				}
				if s := r.ep.Stats().Rules["failing"]; !ran || s.Failed != 1 || len(r.deferred) > 0 {
					t.Errorf("ran %v, counted %+v, deferred %v", ran, s, r.deferred)
				}
				r.noLeftovers()
			})
		})
	}
}

// A rule of the After kind that fails does not stop the others; it alone is kept
// for later, and only it runs again.
func TestFailedAfterRulesAreDeferredOneByOne(t *testing.T) {
	for how, fail := range fail {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				var counted, archived atomic.Int64
				var mended atomic.Bool
				After(r.mux, "count", func(_ ctx, e *GroupAfterSendMsg) error {
					counted.Add(1)
					return nil
				})
				After(r.mux, "archive", func(c ctx, e *GroupAfterSendMsg) error {
					if !mended.Load() {
						return fail(c)
					}
					if e.MsgSeq != 123 || e.Query.OptPlatform != "Web" || e.Command() != afterSend || string(e.Raw()) != string(sample(t, afterSend)) {
						t.Errorf("done again with %+v", e)
					}
					archived.Add(1)
					return nil
				})
				After(r.mux, "archive", func(ctx, *C2CAfterSendMsg) error { t.Error("wrong command"); return nil })
				start := time.Now()
				r.answers(afterSend, allows)
				if took := time.Since(start); took > DefaultDeadline {
					t.Errorf("answered after %v", took)
				}
				if len(r.deferred) != 1 || r.deferred[0].Rule != "archive" || counted.Load() != 1 {
					t.Fatalf("deferred %+v, counted %d", r.deferred, counted.Load())
				}
				job, err := json.Marshal(r.deferred[0])
				if err != nil {
					t.Fatal(err)
				}
				var d Deferred
				if err := json.Unmarshal(job, &d); err != nil {
					t.Fatal(err)
				}
				if how != "late" && how != "careless" {
					if err := r.mux.Redo(t.Context(), d); err == nil {
						t.Error("a rule that still fails was done")
					}
				}
				mended.Store(true)
				if err := r.mux.Redo(t.Context(), d); err != nil || archived.Load() != 1 || counted.Load() != 1 {
					t.Errorf("%v, archived %d, counted %d", err, archived.Load(), counted.Load())
				}
				if s := r.ep.Stats(); s.Deferred != 1 || s.Lost != 0 {
					t.Errorf("counted %+v", s)
				}
				r.noLeftovers()
			})
		})
	}
}

func TestRedoOfWhatIsGone(t *testing.T) {
	m := NewMux()
	After(m, "count", func(ctx, *GroupAfterSendMsg) error { return nil })
	for _, d := range []Deferred{{Rule: "gone", Command: afterSend}, {Rule: "count", Command: "C2C.CallbackAfterSendMsg"}} {
		if err := m.Redo(t.Context(), d); !errors.Is(err, ErrNoRule) {
			t.Errorf("%+v: %v", d, err)
		}
	}
	if err := m.Redo(t.Context(), Deferred{Rule: "count", Command: afterSend, Body: []byte("{")}); !errors.Is(err, ErrNotObject) {
		t.Error(err)
	}
}

// Only when the queue fails too is IM told, which may then repeat the callback.
func TestWhatCannotBeKeptIsA500(t *testing.T) {
	for how, keep := range map[string]func(ctx, Deferred) error{
		"nowhere":  nil,
		"error":    func(ctx, Deferred) error { return errors.New("the queue is away") },
		"panic":    func(ctx, Deferred) error { panic("whisper") },
		"careless": func(ctx, Deferred) error { time.Sleep(time.Hour); return nil },
	} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *Config) { c.Defer = keep })
				After(r.mux, "count", func(ctx, *GroupAfterSendMsg) error { return errors.New("the store is away") })
				start := time.Now()
				w := r.send(afterSend, string(sample(t, afterSend)))
				if w.Code != http.StatusInternalServerError || time.Since(start) > DefaultDeadline {
					t.Errorf("%d after %v", w.Code, time.Since(start))
				}
				if s := r.ep.Stats(); s.Lost != 1 || s.Deferred != 0 {
					t.Errorf("counted %+v", s)
				}
				r.quotesNothing("whisper", "red packet")
				r.noLeftovers()
			})
		})
	}
}

// IM may deliver an after-callback twice, and may hang up before the answer:
// each time the rule sees the same identity, and finishes.
func TestRedelivery(t *testing.T) {
	r := newRig(t, nil)
	seen := map[uint32]int{}
	After(r.mux, "count", func(c ctx, e *GroupAfterSendMsg) error {
		if err := c.Err(); err != nil {
			return err
		}
		seen[e.MsgSeq]++
		return nil
	})
	body := string(sample(t, afterSend))
	r.send(afterSend, body)
	first := r.request(afterSend, body)
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	r.do(first.WithContext(gone))
	if len(seen) != 1 || seen[123] != 2 {
		t.Errorf("seen %v", seen)
	}
	// A before-callback that comes again is decided again, alike.
	always[*GroupBeforeSendMsg](r, GroupVerdict{}.Reject(""))
	r.answers(beforeSend, refuses)
	r.answers(beforeSend, refuses)
}

func TestTwoRulesOfOneName(t *testing.T) {
	m := NewMux()
	After(m, "count", func(ctx, *GroupAfterSendMsg) error { return nil })
	After(m, "count", func(ctx, *C2CAfterSendMsg) error { return nil })
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "count") {
			t.Error("a second rule of the name was accepted: a job could not tell them apart")
		}
	}()
	After(m, "count", func(ctx, *GroupAfterSendMsg) error { return nil })
}

func writeTo(m map[string]int) { m["x"] = 1 }
