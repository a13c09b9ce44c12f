package faas_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
)

const testfunc = "./internal/testfunc"

// greeting is the environment in which testfunc starts.
var greeting = map[string]string{"GREETING": "hello"}

// with is greeting and more.
func with(name, value string) map[string]string {
	return map[string]string{"GREETING": "hello", name: value}
}

type seen struct {
	Method, Path, RawPath, ID, RawQuery, Host, RemoteAddr, RequestID string
	Query                                                            map[string][]string
	Header                                                           http.Header
	Body                                                             []byte
	Length                                                           int64
	Deadline, Ended                                                  bool
}

func decode[T any](t *testing.T, res *http.Response) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(read(t, res)), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

// shapeOf is the shape that a test run by Everywhere is in.
func shapeOf(t *testing.T) faastest.Shape {
	return faastest.Shape(t.Name()[strings.LastIndexByte(t.Name(), '/')+1:])
}

func isSCF(t *testing.T) bool {
	return shapeOf(t) == faastest.SCFGateway || shapeOf(t) == faastest.SCFFunctionURL
}

// The query of a callback as IM sends it, and names that URLs must escape.
const (
	imQuery = "SdkAppid=1400000000&CallbackCommand=Group.CallbackBeforeSendMsg&contenttype=json" +
		"&ClientIP=198.51.100.4&OptPlatform=Web&RequestTime=1700000000&Sign=0a1b%2Bc%2F%3D"
	strangePath = "/echo/@TGS%232ABC%2Fx/%E6%88%BF%20%25"
)

func TestRequestArrivesAsItWasSent(t *testing.T) {
	faastest.Everywhere(t, faastest.Build(t, testfunc), greeting, func(t *testing.T, do func(*http.Request) *http.Response) {
		body := `{"Text":"<嗨> & \"quotes\" 🎉"}`
		r := httptest.NewRequest(http.MethodPost, "https://api.example.com"+strangePath+"?"+imQuery+"&k=1&k=2&empty=", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		r.Header.Set("X-Forwarded-For", "192.0.2.66")
		r.AddCookie(&http.Cookie{Name: "a", Value: "1"})
		r.AddCookie(&http.Cookie{Name: "b", Value: "2"})
		res := do(r)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s, %s", res.Status, res.Header)
		}
		got := decode[seen](t, res)

		if got.Method != "POST" || got.Host != "api.example.com" || got.Header.Get("Host") != "" {
			t.Errorf("%s on host %q", got.Method, got.Host)
		}
		if got.RawPath != strangePath || got.ID != "@TGS#2ABC/x/房 %" {
			t.Errorf("path %q, id %q", got.RawPath, got.ID)
		}
		for name, want := range r.URL.Query() {
			if !slices.Equal(got.Query[name], want) {
				t.Errorf("query %s = %q, want %q", name, got.Query[name], want)
			}
		}
		keepsQuery := shapeOf(t) != faastest.RESTv1 && !isSCF(t) // the others decode it
		if keepsQuery && got.RawQuery != r.URL.RawQuery {
			t.Errorf("raw query %q, want %q", got.RawQuery, r.URL.RawQuery)
		}
		if string(got.Body) != body || got.Length != int64(len(body)) {
			t.Errorf("body %q of length %d", got.Body, got.Length)
		}
		if got.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("headers %v", got.Header)
		}
		if cookie := strings.Join(got.Header["Cookie"], "; "); cookie != "a=1; b=2" {
			t.Errorf("cookies %q", cookie)
		}
		wantAddr, wantDeadline := faastest.ClientIP+":0", true
		if shapeOf(t) == faastest.Plain {
			wantAddr, wantDeadline = "127.0.0.1:", false
		}
		if !strings.HasPrefix(got.RemoteAddr, wantAddr) {
			t.Errorf("client %q, want %q", got.RemoteAddr, wantAddr)
		}
		if got.Deadline != wantDeadline || got.Ended {
			t.Errorf("deadline %v, already over %v", got.Deadline, got.Ended)
		}
		if got.RequestID == "" {
			t.Error("no request id")
		}
	})
}

func TestBinaryRequestBody(t *testing.T) {
	body := []byte{0xff, 0x00, 0x80, '{'}
	faastest.Everywhere(t, faastest.Build(t, testfunc), greeting, func(t *testing.T, do func(*http.Request) *http.Response) {
		if shapeOf(t) == faastest.SCFFunctionURL {
			return // its event has no way to hold one
		}
		got := decode[seen](t, do(httptest.NewRequest(http.MethodPut, "/echo/", bytes.NewReader(body))))
		if !bytes.Equal(got.Body, body) || got.Length != int64(len(body)) {
			t.Errorf("body %x of length %d, want %x", got.Body, got.Length, body)
		}
	})
}

