package im_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
)

// The error tables of 1047/34348 and 269/1671, by what they say to do.
func TestClassesOfCodes(t *testing.T) {
	for class, codes := range map[im.Class][]im.Code{
		im.ClassTransient: {
			60008, 60014, 60004, 60005, 70169, 70202, 70500, 10002, 20004, 20005, 20018, 22002, 30006, 30007, 40006, 50004, 50005,
			90994, 91000, 110007, 90992,
		},
		im.ClassConflict: {10056, 20027, 20028, 30008},
		im.ClassThrottled: {
			60007, 60011, 60018, 60019, 60028, 10006, 10023, 10049, 22006, 90024, 90047, 90057, 72010, 70050,
		},
		im.ClassSignature:     {70001, 70052, 20002, 70002, 70003, 70005, 70009, 70013, 70014, 70051},
		im.ClassConfiguration: {70016, 70020, 60010, 60020, 60021, 60026, 70403, 80003, 90045, 10059, 11000},
		im.ClassRequest:       {60002, 60003, 60009, 60012, 60025, 60027, 70402, 10003, 10004, 10005, 90001, 90011, 90054},
		im.ClassAccount:       {70107, 20003, 10019, 70398, 70399, 71000, 72000, 72002},
		im.ClassContent:       {80001, 80002, 93000, 90995, 80004, 80005},
		im.ClassC2C:           {20006, 20007, 20009, 20010, 20011, 20012, 20016, 120001, 125000, 130000},
		im.ClassGroup: {
			10007, 10010, 10013, 10014, 10015, 10016, 10017, 10018, 10021, 10025, 10030, 10035, 10036, 10037, 10045, 10048, 10050,
			10053, 10063, 110002, 110003, 110006, 110014, 10100, 10200,
		},
		im.ClassUnknown: {0, 1, -10110, 6012, 9506, 10099, 10201, 120000, 130001},
	} {
		for _, code := range codes {
			if code.Class() != class || !errors.Is(code, class) {
				t.Errorf("%v, want class %v", code, class)
			}
		}
	}
}

func TestNamedCodesHaveAClass(t *testing.T) {
	for _, code := range []im.Code{
		im.CodeNotAllowed, im.CodeGroupGone, im.CodeAlreadyMember, im.CodeGroupFull, im.CodeBadGroupID, im.CodeGroupRefused,
		im.CodeGroupMuted, im.CodeMemberUnknown, im.CodeGroupIDTaken, im.CodeGroupOverRate, im.CodeGroupIDYours, im.CodeNoMessage,
		im.CodeAttributesTooFast, im.CodeAttributesChanged, im.CodeSigVoid, im.CodeReceiverUnknown, im.CodeC2CRefused,
		im.CodeTrialQuota, im.CodeWrongDomain, im.CodeSigExpired, im.CodeTooManyBadSigs, im.CodeSigInvalidated,
		im.CodeAccountUnknown, im.CodeAccountDeleted, im.CodePushOff, im.CodePushQuota, im.CodeGroupQuota, im.CodeTopicGone,
	} {
		if code.Class() == im.ClassUnknown {
			t.Error(code)
		}
	}
}

// A caller asks by class or code, through whatever wraps the error.
func TestAskingAnError(t *testing.T) {
	err := fmt.Errorf("greeting: %w", &im.Error{Command: "openim/sendmsg", Class: im.ClassAccount, Code: im.CodeReceiverUnknown, Info: "who?"})
	for target, want := range map[error]bool{
		im.ClassAccount: true, im.CodeReceiverUnknown: true, im.ClassThrottled: false, im.CodeGroupGone: false, io.EOF: false,
	} {
		if errors.Is(err, target) != want {
			t.Errorf("%v is %v: %v", err, target, !want)
		}
	}
	if errors.Is(&im.Error{Class: im.ClassTransient}, im.Code(0)) {
		t.Error("without a code it has none")
	}
	if im.ClassOf(err) != im.ClassAccount || im.ClassOf(io.EOF) != im.ClassUnknown || im.ClassOf(nil) != im.ClassUnknown {
		t.Error("ClassOf")
	}
	if want := "greeting: im: openim/sendmsg: code 20003 (account): who?"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if got := (&im.LimitError{Wait: 1500 * time.Millisecond}).Error(); !strings.Contains(got, "1.5s") {
		t.Error(got)
	}
	if public := fault.Of(err); public.Code != fault.Upstream || strings.Contains(public.Message, "who?") {
		t.Errorf("%+v: IM's words are for the log, not for callers", public)
	}
	slow := &im.Error{Class: im.ClassTransient, Command: "openim/sendmsg"}
	if public := fault.Of(fmt.Errorf("greeting: %w", slow)); public.Code != fault.Unavailable || public.RetryAfter <= 0 {
		t.Errorf("%+v: what passes by itself is to be repeated", public)
	}
}

func TestLasting(t *testing.T) {
	for err, want := range map[error]bool{
		&im.Error{Class: im.ClassGroup, Code: im.CodeGroupFull}: true, &im.FieldError{Field: "GroupId"}: true,
		&im.Error{Class: im.ClassTransient}: false, &im.Error{Class: im.ClassConfiguration}: false, io.EOF: false,
	} {
		if got := im.Lasting(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestCutText(t *testing.T) {
	for _, c := range []struct {
		s     string
		bytes int
		want  string
	}{
		{"team", 30, "team"},
		{"team", 4, "team"},
		{"team", 3, "tea"},
		{"naïve", 3, "na"},
		{"naïve", 4, "naï"},
		{"队伍名", 8, "队伍"},
		{"🎮x", 3, ""},
		{"🎮x", 4, "🎮"},
		{"x", 0, ""},
		{"x", -1, ""},
		{"", 0, ""},
	} {
		if got := im.CutText(c.s, c.bytes); got != c.want {
			t.Errorf("%q cut to %d bytes is %q, want %q", c.s, c.bytes, got, c.want)
		}
	}
}

func FuzzCutText(f *testing.F) {
	f.Add("naïve 队伍 🎮", 7)
	f.Add("\xff\x80\x80", 1)
	f.Fuzz(func(t *testing.T, s string, bytes int) {
		got := im.CutText(s, bytes)
		if !strings.HasPrefix(s, got) || len(got) > max(bytes, 0) {
			t.Fatalf("%q cut to %d bytes is %q", s, bytes, got)
		}
		valid := strings.ToValidUTF8(s, "") == s
		if valid && len(got) < min(len(s), bytes)-3 {
			t.Fatalf("%q cut to %d bytes lost more than a rune: %q", s, bytes, got)
		}
		if valid && strings.ToValidUTF8(got, "") != got {
			t.Fatalf("%q cut to %d bytes broke a rune: %q", s, bytes, got)
		}
	})
}
