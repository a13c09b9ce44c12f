package tencentmedia_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/media"
	"github.com/backchannel-im/backchannel/shared/moderation/media/tencentmedia"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

const seed = "a seed for these tests alone"

// open returns an inspector before a service that gives one answer, and what
// that was asked last.
func open(t *testing.T, answer string) (*tencentmedia.Inspector, func() (http.Header, map[string]any)) {
	t.Helper()
	var header http.Header
	var asked map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header, asked = r.Header, nil
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	in, err := tencentmedia.New(tencentmedia.Config{
		Account: tencentcloud.Account{Region: "ap-singapore", SecretID: "id", SecretKey: "key"},
		Images:  server.URL, Audio: server.URL, Video: server.URL, BizType: "chat", CallbackURL: "https://example.com/moderation/results", Seed: seed,
	})
	if err != nil {
		t.Fatal(err)
	}
	return in, func() (http.Header, map[string]any) { return header, asked }
}

func TestPictures(t *testing.T) {
	picture := media.File{ID: "ab-0", Kind: media.Image, URL: "https://files.invalid/a.jpg", From: "jane"}
	for answer, want := range map[string]moderation.Opinion{
		`{"Response":{"Suggestion":"Pass","Label":"Normal","RequestId":"r"}}`:        moderation.Pass,
		`{"Response":{"Suggestion":"Review","Label":"Porn","RequestId":"r"}}`:        moderation.Suspect,
		`{"Response":{"Suggestion":"Block","Label":"SomethingNew","Keywords":null}}`: moderation.Block,
	} {
		in, asked := open(t, answer)
		if o, err := in.Inspect(t.Context(), picture); err != nil || o != want {
			t.Errorf("%s: %v, %v", answer, o, err)
		}
		header, body := asked()
		if header.Get("X-TC-Action") != "ImageModeration" || body["FileUrl"] != picture.URL || body["DataId"] != "ab-0" || body["BizType"] != "chat" {
			t.Errorf("asked %v %v", header, body)
		}
	}
	for answer, final := range map[string]bool{
		`{"Response":{"Error":{"Code":"InvalidParameter.InvalidImageContent","Message":"private"},"RequestId":"r"}}`: true,
		`{"Response":{"Error":{"Code":"InternalError","Message":"private"},"RequestId":"r"}}`:                        false,
		`{"Response":{"Error":{"Code":"RequestLimitExceeded","Message":"private"},"RequestId":"r"}}`:                 false,
		`{"Response":{"Suggestion":"Perhaps","RequestId":"r"}}`:                                                      false,
		`not JSON`: false,
	} {
		in, _ := open(t, answer)
		if _, err := in.Inspect(t.Context(), picture); err == nil || errors.Is(err, media.ErrUnfit) != final || strings.Contains(err.Error(), "private") {
			t.Errorf("%s: %v; final should be %v", answer, err, final)
		}
	}
}

func TestTasks(t *testing.T) {
	for kind, action := range map[media.Kind]string{media.Audio: "CreateAudioModerationTask", media.Video: "CreateVideoModerationTask"} {
		in, asked := open(t, `{"Response":{"Results":[{"DataId":"ab-1","TaskId":"t","Code":"OK","Message":""}],"RequestId":"r"}}`)
		o, err := in.Inspect(t.Context(), media.File{ID: "ab-1", Kind: kind, URL: "https://files.invalid/a", From: "jane"})
		header, body := asked()
		if err != nil || o != moderation.NoOpinion || header.Get("X-TC-Action") != action || body["Seed"] != seed || body["CallbackUrl"] == nil {
			t.Errorf("%s: %v, %v, asked %v", kind, o, err, body)
		}
		if tasks := fmt.Sprint(body["Tasks"]); tasks != "[map[DataId:ab-1 Input:map[Type:URL Url:https://files.invalid/a]]]" {
			t.Errorf("%s: tasks %s", kind, tasks)
		}
		in, _ = open(t, `{"Response":{"Results":[{"DataId":"ab-1","Code":"URLError","Message":""}],"RequestId":"r"}}`)
		if _, err := in.Inspect(t.Context(), media.File{ID: "ab-1", Kind: kind}); !errors.Is(err, media.ErrUnfit) {
			t.Errorf("%s refused: %v", kind, err)
		}
	}
}

func TestNotAsked(t *testing.T) {
	in, err := tencentmedia.New(tencentmedia.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []media.Kind{media.Image, media.Audio, media.Video} {
		if _, err := in.Inspect(t.Context(), media.File{Kind: kind}); !errors.Is(err, media.ErrUnfit) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for _, c := range []tencentmedia.Config{
		{Video: "http://127.0.0.1:1", CallbackURL: "https://example.com", Seed: "short"},
		{Audio: "http://127.0.0.1:1", Seed: seed},
		{Images: "no URL"},
	} {
		if _, err := tencentmedia.New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func plain(body string) string {
	sum := sha256.Sum256([]byte(seed + body))
	return hex.EncodeToString(sum[:])
}

func keyed(body string) string {
	h := hmac.New(sha256.New, []byte(seed))
	_, _ = io.WriteString(h, body)
	return strings.ToUpper(hex.EncodeToString(h.Sum(nil)))
}

func TestResults(t *testing.T) {
	in, _ := open(t, "")
	const done = `{"TaskId":"t","DataId":"ab-1","Status":"FINISH","Suggestion":"Block","Labels":[]}`
	for _, tt := range []struct {
		signature, body string
		opinion         moderation.Opinion
		code            fault.Code
	}{
		{plain(done), done, moderation.Block, ""},
		{keyed(done), done, moderation.Block, ""},
		{plain(`{"DataId":"ab-1","Status":"RUNNING"}`), `{"DataId":"ab-1","Status":"RUNNING"}`, moderation.NoOpinion, ""},
		{"", done, moderation.NoOpinion, fault.Unauthenticated},
		{plain(done + " "), done, moderation.NoOpinion, fault.Unauthenticated},
		{plain("{}"), "{}", moderation.NoOpinion, fault.Invalid},
		{plain("nonsense"), "nonsense", moderation.NoOpinion, fault.Invalid},
	} {
		id, o, err := in.Result(http.Header{"X-Signature": {tt.signature}}, []byte(tt.body))
		switch {
		case tt.code == "" && (err != nil || id != "ab-1" || o != tt.opinion):
			t.Errorf("%s: %q %v %v", tt.body, id, o, err)
		case tt.code != "" && (err == nil || fault.CodeOf(err) != tt.code):
			t.Errorf("%s: %v, want %s", tt.body, err, tt.code)
		}
	}
	bare, err := tencentmedia.New(tencentmedia.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(done))
	if _, _, err := bare.Result(http.Header{"X-Signature": {hex.EncodeToString(sum[:])}}, []byte(done)); err == nil {
		t.Error("without a seed anybody could sign")
	}
}

func FuzzResult(f *testing.F) {
	f.Add(`{"DataId":"ab-1","Suggestion":"Block"}`)
	f.Fuzz(func(t *testing.T, body string) {
		in, err := tencentmedia.New(tencentmedia.Config{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := in.Result(http.Header{"X-Signature": {"00"}}, []byte(body)); err == nil {
			t.Error("an unsigned result was taken")
		}
		if id, _, err := in.Result(http.Header{"X-Signature": {plain(body)}}, []byte(body)); err == nil && id == "" {
			t.Error("a result about nothing")
		}
	})
}
