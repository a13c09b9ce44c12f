package callback

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
)

const okBody = `{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":"g","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"whisper"}}]}`

// Whatever is wrong with a request, it gets a clear answer, reaches no rule, is
// counted, and leaves one line in the log that says why and quotes nothing.
func TestBadInput(t *testing.T) {
	query := func(change func(url.Values)) func(*http.Request) {
		return func(r *http.Request) {
			q := r.URL.Query()
			change(q)
			r.URL.RawQuery = q.Encode()
		}
	}
	body := func(b string) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(b)), int64(len(b))
		}
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   *Reason
	}{
		"GET":              {func(r *http.Request) { r.Method = http.MethodGet }, ErrMethod},
		"endless query":    {query(func(q url.Values) { q.Set("x", strings.Repeat("x", maxQuery)) }), ErrLongQuery},
		"broken query":     {func(r *http.Request) { r.URL.RawQuery += "&x=%zz" }, ErrBadQuery},
		"two commands":     {query(func(q url.Values) { q.Add("CallbackCommand", afterSend) }), ErrBadQuery},
		"two apps":         {query(func(q url.Values) { q.Add("SdkAppid", "7") }), ErrBadQuery},
		"two times":        {query(func(q url.Values) { q.Add("RequestTime", "7") }), ErrBadQuery},
		"two signatures":   {query(func(q url.Values) { q.Add("Sign", "7") }), ErrBadQuery},
		"2 MiB":            {body(strings.Repeat(" ", 2<<20)), ErrTooLarge},
		"2 MiB, unsaid":    {func(r *http.Request) { body(strings.Repeat(" ", 2<<20))(r); r.ContentLength = -1 }, ErrTooLarge},
		"1 TiB, it says":   {func(r *http.Request) { r.ContentLength = 1 << 40 }, ErrTooLarge},
		"hung up":          {func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), broken{})) }, ErrUnreadable},
		"other app":        {query(func(q url.Values) { q.Set("SdkAppid", "1400000002") }), ErrOtherApp},
		"app beyond 32":    {query(func(q url.Values) { q.Set("SdkAppid", "5694967297") }), ErrOtherApp}, // app + 1<<32
		"no app":           {query(func(q url.Values) { q.Del("SdkAppid") }), ErrOtherApp},
		"no signature":     {query(func(q url.Values) { q.Del("Sign") }), ErrNoSignature},
		"no time":          {query(func(q url.Values) { q.Del("RequestTime") }), ErrNoSignature},
		"wrong token":      {sign("some-other-token", "1670574414"), ErrBadSignature},
		"a byte more":      {query(func(q url.Values) { q.Set("Sign", q.Get("Sign")+"0") }), ErrBadSignature},
		"time not signed":  {query(func(q url.Values) { q.Set("RequestTime", "1670574415") }), ErrBadSignature},
		"expired":          {sign(token, "1670574353"), ErrExpired},
		"future":           {sign(token, "1670574475"), ErrFuture},
		"far future":       {sign(token, "999999999999"), ErrFuture},
		"time in ms":       {sign(token, "1670574414123"), ErrBadTime},
		"time with a sign": {sign(token, "+1670574414"), ErrBadTime},
		"time in words":    {sign(token, "now"), ErrBadTime},
		"path secret":      {func(r *http.Request) { r.URL.Path = "/im/guess" }, ErrPathSecret},
		"no body":          {body(""), ErrNotObject},
		"truncated JSON":   {body(okBody[:len(okBody)-2]), ErrNotObject},
		"not JSON":         {body("CallbackCommand=" + beforeSend), ErrNotObject},
		"a list":           {body("[" + okBody + "]"), ErrNotObject},
		"two bodies":       {body(okBody + okBody), ErrNotObject},
		"NUL":              {body(strings.ReplaceAll(okBody, "whisper", "whis\x00per")), ErrNotObject},
		"NULs":             {body(strings.Repeat("\x00", 100)), ErrNotObject},
		"duplicate key":    {body(`{"CallbackCommand":"Group.CallbackBeforeSendMsg","CallbackCommand":"Group.CallbackAfterSendMsg"}`), ErrRepeatedField},
		"mismatch":         {body(strings.ReplaceAll(okBody, beforeSend, afterSend)), ErrOtherCommand},
		"command missing":  {body(`{"GroupId":"g"}`), ErrOtherCommand},
		"command mistyped": {body(`{"CallbackCommand":["Group.CallbackBeforeSendMsg"]}`), ErrWrongType},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			reached := 0
			Before(r.mux, "spy", FailOpen, func(_ ctx, _ *GroupBeforeSendMsg) (v GroupVerdict, err error) {
				reached++
				return v, nil
			})
			After(r.mux, "spy", func(ctx, *GroupAfterSendMsg) error {
				reached++
				return nil
			})
			req := r.request("", okBody)
			c.change(req)
			w := r.do(req)
			if w.Code != c.want.Status {
				t.Errorf("status %d, want %d", w.Code, c.want.Status)
			}
			said := "forbidden"
			if w.Code != http.StatusForbidden {
				said = c.want.words
			}
			sameJSON(t, w.Body.Bytes(), failure(said))
			if w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", w.Header())
			}
			if reached > 0 {
				t.Error("it reached a rule")
			}
			if s := r.ep.Stats(); len(s.Refused) != 1 || s.Refused[c.want.Code] != 1 {
				t.Errorf("counted as %v, want one %s", s.Refused, c.want.Code)
			}
			if r.noted(`"msg":"callback refused"`) != 1 || r.noted(`"reason":"`+c.want.Code+`"`) != 1 || r.noted("\n") != 1 {
				t.Errorf("logged as %s", r.log)
			}
			r.quotesNothing("guess", "whisper", req.URL.RawQuery)
		})
	}
}

