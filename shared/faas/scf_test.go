package faas_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
)

// The library puts the environment of an invocation in place only when the
// invocation comes: what is read before main is not there yet.
func TestSCFEnvironmentComesWithTheInvocation(t *testing.T) {
	s := faastest.StartSCF(t, faastest.Build(t, testfunc), nil)
	s.Environment = greeting
	res, err := s.Do(faastest.SCFFunctionURL, get("/greeting"))
	if err != nil {
		t.Fatal(err)
	}
	if got := decode[map[string]string](t, res); got["early"] != "" || got["greeting"] != "hello" {
		t.Errorf("answer %v", got)
	}
}

func TestSCFKeepsAGoodStartAndForgetsABadOne(t *testing.T) {
	s := faastest.StartSCF(t, faastest.Build(t, testfunc), map[string]string{"LIMIT": "12"})
	for range 2 {
		res, err := s.Do(faastest.SCFFunctionURL, get("/greeting"))
		if err != nil {
			t.Fatal(err)
		}
		wantBland(t, res.StatusCode, read(t, res))
	}
	wantBlandError(t, s.Async([]byte(`{}`)), "GREETING")
	wantBlandError(t, s.Timer(), "GREETING")
	faults := s.WaitLog(t, "cannot start, the settings need attention")["faults"].(string)
	if !strings.Contains(faults, "GREETING: required") || !strings.Contains(faults, "LIMIT: must be") {
		t.Errorf("logged %q", faults)
	}

	for _, word := range []string{"hello", "ignored from now on"} {
		s.Environment = map[string]string{"GREETING": word, "LIMIT": "1"}
		res, err := s.Do(faastest.SCFFunctionURL, get("/greeting"))
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("corrected settings: %v, %v", res, err)
		}
		if got := decode[map[string]string](t, res); got["greeting"] != "hello" {
			t.Errorf("with %q: %v", word, got)
		}
	}
	if n := countLogs(s.Process, "building"); n != 1 {
		t.Errorf("built %d times", n)
	}
}

func TestSCFFailedStartIsBland(t *testing.T) {
	for start, want := range map[string]string{"error": "the store is locked", "panic": "broken wiring"} {
		t.Run(start, func(t *testing.T) {
			s := faastest.StartSCF(t, faastest.Build(t, testfunc), with("START", start))
			res, err := s.Do(faastest.SCFFunctionURL, get("/greeting"))
			if err != nil {
				t.Fatal(err)
			}
			wantBland(t, res.StatusCode, read(t, res))
			if line := s.WaitLog(t, "cannot start"); !strings.Contains(line["error"].(string), want) {
				t.Errorf("logged %v", line)
			}
		})
	}
}

func TestSCFConcurrentFirstInvocationsBuildOnce(t *testing.T) {
	s := faastest.StartSCF(t, faastest.Build(t, testfunc), greeting)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			res, err := s.Do(faastest.SCFFunctionURL, get("/greeting"))
			if err != nil || res.StatusCode != 200 {
				t.Errorf("%v, %v", res, err)
			}
		})
	}
	wg.Wait()
	if n := countLogs(s.Process, "building"); n != 1 {
		t.Errorf("built %d times", n)
	}
}

func countLogs(p *faastest.Process, msg string) (n int) {
	for _, line := range p.Logs() {
		if line["msg"] == msg {
			n++
		}
	}
	return n
}

// A deadline of zero is 1970 to the library, whose context has then ended.
func TestSCFWithoutDeadline(t *testing.T) {
	s := faastest.StartSCF(t, faastest.Build(t, testfunc), greeting)
	s.Timeout = 0
	res, err := s.Do(faastest.SCFFunctionURL, get("/echo/x"))
	if err != nil {
		t.Fatal(err)
	}
	if got := decode[seen](t, res); got.Ended || got.Deadline {
		t.Errorf("deadline %v, already over %v", got.Deadline, got.Ended)
	}
	if err := s.Async([]byte(`"well"`)); err != nil {
		t.Error(err)
	}
}

