package imtest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// room makes an AVChatRoom "live" of alice, in which alice and bob are.
func room(w *world) (alice, bob *imtest.Client) {
	w.t.Helper()
	alice, bob = w.login("alice"), w.login("bob")
	if _, err := alice.CreateGroup("AVChatRoom", "live", "Live"); err != nil {
		w.t.Fatal(err)
	}
	for _, c := range []*imtest.Client{alice, bob} {
		if err := c.Join("live"); err != nil {
			w.t.Fatal(err)
		}
	}
	w.settle()
	w.backend.forget()
	return alice, bob
}

// What IM sends around a group message: 1047/34374 and 1047/34375.
func TestGroupMessageCallbacks(t *testing.T) {
	w := newWorld(t)
	alice, bob := room(w)
	sent, err := alice.Send("live", imtest.Draft{Text: "hi", Random: 123456, Custom: "c"})
	if err != nil {
		t.Fatal(err)
	}
	before, after := w.hook("Group.CallbackBeforeSendMsg"), w.hook("Group.CallbackAfterSendMsg")
	same(t, before.Body, fmt.Sprintf(`{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":"live","Type":"AVChatRoom",
		"From_Account":"alice","Operator_Account":"alice","Random":123456,"MsgId":%q,"OnlineOnlyFlag":0,
		"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}],"CloudCustomData":"c","EventTime":1772366400000}`, sent.ID))
	same(t, after.Body, fmt.Sprintf(`{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":"live","Type":"AVChatRoom",
		"From_Account":"alice","Operator_Account":"alice","Random":123456,"MsgSeq":1,"MsgTime":1772366400,"MsgId":%q,"OnlineOnlyFlag":0,
		"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}],"CloudCustomData":"c","EventTime":1772366400000}`, sent.ID))

	// The query (1047/34354): in this order, signed with token and time.
	sum := sha256.Sum256([]byte(token + "1772366400"))
	want := "SdkAppid=1400000000&CallbackCommand=Group.CallbackBeforeSendMsg&contenttype=json&ClientIP=127.0.0.1&OptPlatform=Web&Sign=" +
		hex.EncodeToString(sum[:]) + "&RequestTime=1772366400"
	if before.Raw != want {
		t.Errorf("query\n%s, want\n%s", before.Raw, want)
	}
	for _, c := range []*imtest.Client{alice, bob} {
		if got := texts(c.Received()); !slices.Equal(got, []string{"hi"}) {
			t.Errorf("%s received %q", c.UserID(), got)
		}
		if seen := w.app.Seen(c.UserID()); len(seen) != 1 || seen[0].ID != sent.ID || seen[0].Seq != sent.Seq {
			t.Errorf("%s saw %+v", c.UserID(), seen)
		}
	}
}

// The documented digest of 1047/34354.
func TestSignatureVector(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.CallbackToken = "xxxxyyyy" })
	w.clock.Advance(time.Unix(1669872112, 0).Sub(start)) // backwards: the clock of that day
	w.login("alice")
	if got := w.hook("State.StateChange").Query.Get("Sign"); got != "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061" {
		t.Error("Sign is", got)
	}
}

// What IM sends around a one-to-one message: 1047/34364 and 1047/34365.
func TestC2CMessageCallbacks(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.login("alice"), w.loginOn("bob", "iOS")
	w.settle()
	w.backend.forget()
	sent, err := alice.SendTo("bob", imtest.Draft{Text: "hi", Random: 2837546})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d_2837546_1772366400", sent.Seq); sent.Key != want {
		t.Errorf("MsgKey %s, want %s", sent.Key, want)
	}
	numbers := fmt.Sprintf(`"From_Account":"alice","To_Account":"bob","MsgSeq":%d,"MsgRandom":2837546,"MsgTime":1772366400,
		"MsgKey":%q,"MsgId":%q,"OnlineOnlyFlag":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}],
		"EventTime":1772366400000`, sent.Seq, sent.Key, sent.ID)
	same(t, w.hook("C2C.CallbackBeforeSendMsg").Body, `{"CallbackCommand":"C2C.CallbackBeforeSendMsg",`+numbers+`}`)
	same(t, w.hook("C2C.CallbackAfterSendMsg").Body, `{"CallbackCommand":"C2C.CallbackAfterSendMsg","SendMsgResult":0,
		"ErrorInfo":"send msg succeed","UnreadMsgNum":1,`+numbers+`}`)
	if got := texts(bob.Received()); !slices.Equal(got, []string{"hi"}) {
		t.Errorf("bob received %q", got)
	}
}

