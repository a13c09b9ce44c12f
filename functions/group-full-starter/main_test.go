package main_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

const hookKey = "a key of these tests alone"

// surroundings are an emulated IM, a server that starts matches, a Redis and a
// queue, and the settings that lead to them.
func surroundings(t *testing.T) (app *imtest.App, hook *matchtest.Hook, queue *kit.Queue, env map[string]string) {
	t.Helper()
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	app = emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret})
	hook = matchtest.NewHook(hookKey, time.Now)
	queue = kit.StartQueue(t)
	env = kit.Settings(queue.Env)
	maps.Copy(env, map[string]string{
		"STATE_URL": "redis://" + redistest.Start(t).Addr, "IM_DOMAIN": serve(emulator), "IM_SHARE": "100",
		"MATCH_HOOK_URL": serve(hook) + "/start", "MATCH_HOOK_KEY": hookKey,
	})
	return app, hook, queue, env
}

func full(groupID string) string {
	return fmt.Sprintf(`{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":%q}`, groupID)
}

// TestTeam: a team is made and filled on every platform, and what IM says of it
// becomes a job.
func TestTeam(t *testing.T) {
	app, _, queue, env := surroundings(t)
	users, err := usersig.NewSigner(kit.AppID, kit.Secret)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		n++
		captain, other := fmt.Sprint("ann", n), fmt.Sprint("bob", n)
		var first kit.Answer
		for range 2 {
			r := kit.Post("/teams", kit.Key, fmt.Sprintf(`{"mode":"2 on 2, 排位","size":2,"captain":%q}`, captain))
			r.Header.Set("Idempotency-Key", captain)
			a := kit.Read(t, do(r))
			if a.Status != 201 || first.Text != "" && a.Text != first.Text {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
			first = a
		}
		id := first.JSON["groupId"].(string)
		queue.Take()
		kit.Read(t, do(kit.Callback(t, full(id)))).WantCode(t, 0)
		if jobs := queue.Take(); len(jobs) != 1 || !strings.Contains(jobs[0], id) {
			t.Errorf("jobs %s", jobs)
		}
		sig, err := users.Sign(other, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		join := kit.Post("/teams/"+id+"/members", "", `{}`)
		join.Header.Set("Authorization", "UserSig "+other+":"+sig)
		if a := kit.Read(t, do(join)); a.Status != 200 || a.JSON["status"] != "starting" {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		if g := app.State().Group(id); len(g.Members) != 2 || g.Owner != captain || g.Type != "Public" {
			t.Errorf("%+v", g)
		}
		if jobs := queue.Take(); len(jobs) != 1 || !strings.Contains(jobs[0], "team.start") {
			t.Errorf("jobs %s", jobs)
		}
		kit.Read(t, do(kit.Callback(t, full("somebody-elses")))).WantCode(t, 0)
		if jobs := queue.Take(); len(jobs) != 0 {
			t.Errorf("jobs %s", jobs)
		}
	})
}

// TestStart: the job-worker has the match started, with settings of teams like
// ours, whether IM's callbacks come here by way of the callback-router or the
// router makes jobs of them itself.
func TestStart(t *testing.T) {
	const functions = "github.com/backchannel-im/backchannel/functions/"
	for _, forwarded := range []bool{true, false} {
		t.Run(fmt.Sprint("forwarded ", forwarded), func(t *testing.T) {
			app, hook, queue, env := surroundings(t)
			starter := faastest.StartLocal(t, faastest.Build(t, "."), env)
			worker := faastest.StartLambda(t, faastest.Build(t, functions+"job-worker"), env)
			routed := maps.Clone(env)
			maps.DeleteFunc(routed, func(name, _ string) bool { return strings.HasPrefix(name, "MATCH_") })
			if forwarded {
				routed["FORWARD_GROUP_FULL_STARTER"] = starter.URL + "/im"
			}
			router := faastest.StartLocal(t, faastest.Build(t, functions+"callback-router"), routed)
			do := func(p *faastest.Local, r *http.Request) kit.Answer {
				t.Helper()
				res, err := p.Do(faastest.Plain, r)
				if err != nil {
					t.Fatal(err)
				}
				return kit.Read(t, res)
			}
			id := do(starter, kit.Post("/teams", kit.Key, `{"size":2,"captain":"ann"}`)).JSON["groupId"].(string)
			users, err := usersig.NewSigner(kit.AppID, kit.Secret)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := users.Sign("bob", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			bob, err := app.Login("bob", sig, imtest.Device{})
			if err == nil {
				err = bob.Join(id)
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				do(router, kit.Callback(t, full(id))).WantCode(t, 0)
			}
			for jobs := queue.Take(); len(jobs) > 0; jobs = queue.Take() {
				for _, job := range jobs {
					if failed, err := worker.SQS(faastest.Message{ID: "1", Body: job}); err != nil || len(failed) > 0 {
						t.Fatal(failed, err)
					}
				}
			}
			if s := hook.Starts(); len(s) != 1 || s[0].GroupID != id || !slices.Equal(slices.Sorted(slices.Values(s[0].Members)), []string{"ann", "bob"}) {
				t.Errorf("%+v, problems %s", s, hook.Problems())
			}
			if a := do(starter, kit.Get("/teams/"+id, kit.Key)); a.JSON["status"] != "started" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	}
}

// TestSettings: every fault is told, and no secret.
func TestSettings(t *testing.T) {
	_, _, _, good := surroundings(t)
	for name, c := range map[string]struct {
		set    map[string]string
		faults []string
	}{
		"no hook":        {map[string]string{"MATCH_HOOK_URL": ""}, []string{"MATCH_HOOK_URL: required"}},
		"no key":         {map[string]string{"MATCH_HOOK_KEY": ""}, []string{"MATCH_HOOK_KEY: required"}},
		"a short key":    {map[string]string{"MATCH_HOOK_KEY": "hunter2"}, []string{"MATCH_HOOK_KEY: is too easy to guess"}},
		"times":          {map[string]string{"MATCH_WAIT": "1s", "MATCH_LIFE": "forever", "MATCH_GIVE_UP": "2h"}, []string{"MATCH_WAIT: ", "MATCH_LIFE: ", "MATCH_GIVE_UP: "}},
		"neither or nor": {map[string]string{"MATCH_ANY_GROUP": "perhaps"}, []string{"MATCH_ANY_GROUP: "}},
	} {
		env := maps.Clone(good)
		maps.Copy(env, c.set)
		out := faastest.Run(t, faastest.Build(t, "."), env)
		for _, fault := range c.faults {
			if out.Code != 2 || !slices.ContainsFunc(strings.Split(out.Stderr, "\n"), func(line string) bool { return strings.HasPrefix(line, fault) }) {
				t.Errorf("%s: status %d without %q:\n%s", name, out.Code, fault, out.Stderr)
			}
		}
		if strings.Contains(out.Stderr, "hunter2") {
			t.Errorf("%s: a secret is told:\n%s", name, out.Stderr)
		}
	}
}
