package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// shopper asks the demo shop alone, with nothing behind it.
func shopper(t *testing.T) (ask func(method, path, body string) *httptest.ResponseRecorder, s *storefront) {
	t.Helper()
	s, err := newStorefront(newScene("http://127.0.0.1:8081"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s.routes(func(pattern string, h http.Handler) { mux.Handle(pattern, h) })
	return func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, bytes.NewBufferString(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}, s
}

// TestNothingWhileBlank: a block that lacks a required setting renders nothing for
// shoppers, and says in the theme editor what is missing.
func TestNothingWhileBlank(t *testing.T) {
	for _, missing := range []string{"sdk_app_id", "usersig_url", "agent_user_id"} {
		ask, s := shopper(t)
		if w := ask("PUT", "/dev/shop", `{"values":{"`+missing+`":""}}`); w.Code != 200 {
			t.Fatal(w.Body)
		}
		out, err := s.render("en", "", false, false)
		if err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("without %s: %q, %v", missing, out, err)
		}
		if out, err = s.render("en", "", true, false); err != nil || !strings.Contains(out, "not shown yet") || strings.Count(out, "<li>") != 1 || strings.Contains(out, "<script") {
			t.Errorf("without %s the theme editor shows %q, %v", missing, out, err)
		}
	}
}

func TestBlock(t *testing.T) {
	_, s := shopper(t)
	for _, tt := range []struct {
		language, customer string
		design             bool
		want               []string
	}{
		{"en", "", false, []string{`data-label="Chat with us"`, `data-language="en"`, `data-customer=""`, `data-preview="false"`, `data-z-index="2147483000"`, `src="/chat/launcher.js"`, `data-usersig-url="/apps/im"`}},
		{"ja", "1001", false, []string{`data-label="チャットで問い合わせる"`, `data-language="ja"`, `data-customer="1001"`}},
		{"zh-CN", "", true, []string{`data-label="在线咨询"`, `data-language="zh-CN"`, `data-preview="true"`, `data-shopify-editor-block`}},
	} {
		out, err := s.render(tt.language, tt.customer, tt.design, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %s in %s", tt.language, want, out)
			}
		}
	}
}

// TestHostileSettings: what a merchant types stays text.
func TestHostileSettings(t *testing.T) {
	ask, s := shopper(t)
	const evil = `\"><script>alert(1)</script><img src=x onerror='alert(2)'>{{ 7 | times: 7 }}`
	for _, id := range []string{"sdk_app_id", "usersig_url", "agent_user_id", "logo_url", "first_line", "second_line", "color"} {
		if w := ask("PUT", "/dev/shop", `{"values":{"`+id+`":"`+evil+`"}}`); w.Code != 200 {
			t.Fatalf("%s: %s", id, w.Body)
		}
	}
	out, err := s.render("en", `"><b>`, false, false)
	if err != nil || strings.Count(out, "<script") != 1 || strings.Contains(out, "<img") || strings.Contains(out, "49") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestShopSettings(t *testing.T) {
	ask, s := shopper(t)
	before, err := s.render("en", "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		`{"values":{"nothing":"x"}}`, `{"values":{"":"x"}}`, `{"values":{"position":"above"}}`, `{"values":{"offset_x":121}}`, `{"values":{"offset_x":"20"}}`,
		`{"values":{"first_line":7}}`, `{"values":{"first_line":"` + strings.Repeat("x", 2001) + `"}}`, `{"valuez":{}}`, `[]`,
		`{"values":{"first_line":"kept?","position":"above"}}`,
	} {
		if w := ask("PUT", "/dev/shop", bad); w.Code != 400 {
			t.Errorf("%.60s: %d %s", bad, w.Code, w.Body)
		}
	}
	if after, err := s.render("en", "", false, false); err != nil || after != before {
		t.Errorf("a refused change was kept: %s, %v", after, err)
	}
	if w := ask("PUT", "/dev/shop", `{"values":{"offset_x":64,"position":"left","first_line":"Hello"}}`); w.Code != 200 {
		t.Error(w.Body)
	}
	after, err := s.render("en", "", false, false)
	for _, want := range []string{`data-offset-x="64"`, `data-position="left"`, `data-first-line="Hello"`} {
		if err != nil || !strings.Contains(after, want) {
			t.Errorf("no %s in %s, %v", want, after, err)
		}
	}
}

func TestShopLogin(t *testing.T) {
	ask, _ := shopper(t)
	for body, want := range map[string]int{"customer=1001": 303, "customer=": 303, "customer=ann": 400, "customer=12345678901234567": 400} {
		r := httptest.NewRequest("POST", "/shop/login?lang=ja", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		_, s := shopper(t)
		mux := http.NewServeMux()
		s.routes(func(pattern string, h http.Handler) { mux.Handle(pattern, h) })
		mux.ServeHTTP(w, r)
		if w.Code != want || want == 303 && w.Header().Get("Location") != "/shop/?lang=ja" {
			t.Errorf("%s: %d %s", body, w.Code, w.Header().Get("Location"))
		}
	}
	for path, want := range map[string]string{"/chat/launcher.js": "text/javascript", "/chat/agent.html": "text/html", "/chat/config.js": "text/javascript", "/shop/logo.svg": "image/svg", "/shop/": "text/html"} {
		if w := ask("GET", path, ""); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), want) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'self';") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/chat/chat.go", "/chat/sdk", "/chat/nothing.js", "/shop/nothing.css"} {
		if w := ask("GET", path, ""); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