func TestVerdicts(t *testing.T) {
	rewrite := `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]}`
	verdict := func(code int) string {
		return fmt.Sprintf(`{"ActionStatus":"OK","ErrorInfo":"why","ErrorCode":%d}`, code)
	}
	type outcome struct {
		code int    // what the sender gets
		seen string // by the receiver
	}
	for _, tc := range []struct {
		name, answer string
		group, c2c   outcome
	}{
		{"allow", fine, outcome{0, "hi"}, outcome{0, "hi"}},
		{"reject", verdict(1), outcome{10016, ""}, outcome{20006, ""}},
		{"silent drop", verdict(2), outcome{0, ""}, outcome{0, ""}},
		{"own code of groups", verdict(10150), outcome{10150, ""}, outcome{0, "hi"}},
		{"own code of one-to-one", verdict(120001), outcome{0, "hi"}, outcome{120001, ""}},
		{"rewrite", rewrite, outcome{0, "***"}, outcome{0, "***"}},
		{"no JSON", "invalid CallbackCommand.", outcome{0, "hi"}, outcome{0, "hi"}},
		{"outside all ranges", verdict(7), outcome{0, "hi"}, outcome{0, "hi"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			alice, bob := room(w)
			w.backend.answers("Group.CallbackBeforeSendMsg", tc.answer)
			if _, err := alice.Send("live", imtest.Draft{Text: "hi"}); imtest.Code(err) != tc.group.code {
				t.Errorf("group: sender got %v, want code %d", err, tc.group.code)
			}
			checkSeen(t, w, bob, "Group.CallbackAfterSendMsg", tc.group.seen)

			w = newWorld(t)
			alice, bob = w.login("alice"), w.login("bob")
			w.backend.answers("C2C.CallbackBeforeSendMsg", tc.answer)
			if _, err := alice.SendTo("bob", imtest.Draft{Text: "hi"}); imtest.Code(err) != tc.c2c.code {
				t.Errorf("one-to-one: sender got %v, want code %d", err, tc.c2c.code)
			}
			checkSeen(t, w, bob, "C2C.CallbackAfterSendMsg", tc.c2c.seen)
		})
	}
}

// checkSeen: the receiver has the text and the backend was told of the same one;
// or neither, for "".
func checkSeen(t *testing.T, w *world, c *imtest.Client, after, want string) {
	t.Helper()
	var told []string
	for _, h := range w.hooks(after) {
		told = append(told, h.Body["MsgBody"].([]any)[0].(map[string]any)["MsgContent"].(map[string]any)["Text"].(string))
	}
	var all []string
	if want != "" {
		all = []string{want}
	}
	if got := texts(c.Received()); !slices.Equal(got, all) || !slices.Equal(told, all) {
		t.Errorf("%s received %q, the backend was told %q, want %q", c.UserID(), got, told, all)
	}
}

func TestUndefinedVerdictMayReject(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.UndefinedVerdictRejects = true })
	alice, bob := room(w)
	w.backend.answers("Group.CallbackBeforeSendMsg", `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":7}`)
	if _, err := alice.Send("live", imtest.Draft{Text: "hi"}); imtest.Code(err) != 10016 || len(bob.Received()) > 0 {
		t.Errorf("sender got %v, bob %q", err, texts(bob.Received()))
	}
}

// A before-callback that fails lets the message through, unless the console says
// to block (269/1522).
func TestFailedBeforeCallback(t *testing.T) {
	for _, block := range []bool{false, true} {
		for name, status := range map[string]int{"500": http.StatusInternalServerError, "no answer": 0} {
			t.Run(fmt.Sprint(name, " block=", block), func(t *testing.T) {
				w := newWorld(t, func(c *imtest.AppConfig) {
					c.BlockC2COnFailure, c.BlockGroupOnFailure = block, block
					c.CallbackTimeout = 50 * time.Millisecond
				})
				alice, bob := room(w)
				ended := make(chan struct{})
				t.Cleanup(func() { close(ended) })
				w.backend.mu.Lock()
				w.backend.answer = func(command string, _ map[string]any) (int, string) {
					if !strings.Contains(command, "Before") {
						return 0, ""
					}
					if status == 0 {
						<-ended
					}
					return status, "busy"
				}
				w.backend.mu.Unlock()
				_, err := alice.Send("live", imtest.Draft{Text: "hi"})
				_, errTo := alice.SendTo("bob", imtest.Draft{Text: "hi"})
				want, code := []string{"hi", "hi"}, 0
				if block {
					want, code = nil, 80003
				}
				if imtest.Code(err) != code || imtest.Code(errTo) != code {
					t.Errorf("sender got %v and %v, want %d", err, errTo, code)
				}
				if got := texts(bob.Received()); !slices.Equal(got, want) {
					t.Errorf("bob received %q, want %q", got, want)
				}
			})
		}
	}
}

