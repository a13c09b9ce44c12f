package faas

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The recorder answers as net/http does: both serve the same handlers.
func TestRecorderIsLikeNetHTTP(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"implicit 200": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
		},
		"status twice": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusConflict)
		},
		"header after the status": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Early", "1")
			w.WriteHeader(http.StatusAccepted)
			w.Header().Set("X-Late", "1")
		},
		"header after the body": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "x")
			w.Header().Set("X-Late", "1")
		},
		"sniffed": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<!DOCTYPE html><p>"))
		},
		"not sniffed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("<!DOCTYPE html><p>"))
		},
		"sniffing turned off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write([]byte("<!DOCTYPE html><p>"))
		},
		"encoded": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte("<!DOCTYPE html><p>"))
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := w.Write([]byte("x")); err == nil {
				panic("a body was accepted")
			}
		},
		"not modified": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"1"`)
			w.WriteHeader(http.StatusNotModified)
		},
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, "x")
		},
		"line breaks in a header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Split", "a\r\nX-Injected: b")
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) },
		"error":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"panic":    func(http.ResponseWriter, *http.Request) { panic("kaput") },
		"status out of range": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(1)
		},
	}
	for name, h := range handlers {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			t.Run(name+" "+method, func(t *testing.T) {
				want := overNetHTTP(t, method, h)
				for _, k := range []kind{httpV2, httpREST, httpALB, httpALBMulti, httpTencent} {
					if got := overEvent(t, method, h, k); got != want {
						t.Errorf("kind %v: got\n%s\nnet/http:\n%s", k, got, want)
					}
				}
			})
		}
	}
}

func overNetHTTP(t *testing.T, method string, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(server{"test", h})
	defer s.Close()
	r, err := http.NewRequest(method, s.URL+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Header.Del("Date")
	res.Header.Del("Content-Length") // the gateways count for themselves
	return fmt.Sprintln(res.StatusCode, res.Header, string(body))
}

func overEvent(t *testing.T, method string, h http.Handler, k kind) string {
	t.Helper()
	e := &event{HTTPMethod: method, Path: "/x"}
	e.RequestContext.HTTP = &struct {
		Method   string `json:"method"`
		SourceIP string `json:"sourceIp"`
	}{Method: method}
	e.RawPath = "/x"
	out, err := invocation{"test", &App{HTTP: h}, e, k}.handle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var a reply
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatal(err)
	}
	header := http.Header(a.MultiHeaders)
	if header == nil {
		header = http.Header{}
	}
	for name, v := range a.Headers {
		header.Set(name, v)
	}
	return fmt.Sprintln(a.StatusCode, header, a.Body)
}

// The encoded answer is what the platform bounds: base64 makes it longer.
func TestReplyIsBoundedEncoded(t *testing.T) {
	tests := []struct {
		name string
		body []byte
		k    kind
		ok   bool
	}{
		{"text", bytes.Repeat([]byte("x"), 6<<20-200), httpV2, true},
		{"HTML is not escaped", bytes.Repeat([]byte("<"), 6<<20-200), httpREST, true},
		{"base64 fits", bytes.Repeat([]byte{0xff}, 4<<20), httpV2, true},
		{"base64 does not fit", bytes.Repeat([]byte{0xff}, 5<<20), httpV2, false},
		{"quotes do not fit", bytes.Repeat([]byte(`"`), 4<<20), httpTencent, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecorder(httptest.NewRequest(http.MethodGet, "/", nil))
			if _, err := rec.Write(tt.body); err != nil {
				t.Fatal(err)
			}
			out, err := rec.encode(tt.k)
			if (err == nil) != tt.ok || len(out) > maxReply {
				t.Errorf("%d bytes, %v", len(out), err)
			}
		})
	}
}

func TestRecorderStopsAtTheBound(t *testing.T) {
	rec := newRecorder(httptest.NewRequest(http.MethodGet, "/", nil))
	chunk := []byte(strings.Repeat("x", 1<<20))
	var err error
	for range 7 {
		_, err = rec.Write(chunk)
	}
	if err == nil || rec.body.Len() > maxReply {
		t.Errorf("holds %d bytes, %v", rec.body.Len(), err)
	}
	if _, err := rec.Write([]byte("x")); err == nil {
		t.Error("goes on after a gap")
	}
}

func FuzzReplyRoundTrip(f *testing.F) {
	f.Add(200, "text/plain", []byte("hello <嗨>"))
	f.Add(404, "", []byte{0xff, 0, 0xfe})
	f.Add(500, "a\r\nb", []byte("\u2028\ufffd"))
	f.Fuzz(func(t *testing.T, status int, value string, body []byte) {
		if status < 200 || status > 999 {
			return
		}
		for _, k := range []kind{httpV2, httpREST, httpALB, httpALBMulti, httpTencent} {
			rec := newRecorder(httptest.NewRequest(http.MethodGet, "/", nil))
			rec.Header().Set("X-Value", value)
			rec.WriteHeader(status)
			n, _ := rec.Write(body)
			out, err := rec.encode(k)
			if err != nil {
				continue
			}
			var a reply
			if err := json.Unmarshal(out, &a); err != nil {
				t.Fatal(err)
			}
			got := []byte(a.Body)
			if a.IsBase64Encoded {
				if got, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
					t.Fatal(err)
				}
			}
			if a.StatusCode != status || !bytes.Equal(got, body[:n]) {
				t.Errorf("kind %v: %d %q, want %d %q", k, a.StatusCode, got, status, body)
			}
			if v := a.Headers["X-Value"]; strings.ContainsAny(v, "\r\n") {
				t.Errorf("header %q", v)
			}
		}
	})
}