// The library's own event type loses isBase64Encoded.
func TestSCFGatewayBase64Body(t *testing.T) {
	s := faastest.StartSCF(t, faastest.Build(t, testfunc), greeting)
	got := invoke(t, s, `{"httpMethod":"POST","path":"/echo/x","queryString":{},"headers":{},"body":"aGVsbG8=","isBase64Encoded":true}`)
	if string(got.Body) != "hello" {
		t.Errorf("body %q", got.Body)
	}
}

// The library's own event type fails the whole event on a number and forgets
// the value of true.
func TestSCFQueryThatIsNotText(t *testing.T) {
	s := faastest.StartSCF(t, faastest.Build(t, testfunc), greeting)
	got := invoke(t, s, `{"httpMethod":"GET","path":"/echo/x","headers":{"x-number":7},
		"queryString":{"SdkAppid":1400000000,"big":12345678901234567890,"f":1.50,"on":true,"off":false,"none":null,"many":["a",2,null],"odd":{"k":1}},
		"queryStringParameters":{"SdkAppid":"of the API's declaration, not of the request"}}`)
	want := map[string][]string{
		"SdkAppid": {"1400000000"}, "big": {"12345678901234567890"}, "f": {"1.50"}, "on": {"true"}, "off": {"false"},
		"none": {""}, "many": {"a", "2", ""}, "odd": {`{"k":1}`},
	}
	if fmt.Sprint(got.Query) != fmt.Sprint(want) {
		t.Errorf("query %v, want %v", got.Query, want)
	}
	if got.Header.Get("X-Number") != "7" {
		t.Errorf("headers %v", got.Header)
	}
}

// On a function URL only the platform's own header names the client; behind the
// gateway that header is the client's.
func TestSCFClientAddress(t *testing.T) {
	s := faastest.StartSCF(t, faastest.Build(t, testfunc), greeting)
	tests := []struct{ name, event, want string }{
		{"function URL", `"headers":{"X-Scf-Remote-Addr":"203.0.113.7","X-Forwarded-For":"192.0.2.66"}`, "203.0.113.7:0"},
		{"gateway", `"headers":{"X-Scf-Remote-Addr":"192.0.2.66"},"requestContext":{"sourceIp":"2001:db8::1"}`, "[2001:db8::1]:0"},
		{"unknown", `"headers":{"X-Forwarded-For":"192.0.2.66"}`, ""},
		{"no address", `"headers":{"X-Scf-Remote-Addr":"somewhere"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := invoke(t, s, `{"httpMethod":"GET","path":"/echo/x","queryString":{},`+tt.event+`}`)
			if got.RemoteAddr != tt.want {
				t.Errorf("client %q, want %q", got.RemoteAddr, tt.want)
			}
		})
	}
}

// The library answers a panic it sees with an error that asks to end the
// process.
func TestSCFPanicNeverReachesTheLibrary(t *testing.T) {
	s := faastest.StartSCF(t, faastest.Build(t, testfunc), greeting)
	for _, target := range []string{"/panic", "/panic/late"} {
		res, err := s.Do(faastest.SCFFunctionURL, get(target))
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		wantBland(t, res.StatusCode, read(t, res))
	}
	wantBlandError(t, s.Async([]byte(`"panic"`)), "kaput")
}

func TestSCFTimer(t *testing.T) {
	s := faastest.StartSCF(t, faastest.Build(t, testfunc), greeting)
	if err := s.Timer(); err != nil {
		t.Fatal(err)
	}
	if line := s.WaitLog(t, "ticked"); line["requestId"] != "10000000-0000-4000-8000-000000000001" {
		t.Errorf("logged %v", line)
	}
	s = faastest.StartSCF(t, faastest.Build(t, testfunc), with("DOES", "failing-tick"))
	wantBlandError(t, s.Timer(), "the clock stands still")
}

// invoke sends a raw event for /echo.
func invoke(t *testing.T, s *faastest.SCF, event string) seen {
	t.Helper()
	payload, err := s.Invoke([]byte(event))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		StatusCode int
		Body       string
	}
	var got seen
	if err := json.Unmarshal(payload, &answer); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", payload, err)
	}
	if err := json.Unmarshal([]byte(answer.Body), &got); err != nil {
		t.Fatal(err)
	}
	return got
}
