package main_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

func TestVerdictsByTheDefaultRules(t *testing.T) {
	faastest.Everywhere(t, faastest.Build(t, "."), kit.Settings(nil), func(t *testing.T, do func(*http.Request) *http.Response) {
		kit.Read(t, do(kit.Callback(t, kit.BeforeSend("join my casino")))).WantCode(t, 1)
		kit.Read(t, do(kit.Callback(t, kit.BeforeSend("buy followers")))).WantCode(t, 2)
		kit.Read(t, do(kit.Callback(t, kit.BeforeSend("good evening")))).WantCode(t, 0)
		kit.Read(t, do(kit.Callback(t, kit.AfterSend("alice", 1)))).WantCode(t, 0)
	})
}

// image compiles a rule set into a file.
func image(t *testing.T, rules string) string {
	t.Helper()
	set, err := compile.Parse([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	b, err := compile.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.image")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ask asks a running function about messages of alice in the room "lobby".
func ask(t *testing.T, p *faastest.Local, codes map[string]int) {
	t.Helper()
	for text, code := range codes {
		res, err := p.Do(faastest.Plain, kit.Callback(t, kit.BeforeSend(text)))
		if err != nil {
			t.Fatal(err)
		}
		kit.Read(t, res).WantCode(t, code)
	}
}

func TestOwnRules(t *testing.T) {
	file := image(t, `{"version":"1","words":[{"text":"broccoli"}]}`)
	ask(t, faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{"MODERATION_RULES": file, "MODERATION_GROUP_CODE": "10142"})),
		map[string]int{"I like Broccoli": 10142, "join my casino": 0})

	// The same from elsewhere, named by what it is.
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	shelf := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }))
	defer shelf.Close()
	url := fmt.Sprintf("%s/rules.image#sha256=%x", shelf.URL, sha256.Sum256(b))
	ask(t, faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{"MODERATION_RULES": url})),
		map[string]int{"I like Broccoli": 1, "join my casino": 0})
}

