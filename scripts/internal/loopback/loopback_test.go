package loopback_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/scripts/internal/loopback"
)

func TestOnly(t *testing.T) {
	h := loopback.Only(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), "https://shop.example.com")
	for _, tt := range []struct {
		name, method, host string
		header             map[string]string
		status             int
	}{
		{"a program", "POST", "127.0.0.1:8080", nil, 200},
		{"by name", "POST", "localhost:8080", nil, 200},
		{"IPv6", "POST", "[::1]:8080", nil, 200},
		{"without a port", "GET", "[::1]", nil, 200},
		{"another machine of the network", "POST", "192.0.2.7:8080", nil, 200},
		{"a name that leads here", "POST", "rebound.example.com:8080", nil, 403},
		{"no Host", "GET", "", nil, 403},
		{"its own page", "POST", "127.0.0.1:8080", map[string]string{"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}, 200},
		{"the page of another port", "POST", "127.0.0.1:8081", map[string]string{"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"}, 200},
		{"a page of elsewhere", "POST", "127.0.0.1:8080", map[string]string{"Origin": "https://example.com", "Sec-Fetch-Site": "cross-site"}, 403},
		{"a page of elsewhere in an old browser", "POST", "127.0.0.1:8080", map[string]string{"Origin": "https://example.com"}, 403},
		{"an origin that is allowed", "POST", "127.0.0.1:8080", map[string]string{"Origin": "https://shop.example.com"}, 200},
		{"a sandbox", "POST", "127.0.0.1:8080", map[string]string{"Origin": "null"}, 403},
		{"an image of elsewhere", "GET", "127.0.0.1:8080", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403},
		{"a picture of the upload store", "GET", "127.0.0.1:8080/media/x/y.png", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 200},
		{"a frame of elsewhere", "GET", "127.0.0.1:8080", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403},
		{"a link followed", "GET", "127.0.0.1:8080", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		{"an address typed", "GET", "127.0.0.1:8080", map[string]string{"Sec-Fetch-Site": "none"}, 200},
	} {
		host, path, hasPath := strings.Cut(tt.host, "/")
		if !hasPath {
			path = "im"
		}
		r := httptest.NewRequest(tt.method, "/"+path, nil)
		r.Host = host
		for name, value := range tt.header {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, w.Code, tt.status)
		}
	}
}