// An after-rule knows a repeated event by fields of the event, so what cannot be
// read of one is refused; see the next test for before-callbacks.
func TestAnUnreadableAfterCallbackIsRefused(t *testing.T) {
	r := newRig(t, nil)
	After(r.mux, "spy", func(ctx, *GroupAfterSendMsg) error {
		t.Error("it reached a rule")
		return nil
	})
	w := r.send("", `{"CallbackCommand":"Group.CallbackAfterSendMsg","MsgSeq":{"whisper":1}}`)
	if w.Code != http.StatusBadRequest || r.ep.Stats().Refused["wrong_type"] != 1 {
		t.Errorf("status %d, %+v", w.Code, r.ep.Stats())
	}
	r.quotesNothing("whisper")
}

func TestABeforeCallbackWithAnOddFieldIsJudgedAndCounted(t *testing.T) {
	r := newRig(t, nil)
	Before(r.mux, "words", FailOpen, func(_ ctx, e *GroupBeforeSendMsg) (v GroupVerdict, err error) {
		if e.MsgBody.PlainText() == "bad" {
			return v.Reject("no"), nil
		}
		return v, nil
	})
	w := r.send("", `{"CallbackCommand":"Group.CallbackBeforeSendMsg","Random":{"whisper":1},"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"bad"}}]}`)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"ErrorCode":1`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if s := r.ep.Stats(); s.Unread["Random"] != 1 || len(s.Refused) != 0 || r.noted(`"field":"Random"`) != 1 {
		t.Errorf("%+v, logged %s", s, r.log)
	}
	r.quotesNothing("whisper")
}

// TestNobodyIsReadUnauthenticated: the body of a request that is refused for its
// path or its query, or that asks for nothing, is never looked at.
func TestNobodyIsReadUnauthenticated(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PathSecret = "s3cret" })
	for name, change := range map[string]func(*http.Request){
		"no path secret": func(r *http.Request) { r.URL.Path = "/im" },
		"wrong secret":   func(r *http.Request) { r.URL.Path = "/im/guess" },
		"no signature":   func(r *http.Request) { r.URL.RawQuery = "SdkAppid=1400000001&CallbackCommand=" + beforeSend },
		"wrong token":    sign("some-other-token", "1670574414"),
		"too large":      func(r *http.Request) { r.ContentLength = MaxBody + 1 },
		"a probe":        func(r *http.Request) { r.URL.RawQuery = "" },
	} {
		req := r.request("", okBody)
		req.URL.Path = "/im/s3cret"
		change(req)
		req.Body = io.NopCloser(forbidden{t, name})
		r.do(req)
	}
}

type forbidden struct {
	t    *testing.T
	name string
}

func (f forbidden) Read([]byte) (int, error) {
	f.t.Errorf("%s: the body was read", f.name)
	return 0, io.EOF
}

// TestBuffersGrowWithWhatArrives: a length that is only announced costs next to
// nothing.
func TestBuffersGrowWithWhatArrives(t *testing.T) {
	r := newRig(t, nil)
	req := r.request("", okBody)
	req.ContentLength = MaxBody
	before := new(runtime.MemStats)
	runtime.ReadMemStats(before)
	if _, err := readBody(req); err != nil {
		t.Fatal(err)
	}
	after := new(runtime.MemStats)
	runtime.ReadMemStats(after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4*firstRead {
		t.Errorf("%d bytes for a body of %d", grown, len(okBody))
	}
}

// TestLargeBodiesWaitForAPlace: at most so many are in memory at once; a small
// one passes them, and one that finds no place in time is told so.
func TestLargeBodiesWaitForAPlace(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Deadline = 50 * time.Millisecond })
	for range maxLarge {
		r.ep.large <- struct{}{}
	}
	large := strings.Replace(okBody, "whisper", strings.Repeat("x", smallBody), 1)
	if w := r.send("", large); w.Code != http.StatusServiceUnavailable || r.ep.Stats().Refused["busy"] != 1 {
		t.Errorf("a large body without a place: %d", w.Code)
	}
	if w := r.send("", okBody); w.Code != http.StatusOK {
		t.Errorf("a small one: %d", w.Code)
	}
	<-r.ep.large
	for range 3 {
		if w := r.send("", large); w.Code != http.StatusOK {
			t.Errorf("with a place: %d", w.Code)
		}
	}
}

// TestARefusalNeverPanics, whatever error it is made of.
func TestARefusalNeverPanics(t *testing.T) {
	r := newRig(t, nil)
	w := httptest.NewRecorder()
	r.ep.refuse(t.Context(), w, httptest.NewRequest(http.MethodPost, "/im", nil), Query{}, errors.New("not a Reason"))
	if w.Code != http.StatusInternalServerError || r.ep.Stats().Refused["unexpected"] != 1 {
		t.Errorf("%d, %+v", w.Code, r.ep.Stats())
	}
}

// quotesNothing holds the log against what must never be in it.
func (r *rig) quotesNothing(secrets ...string) {
	r.t.Helper()
	for _, secret := range append(secrets, token, Sign(token, r.clock.seconds()), "Sign=", "ClientIP", "127.0.0.1") {
		if strings.Contains(r.log.String(), secret) {
			r.t.Errorf("the log quotes %q: %s", secret, r.log)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// sign replaces the signature of a request.
func sign(token, requestTime string) func(*http.Request) {
	return func(r *http.Request) {
		q := r.URL.Query()
		q.Set("Sign", Sign(token, requestTime))
		q.Set("RequestTime", requestTime)
		r.URL.RawQuery = q.Encode()
	}
}

func TestGETIsToldWhatIsAllowed(t *testing.T) {
	r := newRig(t, nil)
	if got := r.do(httptest.NewRequest(http.MethodGet, "/im", nil)).Header().Get("Allow"); got != http.MethodPost {
		t.Errorf("Allow is %q", got)
	}
}

// The worked example of 1047/34354, as recomputed from its own rule.
func TestSignIsIMs(t *testing.T) {
	if got := Sign("xxxxyyyy", "1669872112"); got != "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061" {
		t.Error(got)
	}
}

func TestSignatureWindows(t *testing.T) {
	for _, c := range []struct {
		command string
		age     time.Duration
		status  int
	}{
		{beforeSend, 60 * time.Second, http.StatusOK},
		{beforeSend, 61 * time.Second, http.StatusForbidden},
		{beforeSend, -60 * time.Second, http.StatusOK},
		{beforeSend, -61 * time.Second, http.StatusForbidden},
		{afterSend, 15 * time.Minute, http.StatusOK},
		{afterSend, 15*time.Minute + time.Second, http.StatusForbidden},
		{afterSend, -61 * time.Second, http.StatusForbidden},
	} {
		r := newRig(t, nil)
		req := r.request(c.command, string(sample(t, c.command)))
		r.clock.move(c.age)
		if w := r.do(req); w.Code != c.status {
			t.Errorf("%s, %v old: status %d", c.command, c.age, w.Code)
		}
	}
}

func TestTokensDuringRotation(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Token, c.PreviousToken = "new", "old" })
	for token, status := range map[string]int{"new": http.StatusOK, "old": http.StatusOK, "older": http.StatusForbidden, "newold": http.StatusForbidden} {
		r.signer.Token = token
		if w := r.send("", okBody); w.Code != status {
			t.Errorf("token %s: status %d", token, w.Code)
		}
	}
}

func TestHexOfEitherCase(t *testing.T) {
	r := newRig(t, nil)
	req := r.request("", okBody)
	q := req.URL.Query()
	q.Set("Sign", strings.ToUpper(q.Get("Sign")))
	req.URL.RawQuery = q.Encode()
	if w := r.do(req); w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
}

// The console's "verify URL" sends something that nobody has documented.
func TestProbeGetsABlandOK(t *testing.T) {
	r := newRig(t, nil)
	for _, target := range []string{"/im", "/im?SdkAppid=7&contenttype=json"} {
		w := r.do(httptest.NewRequest(http.MethodPost, target, strings.NewReader("anything")))
		if w.Code != http.StatusOK || w.Body.String() != allows {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestPathSecret(t *testing.T) {
	with := newRig(t, func(c *Config) { c.PathSecret = "s3cret" })
	for path, status := range map[string]int{
		"/im/s3cret": http.StatusOK, "/im": http.StatusForbidden, "/im/": http.StatusForbidden,
		"/im/s3cre": http.StatusForbidden, "/im/s3cret2": http.StatusForbidden, "/im/S3cret": http.StatusForbidden,
	} {
		for _, probe := range []bool{true, false} {
			req := with.request("", okBody)
			req.URL.Path = path
			if probe {
				req.URL.RawQuery = ""
			}
			if w := with.do(req); w.Code != status && w.Code != http.StatusNotFound {
				t.Errorf("%s: status %d", path, w.Code)
			}
		}
	}
	with.quotesNothing("s3cre", "S3cret")
}

func TestUnknownCommandsAreAcknowledgedAndCounted(t *testing.T) {
	r := newRig(t, nil)
	w := r.send("", `{"CallbackCommand":"OfficialAccount.OnSomething","x":1}`)
	if w.Code != http.StatusOK || w.Body.String() != allows {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if r.ep.Stats().Unknown != 1 || r.noted("OfficialAccount.OnSomething") != 1 {
		t.Errorf("%+v, %s", r.ep.Stats(), r.log)
	}
	r.send("", `{"CallbackCommand":"forged\nline"}`)
	r.send("", `{"CallbackCommand":"forged.`+strings.Repeat("x", 100)+`"}`)
	if r.noted("forged") != 0 {
		t.Errorf("a strange name was logged: %s", r.log)
	}
	r.signer.Token = "wrong"
	if w := r.send("", `{"CallbackCommand":"Anybody.CanWriteThis"}`); w.Code != http.StatusForbidden {
		t.Errorf("unauthenticated: %d", w.Code)
	}
	if r.noted("Anybody") != 0 {
		t.Errorf("a stranger wrote the log: %s", r.log)
	}
}

// IM's push results have no command in the body; nothing else may lack it.
func TestOnlyPushesMayLackTheCommand(t *testing.T) {
	r := newRig(t, nil)
	for command, entry := range table() {
		status := http.StatusBadRequest
		if entry.nameless {
			status = http.StatusOK
		}
		if w := r.send(command, `{}`); w.Code != status {
			t.Errorf("%s: status %d", command, w.Code)
		}
	}
	req := r.request("Push.OfflinePush", `{}`)
	req.Body = io.NopCloser(strings.NewReader(okBody))
	req.ContentLength = int64(len(okBody))
	if w := r.do(req); w.Code != http.StatusBadRequest {
		t.Errorf("a push with another command: status %d", w.Code)
	}
}

func TestEverySampleIsAnswered(t *testing.T) {
	r := newRig(t, nil)
	for command := range table() {
		if w := r.send(command, string(sample(t, command))); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", command, w.Code, w.Body)
		}
	}
	if s := r.ep.Stats(); len(s.Refused) > 0 || s.Unknown > 0 {
		t.Errorf("%+v", s)
	}
}

func TestUnsignedOnlyWhereAllowed(t *testing.T) {
	for name, c := range map[string]Config{
		"nothing":             {},
		"no mux":              {SDKAppID: app, Token: token},
		"no app":              {Mux: NewMux(), Token: token},
		"no token":            {SDKAppID: app, Mux: NewMux()},
		"only the old token":  {SDKAppID: app, Mux: NewMux(), PreviousToken: "old", AllowUnsigned: true},
		"a negative deadline": {SDKAppID: app, Mux: NewMux(), Token: token, Deadline: -1},
	} {
		if _, err := NewEndpoint(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	r := newRig(t, func(c *Config) { c.Token, c.AllowUnsigned = "", true })
	r.signer.Token = ""
	if w := r.send("", okBody); w.Code != http.StatusOK {
		t.Errorf("allowed and unsigned: status %d", w.Code)
	}
	r = newRig(t, func(c *Config) { c.AllowUnsigned = true })
	r.signer.Token = ""
	if w := r.send("", okBody); w.Code != http.StatusForbidden {
		t.Errorf("with a token, unsigned was let in: status %d", w.Code)
	}
}

func TestSignerWritesIMsQuery(t *testing.T) {
	s := Signer{SDKAppID: 1400000000, Token: "xxxxyyyy", Now: func() time.Time { return time.Unix(1669872112, 0) }}
	req, err := s.Request(t.Context(), "http://im.test/im/s", "", []byte(okBody))
	if err != nil {
		t.Fatal(err)
	}
	want := "http://im.test/im/s?SdkAppid=1400000000&CallbackCommand=Group.CallbackBeforeSendMsg&contenttype=json&ClientIP=127.0.0.1&OptPlatform=Web" +
		"&Sign=17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061&RequestTime=1669872112"
	if req.URL.String() != want || req.Method != http.MethodPost {
		t.Errorf("%s %s", req.Method, req.URL)
	}
	if _, err := s.Request(t.Context(), "http://im.test/im", "", []byte("no JSON")); err == nil {
		t.Error("a body that no endpoint reads was signed")
	}
	if _, err := s.Request(t.Context(), "http://im.test/im", "", []byte("{}")); err == nil {
		t.Error("a callback without a name was signed")
	}
}

func TestObserverSeesTheExchange(t *testing.T) {
	var seen []Exchange
	r := newRig(t, func(c *Config) { c.Observe = func(x Exchange) { seen = append(seen, x) } })
	Before(r.mux, "friends", FailOpen, func(ctx, *GroupBeforeSendMsg) (v GroupVerdict, err error) { return v, nil })
	Before(r.mux, "words", FailOpen, func(c ctx, e *GroupBeforeSendMsg) (v GroupVerdict, err error) {
		r.clock.move(time.Millisecond)
		Explain(c, "a word of the list")
		return v.Reject("no"), nil
	})
	at := r.clock.now()
	w := r.send("", okBody)
	if len(seen) != 1 {
		t.Fatalf("seen %d", len(seen))
	}
	x := seen[0]
	if x.Command != beforeSend || x.Verdict != "reject" || x.Status != 200 || string(x.Body) != okBody ||
		string(x.Answer) != w.Body.String() || !x.At.Equal(at) || x.Latency != time.Millisecond || x.Rule != "words" || x.Why != "a word of the list" {
		t.Errorf("seen %+v", x)
	}
	r.signer.Token = "wrong"
	r.send("", okBody)
	if len(seen) != 1 {
		t.Error("an unauthenticated request was shown")
	}
}

func TestEventsKnowTheirQuery(t *testing.T) {
	r := newRig(t, nil)
	r.signer.ClientIP, r.signer.OptPlatform = "203.0.113.9", "RESTAPI"
	var got Query
	After(r.mux, "look", func(_ ctx, e *GroupAfterSendMsg) error {
		got = e.Query
		return nil
	})
	r.answers(afterSend, allows)
	if got.SDKAppID != app || got.Command != afterSend || got.ClientIP != "203.0.113.9" || got.OptPlatform != "RESTAPI" {
		t.Errorf("%+v", got)
	}
}