// TestWrongSettings: each fault says which setting is meant, and what to do.
func TestWrongSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, []byte(`{"version":"1","words":[{"text":"broccoli"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		says []string
	}{
		"JSON, not an image": {map[string]string{"MODERATION_RULES": file}, []string{"MODERATION_RULES", "scripts/rulec compile"}},
		"no checksum":        {map[string]string{"MODERATION_RULES": "https://example.com/rules.image"}, []string{"MODERATION_RULES", "#sha256="}},
		"codes and choices": {
			map[string]string{"MODERATION_C2C_CODE": "10142", "MODERATION_ENCRYPTED": "decrypt", "MODERATION_ONE_TO_ONE": "nobody"},
			[]string{"MODERATION_C2C_CODE", "120001", "MODERATION_ENCRYPTED", "MODERATION_ONE_TO_ONE"},
		},
		"nobody to ask as":    {map[string]string{"TMS_URL": "http://127.0.0.1:1"}, []string{"TMS_REGION", "required"}},
		"videos without seed": {map[string]string{"TMS_VIDEO_URL": "http://127.0.0.1:1", "TMS_REGION": "x", "TMS_SECRET_ID": "i", "TMS_SECRET_KEY": "k"}, []string{"TMS_SEED"}},
	} {
		out := faastest.Run(t, faastest.Build(t, "."), kit.Settings(tt.env))
		for _, says := range tt.says {
			if out.Code != 2 || !strings.Contains(out.Stderr, says) {
				t.Errorf("%s: status %d, %s; want %q", name, out.Code, out.Stderr, says)
			}
		}
	}
}

// TestFlood: who writes too fast, or the same again and again, is told so.
func TestFlood(t *testing.T) {
	p := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{
		"MODERATION_FLOOD": "5", "MODERATION_SAME": "2", "MODERATION_FLOOD_TEXT": "slowly", "MODERATION_FLOOD_WITHIN": "1h", "MODERATION_SAME_WITHIN": "1h",
	}))
	for i, tt := range []struct {
		text string
		code int
	}{{"hello", 0}, {"Hello!", 0}, {"hello", 1}, {"one", 0}, {"two", 0}, {"three", 0}, {"four", 1}} {
		res, err := p.Do(faastest.Plain, kit.Callback(t, kit.BeforeSend(tt.text)))
		if err != nil {
			t.Fatal(err)
		}
		a := kit.Read(t, res)
		a.WantCode(t, tt.code)
		if tt.code == 1 && a.JSON["ErrorInfo"] != "slowly" {
			t.Errorf("message %d: %s", i, a.Text)
		}
	}
}

// TestReview: what waits is approved by two clicks at once, and sent once.
func TestReview(t *testing.T) {
	emulator := imtest.NewServer(imtest.Options{})
	defer emulator.Close()
	app := emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret})
	rest := httptest.NewServer(emulator)
	defer rest.Close()
	chat, err := im.NewClient(im.Config{Domain: rest.URL, SDKAppID: kit.AppID, Key: kit.Secret, Admin: "administrator"})
	if err != nil {
		t.Fatal(err)
	}
	if err := chat.ImportAccount(t.Context(), im.Account{UserID: "alice"}); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.CreateGroup(t.Context(), im.NewGroup{Type: im.Public, GroupID: "lobby", Name: "lobby", Owner: "alice"}); err != nil {
		t.Fatal(err)
	}
	env := kit.Settings(kit.StartQueue(t).Env)
	env["STATE_URL"], env["IM_DOMAIN"] = "redis://"+redistest.Start(t).Addr, rest.URL
	env["MODERATION_RULES"] = image(t, `{"version":"1","words":[{"text":"broccoli","action":"review"}]}`)
	p := faastest.StartLocal(t, faastest.Build(t, "."), env)
	call := func(r *http.Request) kit.Answer {
		res, err := p.Do(faastest.Plain, r)
		if err != nil {
			t.Error(err)
			return kit.Answer{}
		}
		return kit.Read(t, res)
	}
	// The room of the sample is a live room in the callback, and of a type with a
	// history in the emulator.
	for range 3 {
		call(kit.Callback(t, strings.ReplaceAll(kit.BeforeSend("I like broccoli"), "AVChatRoom", "Public"))).WantCode(t, 1)
	}
	held, _ := call(kit.Get("/moderation/reviews", kit.Key)).JSON["reviews"].([]any)
	if len(held) != 1 {
		t.Fatalf("%d messages wait, want one", len(held))
	}
	path := "/moderation/reviews/" + held[0].(map[string]any)["id"].(string) + "/approve"
	var clicks sync.WaitGroup
	for range 5 {
		clicks.Go(func() {
			if a := call(kit.Post(path, kit.Key, `{}`)); a.Status != http.StatusOK {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	}
	clicks.Wait()
	messages := app.State().Group("lobby").Messages
	if len(messages) != 1 || messages[0].From != "alice" || messages[0].Text() != "I like broccoli" {
		t.Errorf("the room has %+v", messages)
	}
}

// TestListsWithoutDeployment: an operator puts a list into force, and takes it
// back, while the function runs.
func TestListsWithoutDeployment(t *testing.T) {
	b, err := os.ReadFile(image(t, `{"version":"november","words":[{"text":"broccoli"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	shelf := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }))
	defer shelf.Close()
	env := kit.Settings(map[string]string{"STATE_URL": "redis://" + redistest.Start(t).Addr})
	order := func(p *faastest.Local, path, body string) {
		t.Helper()
		res, err := p.Do(faastest.Plain, kit.Post("/moderation/lists/"+path, kit.Key, body))
		if err != nil {
			t.Fatal(err)
		}
		if a := kit.Read(t, res); a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, a.Status, a.Text)
		}
	}
	// A function that starts looks at once; one that runs, within half a minute.
	start := func() *faastest.Local { return faastest.StartLocal(t, faastest.Build(t, "."), env) }
	sum := sha256.Sum256(b)
	order(start(), "candidate", fmt.Sprintf(`{"image":"%s/rules.image#sha256=%x","share":100}`, shelf.URL, sum))
	ask(t, start(), map[string]int{"I like broccoli": 1})
	order(start(), "promote", fmt.Sprintf(`{"sha256":"%x"}`, sum))
	ask(t, start(), map[string]int{"more broccoli": 1})
	order(start(), "rollback", fmt.Sprintf(`{"sha256":"%x"}`, sum))
	ask(t, start(), map[string]int{"I like broccoli": 0, "join my casino": 1})
}
