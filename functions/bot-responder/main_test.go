package main_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

func wrote(userID string, n int) string {
	return fmt.Sprintf(`{"CallbackCommand":"Bot.OnC2CMessage","From_Account":%q,"To_Account":"@RBT#001","MsgSeq":%d,"MsgTime":1557481126,`+
		`"MsgKey":"%d_1_1557481126","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello, my private words"}}]}`, userID, n, n)
}

func surroundings(t *testing.T) (model *modeltest.Server, queue *kit.Queue, env map[string]string) {
	t.Helper()
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret})
	model, queue = &modeltest.Server{}, kit.StartQueue(t)
	env = kit.Settings(queue.Env)
	maps.Copy(env, map[string]string{
		"STATE_URL": "redis://" + redistest.Start(t).Addr, "IM_DOMAIN": serve(emulator), "LLM_BASE_URL": serve(model) + "/v1", "LLM_MODEL": "m",
	})
	return model, queue, env
}

// TestMessage: on every platform a message to a robot becomes one job, however
// often it comes; no model is asked within the callback.
func TestMessage(t *testing.T) {
	model, queue, env := surroundings(t)
	n := 0
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		n++
		queue.Take()
		for range 2 {
			kit.Read(t, do(kit.Callback(t, wrote("jane", n)))).WantCode(t, 0)
		}
		kit.Read(t, do(kit.Callback(t, wrote("@RBT#002", n)))).WantCode(t, 0)
		if jobs := queue.Take(); len(jobs) != 1 || !strings.Contains(jobs[0], `"bot.answer"`) {
			t.Errorf("jobs %q", jobs)
		}
	})
	if len(model.Asked()) > 0 {
		t.Error("the model was asked within a callback")
	}
}

func TestWrongSettings(t *testing.T) {
	_, _, env := surroundings(t)
	for name, tt := range map[string]struct {
		env  map[string]string
		says []string
	}{
		"no model":      {map[string]string{"LLM_BASE_URL": "", "LLM_MODEL": ""}, []string{"LLM_BASE_URL", "LLM_MODEL", "required"}},
		"no such robot": {map[string]string{"BOT_PROMPTS": `{"jane":"x"}`}, []string{"BOT_PROMPTS", "@RBT#"}},
		"no JSON":       {map[string]string{"BOT_PROMPTS": `you are`, "BOT_MEMORY_LIFE": "long"}, []string{"BOT_PROMPTS", "BOT_MEMORY_LIFE"}},
	} {
		with := maps.Clone(env)
		maps.Copy(with, tt.env)
		out := faastest.Run(t, faastest.Build(t, "."), with)
		for _, says := range tt.says {
			if out.Code != 2 || !strings.Contains(out.Stderr, says) {
				t.Errorf("%s: status %d, %s; want %q", name, out.Code, out.Stderr, says)
			}
		}
	}
}
