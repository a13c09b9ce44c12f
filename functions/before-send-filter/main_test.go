package main_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
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

func TestOwnRules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := kit.Settings(map[string]string{"MODERATION_RULES": file})
	write(`{"version":"1","words":[{"text":"broccoli"}]}`)
	p := faastest.StartLocal(t, faastest.Build(t, "."), env)
	for text, code := range map[string]int{"I like Broccoli": 1, "join my casino": 0} {
		res, err := p.Do(faastest.Plain, kit.Callback(t, kit.BeforeSend(text)))
		if err != nil {
			t.Fatal(err)
		}
		kit.Read(t, res).WantCode(t, code)
	}
	write(`{"version":"1","words":[{"text":"broccoli","action":"boil"}]}`)
	if out := faastest.Run(t, faastest.Build(t, "."), env); out.Code != 2 || !strings.Contains(out.Stderr, "MODERATION_RULES") || !strings.Contains(out.Stderr, "boil") {
		t.Errorf("rules with an unknown action: status %d, %s", out.Code, out.Stderr)
	}
}
