package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// other writes the file of the other form beside that of a site, and deploys that from
// now on.
func (s *site) other(file string) {
	s.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		s.Fatal(err)
	}
	s.file = file
	s.write(string(text))
}

// timers are the functions that a timer calls.
func (f *fakeSCF) timers() (names []string) {
	for _, name := range f.names() {
		if f.functions[name].trigger("timer") != nil {
			names = append(names, name)
		}
	}
	return names
}

// TestDeployLeftovers: whoever changes from one form to the other is told what of the
// first still runs, and removes it with the command that plan prints; nothing else goes.
func TestDeployLeftovers(t *testing.T) {
	for _, forms := range [][2]string{{"serverless.yml", "serverless.split.yml"}, {"serverless.split.yml", "serverless.yml"}} {
		s := newSite(t, forms[0])
		s.do("apply").want(t, 0)
		before := s.scf.names()
		clock := s.scf.timers()
		// Others in the account, who only have similar names.
		for _, name := range []string{"backchannel-staging-clock", "backchannel-prod-eu-clock", "backchannel-prod-cron"} {
			s.scf.functions[name] = &fakeFunction{config: map[string]any{}, alias: "1", description: mark{strings.Repeat("a", 16), "1", ""}.String()}
		}
		s.other(forms[1])
		r := s.do("plan")
		for _, name := range before {
			r.want(t, 0, "! "+name+" stands, and ")
		}
		r.want(t, 0, "its timer every-minute runs beside that of the file, so two clocks do the same work", "function URL https://1250000000-"+before[0],
			"    imctl deploy tencent prune -file "+filepath.Join(s.dir, forms[1])+" -endpoint "+s.url+"\n")
		if n := strings.Count(r.out, "\n! "); n != len(before) {
			t.Errorf("%d functions are named, want %d:\n%s", n, len(before), r.out)
		}

		// Not before the new ones serve.
		changed := s.scf.changed
		s.do("prune").want(t, 1, "is not in force yet, so nothing was deleted", "run apply")
		if s.scf.changed != changed {
			t.Error("prune deleted what still serves")
		}
		s.do("apply").want(t, 0, "! "+clock[0], "imctl deploy tencent prune")
		if n := len(s.scf.timers()); n != 2 {
			t.Errorf("apply leaves %d clocks; it was not asked to delete one", n)
		}

		// A refusal on the way is gone on from.
		s.scf.fail["DeleteFunction/"+before[len(before)-1]] = "UnauthorizedOperation.CAM"
		s.do("prune").want(t, 1, "scf:DeleteFunction", "run prune again")
		delete(s.scf.fail, "DeleteFunction/"+before[len(before)-1])
		s.do("prune").want(t, 0, "deleted "+before[len(before)-1])
		for _, name := range before {
			if s.scf.functions[name] != nil {
				t.Errorf("%s stands", name)
			}
		}
		if is := s.scf.timers(); len(is) != 1 || is[0] == clock[0] {
			t.Errorf("clocks %q", is)
		}
		for _, name := range []string{"backchannel-staging-clock", "backchannel-prod-eu-clock", "backchannel-prod-cron"} {
			if s.scf.functions[name] == nil {
				t.Errorf("%s of somebody else is gone", name)
			}
		}
		if r := s.do("plan"); strings.Contains(r.out, "! ") || strings.Contains(r.out, "prune") {
			t.Errorf("there is nothing left over:\n%s", r.out)
		}
		s.do("prune").want(t, 0, "there is nothing to delete")
	}
}

// TestDeployLeftoversByHand: what apply did not make is named and stays, and so is a
// deployer who may not look.
func TestDeployLeftoversByHand(t *testing.T) {
	s := newSite(t, "serverless.yml")
	s.do("apply").want(t, 0)
	s.scf.functions["backchannel-prod-clock"] = &fakeFunction{config: map[string]any{}, alias: "$LATEST"}
	s.do("plan").want(t, 0, "! backchannel-prod-clock stands", "nothing calls it", "apply did not make it, so prune leaves it")
	s.do("prune").want(t, 0, "backchannel-prod-clock stays", "there is nothing to delete")
	s.scf.fail["ListFunctions"] = "UnauthorizedOperation.CAM"
	s.do("plan").want(t, 0, "were not looked for", "scf:ListFunctions", "0 steps")
	s.do("prune").want(t, 1, "scf:ListFunctions")
	s.scf.fail["ListFunctions"] = "InvalidParameter"
	s.do("plan").want(t, 1, "ListFunctions of backchannel-prod-*")
}

// TestDeployExtraTriggers: a timer that an earlier file had is deleted by prune, and by
// nothing else. A timer and a function URL that somebody made by hand stay.
func TestDeployExtraTriggers(t *testing.T) {
	s := newSite(t, "serverless.split.yml")
	s.edit("name: every-minute", "name: each-minute")
	s.do("apply").want(t, 0)
	s.edit("name: each-minute", "name: every-minute")
	clock := s.scf.functions["backchannel-prod-clock"]
	for i, kind := range []string{"timer", "http", "ckafka"} {
		clock.triggers = append(clock.triggers, map[string]any{"Type": kind, "TriggerName": fmt.Sprint("by-hand-", i), "TriggerDesc": "0 * * * * * *", "Qualifier": "$LATEST", "Enable": 1})
	}
	s.do("plan").want(t, 0, "note: the timer trigger each-minute stays, which is not in the file: prune deletes it", "the timer trigger by-hand-0 stays, which is not in the file: take it away in SCF's console",
		"the ckafka trigger by-hand-2 stays, which is not in the file: take it away in SCF's console", "imctl deploy tencent prune -file")
	s.do("prune").want(t, 1, "backchannel-prod-clock", "has no timer trigger every-minute yet, so nothing was deleted")
	s.do("apply").want(t, 0, "each-minute stays", "imctl deploy tencent prune -file")
	s.do("prune").want(t, 0, "deleted the timer trigger each-minute of backchannel-prod-clock")
	var names []string
	for _, is := range clock.triggers {
		names = append(names, fmt.Sprint(is["TriggerName"]))
	}
	if got := strings.Join(names, " "); got != "by-hand-0 by-hand-1 by-hand-2 every-minute" {
		t.Errorf("triggers %s", got)
	}
	if r := s.do("plan"); strings.Contains(r.out, "prune") {
		t.Errorf("prune would leave what is by hand:\n%s", r.out)
	}
}