// An after-callback that fails is repeated only if the console says so, with the
// first RequestTime or with a new one: nobody knows which.
func TestRepeatedAfterCallback(t *testing.T) {
	for _, tc := range []struct {
		retry, renew bool
		times        []string
	}{
		{false, false, []string{"1772366400"}},
		{true, false, []string{"1772366400", "1772366400"}},
		{true, true, []string{"1772366400", "1772366405"}},
	} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			w := newWorld(t, func(c *imtest.AppConfig) { c.RetryCallbacks, c.Unknowns.RetryRenewsTime = tc.retry, tc.renew })
			alice, _ := room(w)
			failures := 0
			w.backend.mu.Lock()
			w.backend.answer = func(command string, _ map[string]any) (int, string) {
				if command == "Group.CallbackAfterSendMsg" && failures == 0 {
					failures++
					return http.StatusInternalServerError, ""
				}
				return 0, ""
			}
			w.backend.mu.Unlock()
			if _, err := alice.Send("live", imtest.Draft{Text: "hi"}); err != nil {
				t.Fatal(err)
			}
			w.settle()
			w.clock.Advance(time.Minute)
			var times []string
			for _, h := range w.hooks("Group.CallbackAfterSendMsg") {
				times = append(times, h.Query.Get("RequestTime"))
			}
			if !slices.Equal(times, tc.times) {
				t.Errorf("RequestTime %q, want %q", times, tc.times)
			}
		})
	}
}

// A repetition is known by what was sent, even where a verdict rewrote it
// (269/1629, 269/2282).
func TestRepeatedSend(t *testing.T) {
	w := newWorld(t)
	alice, bob := room(w)
	n := 0
	w.backend.mu.Lock()
	w.backend.answer = func(command string, _ map[string]any) (int, string) {
		if !strings.Contains(command, "Before") {
			return 0, ""
		}
		n++
		return http.StatusOK, fmt.Sprintf(`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"%d"}`, n)
	}
	w.backend.mu.Unlock()
	d := imtest.Draft{Text: "hi", Random: 7}
	first, err := alice.Send("live", d)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(5*time.Minute - time.Second)
	again, err := alice.Send("live", d)
	if err != nil || again != first {
		t.Errorf("repetition: %+v, %v; want %+v", again, err, first)
	}
	if got := len(bob.Received()); got != 1 {
		t.Fatalf("bob received %d messages", got)
	}
	w.clock.Advance(time.Second)
	if later, err := alice.Send("live", d); err != nil || later.Seq == first.Seq {
		t.Errorf("after five minutes: %+v, %v", later, err)
	}
	if got := len(bob.Received()); got != 2 {
		t.Errorf("bob received %d messages", got)
	}
}

func TestRepeatedSendMayFail(t *testing.T) {
	w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.DuplicateFails = true })
	alice, bob := room(w)
	d := imtest.Draft{Text: "hi", Random: 7}
	if _, err := alice.Send("live", d); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Send("live", d); imtest.Code(err) != 10004 || len(bob.Received()) != 1 {
		t.Errorf("repetition: %v, %d messages", err, len(bob.Received()))
	}
}

