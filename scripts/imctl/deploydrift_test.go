package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeployDrift: what somebody changed in SCF's console is named by plan and put right
// by apply, or said to stay; then there is nothing to do.
func TestDeployDrift(t *testing.T) {
	const name = "backchannel-prod-bundle"
	for what, tt := range map[string]struct {
		change func(*fakeFunction)
		plan   string
		stays  bool // apply leaves it
	}{
		"alias moved":            {func(f *fakeFunction) { f.alias = "1" }, "$DEFAULT points to version 1, where somebody else pointed it", false},
		"timer off":              {func(f *fakeFunction) { f.trigger("timer")["Enable"] = 0 }, "replace timer trigger every-minute", false},
		"timer of $LATEST":       {func(f *fakeFunction) { f.trigger("timer")["Qualifier"] = "$LATEST" }, "replace timer trigger every-minute", false},
		"timer with an argument": {func(f *fakeFunction) { f.trigger("timer")["CustomArgument"] = "x" }, "replace timer trigger every-minute", false},
		"timer at second 30":     {func(f *fakeFunction) { f.trigger("timer")["TriggerDesc"] = `{"cron":"30 * * * * * *"}` }, "replace timer trigger every-minute", false},
		"URL closed, other name": {func(f *fakeFunction) {
			url := f.trigger("http")
			url["TriggerName"], url["TriggerDesc"] = "by-hand", `{"AuthType":"CAM","NetConfig":{"EnableExtranet":true}}`
		}, "replace http trigger url", false},
		"update failed": {func(f *fakeFunction) { f.status = "UpdateFailed"; f.config["MemorySize"] = 64 }, "memory 64 -> 128", false},
		"another timer": {func(f *fakeFunction) {
			f.triggers = append(f.triggers, map[string]any{"Type": "timer", "TriggerName": "second-clock", "TriggerDesc": "0 * * * * * *", "Qualifier": "$DEFAULT", "Enable": 1})
		}, "note: the timer trigger second-clock stays, which is not in the file", true},
		"URL of $LATEST": {func(f *fakeFunction) { f.trigger("http")["Qualifier"] = "$LATEST" }, "note: the function URL calls $LATEST and not $DEFAULT", true},
		"role":           {func(f *fakeFunction) { f.config["Role"] = "by-hand" }, "note: the role by-hand stays", true},
		"dead letters": {func(f *fakeFunction) {
			f.config["DeadLetterConfig"] = map[string]any{"Type": "CMQ-QUEUE", "Name": "by-hand"}
		}, "note: dead letters to by-hand stay", true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "serverless.yml")
			s.do("apply").want(t, 0)
			s.program("bundle", "another program")
			s.do("apply").want(t, 0, "version 2 is in force")
			tt.change(s.scf.functions[name])
			s.do("plan").want(t, 0, tt.plan)
			s.do("apply").want(t, 0)
			r := s.do("plan")
			r.want(t, 0, "nothing to do", "0 steps")
			if strings.Contains(r.out, tt.plan) != tt.stays {
				t.Errorf("after apply:\n%s", r.out)
			}
		})
	}
}

// trigger is the first trigger of a type.
func (f *fakeFunction) trigger(kind string) map[string]any {
	for _, t := range f.triggers {
		if t["Type"] == kind {
			return t
		}
	}
	return nil
}

// TestDeployOtherType: what the API cannot change is said, not tried.
func TestDeployOtherType(t *testing.T) {
	s := newSite(t, "serverless.yml")
	s.do("apply").want(t, 0)
	s.edit("      handler: main\n", "      handler: main\n      type: web\n")
	s.edit("      retryNum: 2\n      msgTTL: 21600\n", "")
	file, err := os.ReadFile(filepath.Join(s.dir, s.file))
	if err != nil {
		t.Fatal(err)
	}
	rest, _, _ := strings.Cut(string(file), "    - type: timer\n")
	s.write(rest)
	before := s.scf.changed
	s.do("plan").want(t, 1, "is of type event and the file says web")
	s.do("apply").want(t, 1, "is of type event and the file says web", "nothing was changed")
	if s.scf.changed != before {
		t.Error("something was changed")
	}
}

// TestDeployPathSecret: URLs of callbacks have the path's secret where the function asks
// for one; it is not printed.
func TestDeployPathSecret(t *testing.T) {
	s := newSite(t, "serverless.split.yml")
	file := filepath.Join(s.dir, s.file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.write(strings.ReplaceAll(string(text), "          CALLBACK_TOKEN: ", "          CALLBACK_PATH_SECRET: ${env:CALLBACK_PATH_SECRET}\n          CALLBACK_TOKEN: "))
	s.env["CALLBACK_PATH_SECRET"] = "a-path-secret-of-this-test"
	r := s.do("apply")
	r.want(t, 0, "tencentscf.com/im/ and the value of CALLBACK_PATH_SECRET")
	if strings.Contains(r.out, s.env["CALLBACK_PATH_SECRET"]) {
		t.Error("the secret is printed")
	}
	if got := s.scf.env("backchannel-prod-callback-router")["FORWARD_BEFORE_SEND_FILTER"]; !strings.HasSuffix(got, ".com/im/a-path-secret-of-this-test") {
		t.Errorf("the router forwards to %s", got)
	}
}

// TestDeployEnvironment: whether a function gets what it needs, and not more than SCF
// takes, is known before anything is changed.
func TestDeployEnvironment(t *testing.T) {
	s := newSite(t, "serverless.yml")
	s.env["LLM_API_KEY"] = strings.Repeat("k", 4096)
	s.do("plan").want(t, 1, "the environment of bundle has", "SCF takes 4096")
	delete(s.env, "LLM_API_KEY")

	// A document that no function is told of helps none.
	delete(s.env, "SECRET")
	s.env["SECRET_FILE"] = "/nonexistent/secret"
	s.do("plan").want(t, 1, "SECRET_FILE names /nonexistent/secret, which cannot be read")
	delete(s.env, "SECRET_FILE")
	s.env["SECRETS_URL"] = "tencent-ssm:prod"
	s.do("plan").want(t, 1, "SECRET is not set")
	s.edit("          SECRET: ${env:SECRET}\n", "          SECRET: ${env:SECRET}\n          SECRETS_URL: tencent-ssm:prod\n")
	delete(s.env, "SECRETS_URL")
	s.do("plan").want(t, 0, "create: 128 MB")
}
