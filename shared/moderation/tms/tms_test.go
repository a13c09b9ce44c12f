package tms_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/tms"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

// open returns a checker before a service that answers so, and what that was
// asked.
func open(t *testing.T, answer http.HandlerFunc) *tms.Checker {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	c, err := tms.New(tms.Config{
		Account: tencentcloud.Account{Region: "ap-guangzhou", SecretID: "id", SecretKey: "key"}, URL: server.URL, BizType: "chat",
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(s string) moderation.Text {
	return moderation.Text{ID: "0123456789abcdef0123456789abcdef", From: "jane", GroupID: "@TGS#1", Text: s}
}

func TestOpinions(t *testing.T) {
	for answer, want := range map[string]moderation.Opinion{
		`{"Response":{"Suggestion":"Pass","Label":"Normal","Keywords":null,"RequestId":"r"}}`: moderation.Pass,
		`{"Response":{"Suggestion":"Review","Label":"Ad","RequestId":"r"}}`:                   moderation.Suspect,
		`{"Response":{"Suggestion":"Block","Label":"Abuse","RequestId":"r"}}`:                 moderation.Block,
	} {
		c := open(t, func(w http.ResponseWriter, r *http.Request) {
			var asked map[string]any
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			content, _ := base64.StdEncoding.DecodeString(asked["Content"].(string))
			if string(content) != "你好 hello" || asked["BizType"] != "chat" || asked["SessionId"] != "@TGS#1" || asked["DataId"] == nil {
				t.Errorf("asked %v", asked)
			}
			if r.Header.Get("X-TC-Action") != "TextModeration" || r.Header.Get("X-TC-Version") != "2020-12-29" {
				t.Errorf("asked %v", r.Header)
			}
			_, _ = io.WriteString(w, answer)
		})
		if o, label, err := c.Check(t.Context(), text("你好 hello")); err != nil || o != want || label == "" {
			t.Errorf("%s: %v %q %v", answer, o, label, err)
		}
	}
}

func TestNotSent(t *testing.T) {
	asked := 0
	c := open(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = io.WriteString(w, `{"Response":{"Suggestion":"Pass","Label":"Normal","RequestId":"r"}}`)
	})
	for s, sent := range map[string]bool{
		"good evening": true, "晚上好": true, "café 24/7": true, "こんにちは": false, "今日はいい天気": false, "안녕": false, "привет": false, "hello привет": false,
		"😀!!": false, "": false,
	} {
		asked = 0
		o, _, err := c.Check(t.Context(), text(s))
		if err != nil || (asked == 1) != sent || (o == moderation.Pass) != sent {
			t.Errorf("%q: asked %d times, %v, %v", s, asked, o, err)
		}
	}
}

// TestLongTexts: of one that the service does not take whole, the beginning.
func TestLongTexts(t *testing.T) {
	c := open(t, func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Content string }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		content, _ := base64.StdEncoding.DecodeString(asked.Content)
		if n := len([]rune(string(content))); n != tms.MaxText {
			t.Errorf("%d characters sent", n)
		}
		_, _ = io.WriteString(w, `{"Response":{"Suggestion":"Pass","Label":"Normal"}}`)
	})
	if _, _, err := c.Check(t.Context(), text(strings.Repeat("晚", tms.MaxText+1))); err != nil {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"Response":{"Error":{"Code":"InternalError","Message":"private"},"RequestId":"r"}}`)
		},
		"another answer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"Response":{"Suggestion":"Maybe"}}`)
		},
		"no JSON":           func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `<html>private</html>`) },
		"a status":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"a connection lost": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		o, _, err := open(t, answer).Check(t.Context(), text("hello"))
		if err == nil || o != moderation.NoOpinion || strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "hello") {
			t.Errorf("%s: %v, %v", name, o, err)
		}
	}
	hanging := open(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then it is noticed that nobody waits any more
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := hanging.Check(ctx, text("hello")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hanging: %v", err)
	}
	if _, err := tms.New(tms.Config{}); err == nil {
		t.Error("without a URL it would ask the real service")
	}
}