// An AVChatRoom takes 40 messages a second. What is over waits a moment and is
// shed by priority, while its sender sees success: before without after.
func TestShedding(t *testing.T) {
	w := newWorld(t)
	alice, bob := room(w)
	for i := range 120 {
		d := imtest.Draft{Text: fmt.Sprint("low ", i), Priority: imtest.Low}
		if i%4 == 0 {
			d = imtest.Draft{Text: fmt.Sprint("high ", i), Priority: imtest.High}
		}
		if _, err := alice.Send("live", d); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(bob.Received()); got != 40 {
		t.Errorf("bob received %d messages in the first instant", got)
	}
	w.clock.Advance(10 * time.Second)
	got := texts(bob.Received())
	highs := 0
	for _, text := range got {
		if strings.HasPrefix(text, "high") {
			highs++
		}
	}
	if len(got) != 80 || highs != 30 {
		t.Errorf("bob received %d messages, %d of them high; want 80 and 30", len(got), highs)
	}
	if before, after := len(w.hooks("Group.CallbackBeforeSendMsg")), len(w.hooks("Group.CallbackAfterSendMsg")); before != 120 || after != 80 {
		t.Errorf("%d before, %d after; want 120 and 80", before, after)
	}
	shed := w.app.State().Group("live").Shed
	if len(shed) != 40 {
		t.Fatalf("%d shed, want 40", len(shed))
	}
	for _, m := range shed {
		if m.Priority != imtest.Low {
			t.Errorf("shed %q of priority %v", m.Text(), m.Priority)
		}
	}
}

// Other groups refuse what is over, and tell the backend (1047/49462).
func TestOverLimitRefused(t *testing.T) {
	for name, kind := range map[string]string{"Public": "Public", "AVChatRoom by switch": "AVChatRoom"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *imtest.AppConfig) { c.Unknowns.OverLimitFails = true })
			alice := w.login("alice")
			if _, err := alice.CreateGroup(kind, "g", "G"); err != nil {
				t.Fatal(err)
			}
			_ = alice.Join("g")
			var failed []int
			for i := range 41 {
				if _, err := alice.Send("g", imtest.Draft{Text: "x", Random: uint32(i + 1)}); err != nil {
					failed = append(failed, imtest.Code(err))
				}
			}
			if !slices.Equal(failed, []int{10023}) {
				t.Errorf("codes %v, want 10023 once", failed)
			}
			h := w.hook("Group.CallbackSendMsgException")
			if h.Body["ErrorCode"] != 10023.0 || h.Body["Random"] != 41.0 || h.Query.Has("ClientIP") {
				t.Errorf("told %v with query %v", h.Body, h.Query)
			}
			w.clock.Advance(time.Second)
			if _, err := alice.Send("g", imtest.Draft{Text: "y"}); err != nil {
				t.Error("a second later:", err)
			}
		})
	}
}

func TestChaosOfCallbacks(t *testing.T) {
	send := func(t *testing.T, c imtest.Chaos) (w *world, texts []string) {
		w = newWorld(t)
		alice, _ := room(w)
		w.app.Misbehave(c)
		for i := range 6 {
			if _, err := alice.Send("live", imtest.Draft{Text: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(time.Second)
		}
		for _, h := range w.hooks("Group.CallbackAfterSendMsg") {
			texts = append(texts, fmt.Sprint(h.Body["MsgSeq"]))
		}
		return w, texts
	}
	t.Run("duplicate", func(t *testing.T) {
		if _, got := send(t, imtest.Chaos{Duplicate: 1}); !slices.Equal(got, strings.Fields("1 1 2 2 3 3 4 4 5 5 6 6")) {
			t.Error(got)
		}
	})
	t.Run("drop", func(t *testing.T) {
		if _, got := send(t, imtest.Chaos{Drop: 1}); len(got) != 0 {
			t.Error(got)
		}
	})
	t.Run("delay", func(t *testing.T) {
		w, got := send(t, imtest.Chaos{Delay: 1, DelayBy: time.Hour})
		if len(got) != 0 {
			t.Error("at once:", got)
		}
		w.clock.Advance(time.Hour)
		if late := w.hooks("Group.CallbackAfterSendMsg"); len(late) != 6 || late[0].Query.Get("RequestTime") != "1772366400" {
			t.Errorf("an hour later %d, %v", len(late), late)
		}
	})
	t.Run("reorder", func(t *testing.T) {
		_, got := send(t, imtest.Chaos{Reorder: 0.5, DelayBy: time.Hour})
		if slices.IsSorted(got) || len(got) != 6 {
			t.Error(got)
		}
	})
	t.Run("same seed, same chaos", func(t *testing.T) {
		_, one := send(t, imtest.Chaos{Drop: 0.3, Duplicate: 0.3, Reorder: 0.3})
		_, two := send(t, imtest.Chaos{Drop: 0.3, Duplicate: 0.3, Reorder: 0.3})
		if !slices.Equal(one, two) {
			t.Error(one, two)
		}
	})
}
