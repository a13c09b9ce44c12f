package desk

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	mux := http.NewServeMux()
	page{ancestors: []string{"https://acme.zendesk.com"}}.routes(mux)
	do := func(method, path, body string) *http.Response {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w.Result()
	}
	for _, file := range []string{"agent.html", "agent.js", "config.js", "zendesk.html", "zendesk.js", "zendesk.css"} {
		res := do("GET", "/chat/"+file, "")
		policy := res.Header.Get("Content-Security-Policy")
		if res.StatusCode != 200 || !strings.HasSuffix(policy, "frame-ancestors 'self' https://acme.zendesk.com") {
			t.Errorf("%s: %d %s", file, res.StatusCode, policy)
		}
		if strings.HasPrefix(file, "zendesk") != strings.Contains(policy, zafHost) {
			t.Errorf("%s may load scripts from: %s", file, policy)
		}
	}
	for _, file := range []string{"none.js", "agent_test.go", "..%2Fdesk.go"} {
		if res := do("GET", "/chat/"+file, ""); res.StatusCode != 404 {
			t.Errorf("%s: %d", file, res.StatusCode)
		}
	}
	res := do("POST", "/zendesk/app?location=ticket_sidebar&origin=https%3A%2F%2Facme.zendesk.com&app_guid=g&next=//evil.example.com", "token=aa.bb-c.d_d")
	if want := "/chat/zendesk.html?app_guid=g&location=ticket_sidebar&origin=https%3A%2F%2Facme.zendesk.com#token=aa.bb-c.d_d"; res.StatusCode != 303 || res.Header.Get("Location") != want {
		t.Errorf("%d %s, want %s", res.StatusCode, res.Header.Get("Location"), want)
	}
	for _, bad := range []string{"", "token=", "token=a.b", "token=a.b.c%26x", "token=%zz", "token=" + strings.Repeat("a", 70<<10)} {
		if res := do("POST", "/zendesk/app", bad); res.StatusCode != 400 && res.StatusCode != 413 {
			t.Errorf("%.20s: %d", bad, res.StatusCode)
		}
	}
	off := http.NewServeMux()
	page{}.routes(off)
	w := httptest.NewRecorder()
	off.ServeHTTP(w, httptest.NewRequest("GET", "/chat/agent.html", nil))
	if w.Code != 404 {
		t.Errorf("without a desk the page is served: %d", w.Code)
	}
}
