package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

func post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	return r
}

// embedded is part of a body as the struct that embeds it is.
type embedded struct {
	Title string                    `json:"title"`
	List  []struct{ embeddedBelow } `json:"list"`
}

type embeddedBelow struct {
	Count int `json:"count"`
}

func TestDecode(t *testing.T) {
	var got struct {
		Name string `json:"name"`
		N    int8   `json:"n"`
		Deep struct {
			On bool `json:"on"`
		} `json:"deep"`
		Any any `json:"any"`
		embedded
	}
	if err := api.Decode(post(` {"name":"a","n":7,"deep":{"on":true},"any":[{"x":1},{"x":2}]} `), &got); err != nil || got.Name != "a" || got.N != 7 || !got.Deep.On {
		t.Errorf("%+v, %v", got, err)
	}
	for _, tt := range []struct {
		name, body string
		code       fault.Code
		says       string
	}{
		{"empty", "", fault.Invalid, "not a JSON object"},
		{"truncated", `{"name":"a"`, fault.Invalid, "not a JSON object"},
		{"two values", `{"name":"a"}{}`, fault.Invalid, "not a JSON object"},
		{"a list", `[]`, fault.Invalid, "not a JSON object"},
		{"null", `null`, fault.Invalid, "not a JSON object"},
		{"a raw NUL", "{\"name\":\"\x00\"}", fault.Invalid, "not a JSON object"},
		{"not UTF-8", "{\"name\":\"\xff\"}", fault.Invalid, "UTF-8"},
		{"wrong type", `{"name":7}`, fault.Invalid, `"name" must be text`},
		{"wrong type below", `{"deep":{"on":"yes"}}`, fault.Invalid, `"deep.on" must be true or false`},
		{"not an object", `{"deep":[]}`, fault.Invalid, `"deep" must be a JSON object`},
		{"too big a number", `{"n":300}`, fault.Invalid, `"n" must be a number in range`},
		{"wrong type in an embedded struct", `{"title":7}`, fault.Invalid, `field "title" must be text`},
		{"wrong type in a list", `{"list":[{"count":"x"}]}`, fault.Invalid, `field "list.count" must be a number in range`},
		{"twice", `{"name":"a","name":"b"}`, fault.Invalid, `"name" occurs twice`},
		{"twice below", `{"deep":{"on":true,"on":false}}`, fault.Invalid, `"deep.on" occurs twice`},
		{"twice in a list", `{"any":[1,{"y":1,"y":2}]}`, fault.Invalid, `"any.y" occurs twice`},
		{"twice by escape", `{"name":"a","n\u0061me":"b"}`, fault.Invalid, `"name" occurs twice`},
		{"too large", `{"name":"` + strings.Repeat("a", api.MaxBody) + `"}`, fault.TooLarge, "64 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := api.Decode(post(tt.body), &got)
			if err == nil || fault.CodeOf(err) != tt.code || !strings.Contains(fault.Of(err).Message, tt.says) {
				t.Errorf("%v, want %s saying %q", err, tt.code, tt.says)
			}
		})
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json2", ";"} {
		r := post(`{}`)
		r.Header.Set("Content-Type", media)
		if err := api.Decode(r, &got); fault.CodeOf(err) != fault.UnsupportedMedia {
			t.Errorf("Content-Type %q: %v", media, err)
		}
	}
	broken := post("")
	broken.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), errReader{}))
	if err := api.Decode(broken, &got); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a body that breaks off: %v", err)
	}
}