func TestAnswersLeaveAsTheyWereWritten(t *testing.T) {
	faastest.Everywhere(t, faastest.Build(t, testfunc), greeting, func(t *testing.T, do func(*http.Request) *http.Response) {
		res := do(get("/plain"))
		if body := read(t, res); res.StatusCode != 418 || body != "<html>short & stout</html>" {
			t.Errorf("%s %q", res.Status, body)
		}
		if got := res.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("content type %q was not found out", got)
		}
		if got := strings.Join(res.Header["X-Many"], ", "); got != "one, two" || res.Header.Get("X-Late") != "" {
			t.Errorf("headers %v", res.Header)
		}

		res = do(get("/nothing"))
		if body := read(t, res); res.StatusCode != 200 || body != "" {
			t.Errorf("silent handler: %s %q", res.Status, body)
		}
		res = do(get("/nowhere"))
		if body := read(t, res); res.StatusCode != 404 || body == "" {
			t.Errorf("unknown route: %s %q", res.Status, body)
		}
		res = do(httptest.NewRequest(http.MethodHead, "/plain", nil))
		if body := read(t, res); res.StatusCode != 418 || body != "" {
			t.Errorf("HEAD: %s %q", res.Status, body)
		}
	})
}

func TestBinaryAnswer(t *testing.T) {
	faastest.Everywhere(t, faastest.Build(t, testfunc), greeting, func(t *testing.T, do func(*http.Request) *http.Response) {
		res := do(get("/binary"))
		body := read(t, res)
		if isSCF(t) { // has no way to say so; better nothing than something else
			wantBland(t, res.StatusCode, body)
			return
		}
		if res.StatusCode != 200 || body != "\xff\x00\xfeb\"" {
			t.Errorf("%s %q", res.Status, body)
		}
	})
}

func TestSeveralCookies(t *testing.T) {
	faastest.Everywhere(t, faastest.Build(t, testfunc), greeting, func(t *testing.T, do func(*http.Request) *http.Response) {
		res := do(get("/cookies"))
		if isSCF(t) {
			wantBland(t, res.StatusCode, read(t, res))
			return
		}
		if got := fmt.Sprint(res.Cookies()); res.StatusCode != 200 || got != "[a=1 b=2]" {
			t.Errorf("%s, cookies %s", res.Status, got)
		}
	})
}

// A panic must not end the instance, nor tell the caller anything.
func TestPanicInHandler(t *testing.T) {
	faastest.Everywhere(t, faastest.Build(t, testfunc), greeting, func(t *testing.T, do func(*http.Request) *http.Response) {
		for range 2 {
			res := do(get("/panic"))
			wantBland(t, res.StatusCode, read(t, res))
		}
		if res := do(get("/greeting")); res.StatusCode != 200 {
			t.Errorf("afterwards: %s", res.Status)
		}
	})
}

func TestAnswerTooLargeForThePlatform(t *testing.T) {
	faastest.Everywhere(t, faastest.Build(t, testfunc), greeting, func(t *testing.T, do func(*http.Request) *http.Response) {
		res := do(get("/big"))
		body := read(t, res)
		if shapeOf(t) == faastest.Plain { // has no such limit
			if res.StatusCode != 200 || len(body) != 7<<20 {
				t.Errorf("%s, %d bytes", res.Status, len(body))
			}
			return
		}
		wantBland(t, res.StatusCode, body)
	})
}

func TestHealth(t *testing.T) {
	faastest.Everywhere(t, faastest.Build(t, testfunc), greeting, func(t *testing.T, do func(*http.Request) *http.Response) {
		res := do(get("/healthz"))
		body := read(t, res)
		var v struct{ Status, Function, Version string }
		if err := json.Unmarshal([]byte(body), &v); err != nil || res.StatusCode != 200 || v.Status != "ok" || v.Function != "testfunc" || v.Version == "" {
			t.Errorf("%s %s", res.Status, body)
		}
		if res := do(httptest.NewRequest(http.MethodPost, "/healthz", nil)); res.StatusCode != 404 {
			t.Errorf("POST is the app's: %s", res.Status)
		}
	})
}

// wantBland checks an answer that must explain nothing but the request id.
func wantBland(t *testing.T, status int, body string) {
	t.Helper()
	var out struct {
		Error struct{ Code, Message, RequestID string }
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("%.200q: %v", body, err)
	}
	if status != 500 || out.Error.Code != "internal" || out.Error.RequestID == "" ||
		out.Error.Message != "something went wrong on our side" {
		t.Errorf("%d %s", status, body)
	}
}