// TestNamesAreExact: a caller who misspells a field learns of it, and a field
// that differs in the case of its letters alone is another field.
func TestNamesAreExact(t *testing.T) {
	type embedded struct {
		Kind string `json:"kind"`
	}
	type target struct {
		embedded
		UserID  string               `json:"userID"`
		Deep    []*struct{ On bool } `json:"deep"`
		Raw     json.RawMessage      `json:"raw"`
		Labels  map[string]string    `json:"labels"`
		At      time.Time            `json:"at"`
		private int
		Skipped string `json:"-"`
	}
	good := `{"kind":"k","userID":"a","deep":[{"On":true},null],"raw":{"x":{"y":[1]}},"labels":{"any":"name"},"at":"2026-11-29T00:00:00Z"}`
	var got target
	if err := api.Decode(post(good), &got); err != nil || got.UserID != "a" || got.Kind != "k" || !got.Deep[0].On || got.Labels["any"] != "name" || got.private != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for body, says := range map[string]string{
		`{"userID":"alice","userid":"bob"}`: `"userid" occurs twice`,
		`{"userid":"bob"}`:                  `the field "userid" is not known here: write "userID"`,
		`{"points":30}`:                     `the field "points" is not known here`,
		`{"deep":[{"On":true,"of":1}]}`:     `the field "deep.of" is not known here`,
		`{"deep":[{"on":true}]}`:            `the field "deep.on" is not known here: write "On"`,
		`{"raw":{"a":{"b":1,"B":2}}}`:       `"raw.a.B" occurs twice`,
		`{"labels":{"a":"1","A":"2"}}`:      `"labels.A" occurs twice`,
		`{"private":1}`:                     `"private" is not known`,
		`{"Skipped":"x"}`:                   `"Skipped" is not known`,
		`{"embedded":{"kind":"k"}}`:         `"embedded" is not known`,
		`{"":1}`:                            `"" is not known`,
	} {
		var got target
		err := api.Decode(post(body), &got)
		if err == nil || fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Of(err).Message, says) {
			t.Errorf("%s: %v, want it to say %q", body, err, says)
		}
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":{"b":[{"c":1}]},"d":"e"}`, `{"a":1,"a":2}`, "{\"\xff\":1}", `{"a":[[[{}]]]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var v map[string]any
		err := api.Decode(post(body), &v)
		if err == nil && !json.Valid([]byte(body)) {
			t.Errorf("accepted %q", body)
		}
		if err != nil && fault.CodeOf(err).Status() >= 500 {
			t.Errorf("%q is somebody else's fault: %v", body, err)
		}
	})
}

func TestErrorsHaveOneShape(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	for _, tt := range []struct {
		err     error
		status  int
		body    string
		logged  bool
		retryIn string
	}{
		{fault.New(fault.Forbidden, "not <yours>"), 403, `{"error":{"code":"forbidden","message":"not <yours>","requestId":"id-7"}}`, false, ""},
		{fault.New(fault.Throttled, "slow down").After(1500 * time.Millisecond), 429, `{"error":{"code":"throttled","message":"slow down","requestId":"id-7"}}`, false, "2"},
		{errors.New("dial 10.0.0.7"), 500, `{"error":{"code":"internal","message":"something went wrong on our side","requestId":"id-7"}}`, true, ""},
	} {
		log.Reset()
		r := post("a body that is nobody's business")
		r.URL.RawQuery = "q=secret-query"
		r.Header.Set("Authorization", "Bearer secret-key")
		r = r.WithContext(fault.WithRequestID(r.Context(), "id-7"))
		w := httptest.NewRecorder()
		api.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return tt.err }).ServeHTTP(w, r)
		if w.Code != tt.status || strings.TrimSpace(w.Body.String()) != tt.body || w.Header().Get("Retry-After") != tt.retryIn {
			t.Errorf("%v: %d %s %v", tt.err, w.Code, w.Body, w.Header())
		}
		if logged := strings.Contains(log.String(), tt.err.Error()); logged != tt.logged {
			t.Errorf("%v: the log has %s", tt.err, log.String())
		}
		for _, secret := range []string{"secret", "business"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log has %q in it", secret)
			}
		}
	}
}

// TestTroubleMeansTheSameOnEveryRoute: what a route returns unwrapped becomes 503
// where a service does not answer and 504 where the request's own time ended.
func TestTroubleMeansTheSameOnEveryRoute(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		again  string
	}{
		{fmt.Errorf("%w: node 3 is away", kv.ErrUnavailable), 503, "5"},
		{fmt.Errorf("rediskv: %w: %w", kv.ErrUnavailable, context.DeadlineExceeded), 503, "5"},
		{&kv.ConflictError{Partition: "p", Key: "k"}, 503, "1"},
		{fmt.Errorf("get: %w", context.DeadlineExceeded), 504, ""},
		{fmt.Errorf("get: %w", context.Canceled), 503, ""},
	} {
		w := httptest.NewRecorder()
		api.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return tt.err }).ServeHTTP(w, post(""))
		if w.Code != tt.status || w.Header().Get("Retry-After") != tt.again || strings.Contains(w.Body.String(), "node 3") {
			t.Errorf("%v: %d, Retry-After %q, %s", tt.err, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

func TestRoutes(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, r *http.Request) { api.Reply(w, 200, r.PathValue("id")) })
	mux.HandleFunc("PUT /rooms/{id}", func(http.ResponseWriter, *http.Request) {})
	h := api.Routes(mux)
	for _, tt := range []struct {
		method, path string
		status       int
		body, allow  string
	}{
		{"GET", "/rooms/7", 200, `"7"`, ""},
		{"DELETE", "/rooms/7", 405, `{"error":{"code":"method_not_allowed","message":"this path takes GET, HEAD, PUT","requestId":""}}`, "GET, HEAD, PUT"},
		{"GET", "/elsewhere", 404, `{"error":{"code":"not_found","message":"there is nothing at this path","requestId":""}}`, ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), tt.method, tt.path, nil))
		if w.Code != tt.status || strings.TrimSpace(w.Body.String()) != tt.body || w.Header().Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d %s, Allow %q", tt.method, tt.path, w.Code, w.Body, w.Header().Get("Allow"))
		}
	}
}

func TestCORS(t *testing.T) {
	served := 0
	h := api.CORS([]string{"https://shop.example.com"}, "POST", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	for _, tt := range []struct {
		name, method, origin, asks string
		allowed                    string
		served                     int
	}{
		{"preflight", "OPTIONS", "https://shop.example.com", "POST", "https://shop.example.com", 0},
		{"preflight from elsewhere", "OPTIONS", "https://evil.example.com", "POST", "", 0},
		{"request", "POST", "https://shop.example.com", "", "https://shop.example.com", 1},
		{"request from elsewhere", "POST", "https://shop.example.com.evil.com", "", "", 1},
		{"no browser", "POST", "", "", "", 1},
		{"null origin", "POST", "null", "", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			served = 0
			r := httptest.NewRequest(tt.method, "/", nil)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if tt.asks != "" {
				r.Header.Set("Access-Control-Request-Method", tt.asks)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != tt.allowed || served != tt.served {
				t.Errorf("allowed %q, served %d times", got, served)
			}
			if w.Header().Get("Vary") != "Origin" {
				t.Error("a cache could give one origin's answer to another")
			}
			if w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Error("cookies are allowed")
			}
		})
	}
}
