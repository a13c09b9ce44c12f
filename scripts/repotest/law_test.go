package repotest

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/wiring/minute"
)

// kind is a layer of the house.
type kind string

const (
	function kind = "function"  // deployables
	wiring   kind = "wiring"    // what opens adapters by settings
	adapter  kind = "adapter"   // an engine or a service behind a port
	client   kind = "client"    // of a cloud, for adapters and wiring
	rule     kind = "rule"      // what the product does
	port     kind = "port"      // vocabulary, ports and mechanisms
	edge     kind = "edge"      // platforms and settings
	testOnly kind = "test-only" // what only tests import
	script   kind = "script"    // everything that is not deployed

	// files of what runs on somebody else's platform or in a browser; they import
	// nothing of ours
	integration kind = "integration"
)

// ports and what each may import of the others.
var ports = map[string][]string{
	"shared/fault":       {},
	"shared/metric":      {},
	"shared/version":     {},
	"shared/userdata":    {"shared/api", "shared/im/usersig", "shared/kv", "shared/queue", "shared/process", "shared/retry", "shared/fault"},
	"shared/retry":       {},
	"shared/kv":          {"shared/metric", "shared/retry", "shared/fault"},
	"shared/queue":       {"shared/kv", "shared/metric", "shared/retry", "shared/fault"},
	"shared/schedule":    {},
	"shared/due":         {"shared/kv", "shared/queue", "shared/retry", "shared/fault"},
	"shared/process":     {"shared/kv", "shared/queue", "shared/due", "shared/retry", "shared/fault"},
	"shared/mailbox":     {"shared/kv", "shared/queue", "shared/due", "shared/retry", "shared/fault"},
	"shared/idem":        {"shared/kv", "shared/retry", "shared/fault"},
	"shared/im":          {"shared/im/usersig", "shared/retry", "shared/fault"},
	"shared/im/callback": {"shared/im", "shared/metric", "shared/fault"},
	"shared/im/usersig":  {"shared/fault"},
	"shared/im/once":     {"shared/im", "shared/kv", "shared/retry", "shared/fault"},
	"shared/breaker":     {},
	"shared/hook":        {},
	"shared/generation":  {"shared/im/callback", "shared/kv", "shared/retry", "shared/fault"},
	"shared/api":         {"shared/im/usersig", "shared/metric", "shared/idem", "shared/kv", "shared/fault"},

	"shared/moderation/wordlist":                {"shared/moderation/wordlist/internal/image"},
	"shared/moderation/wordlist/internal/image": {},
	"shared/moderation/trail":                   {"shared/api", "shared/kv", "shared/fault"},

	"shared/liveroom/wallet": {"shared/api", "shared/im/usersig", "shared/kv", "shared/retry", "shared/fault"},
	"shared/liveroom/outbox": {"shared/im", "shared/im/once", "shared/kv", "shared/queue", "shared/retry"},
}

// edges know platforms and settings, and nothing of IM.
var edges = map[string][]string{
	"shared/config":         {},
	"shared/config/secrets": {"shared/config", "shared/tencentcloud"},
	"shared/faas":           {"shared/config", "shared/metric", "shared/version", "shared/fault"},
}

// rulesBelow are rules in a folder of another rule's, whose family they are: they
// may import each other and the rule above. Everything else below a rule is an
// adapter.
var rulesBelow = []string{
	"shared/bot/knowledge",
	"shared/moderation/flood",
	"shared/moderation/lists",
	"shared/moderation/media",
	"shared/moderation/review",
	"shared/moderation/strikes",
	"shared/liveroom/gift",
	"shared/liveroom/lottery",
	"shared/community/friend",
	"shared/community/mark",
	"shared/community/thread",
	"shared/community/voice",
}

// foreign lists who may import code from outside beside the adapters, and what.
var foreign = map[string][]string{
	"shared/faas":           {"github.com/aws/aws-lambda-go/", "github.com/tencentyun/scf-go-lib/"},
	"shared/im/usersig":     {"github.com/tencentyun/tls-sig-api-v2-golang/"},
	"shared/tencentcloud":   {"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"},
	"shared/config/secrets": {"github.com/aws/aws-sdk-go-v2/aws"},
}

// engines are the packages that bring a store's or queue's client along; a
// function links those named here and no others.
var engines = []string{
	"shared/kv/boltkv", "shared/kv/dynamokv", "shared/kv/rediskv",
	"shared/queue/boltqueue", "shared/queue/sqsqueue", "shared/queue/scfqueue",
}

// linked are the engines of functions that do not link exactly those of both
// platforms.
var linked = map[string][]string{
	"bundle":            engines,
	"usersig-issuer":    {"shared/kv/dynamokv", "shared/kv/rediskv"},
	"virgil-jwt-issuer": {"shared/kv/dynamokv", "shared/kv/rediskv"},
}

func enginesOf(function string) []string {
	if own, has := linked[function]; has {
		return own
	}
	return []string{"shared/kv/dynamokv", "shared/kv/rediskv", "shared/queue/sqsqueue", "shared/queue/scfqueue"}
}

func kindOf(pkg string) kind {
	_, isPort := ports[pkg]
	_, isEdge := edges[pkg]
	switch {
	case strings.HasSuffix(pkg, "test"), strings.HasPrefix(path.Base(pkg), "test"):
		return testOnly // kvtest, internal/testfunc
	case isPort:
		return port
	case isEdge:
		return edge
	case pkg == "shared/tencentcloud":
		return client
	case strings.HasPrefix(pkg, "functions/"):
		return function
	case strings.HasPrefix(pkg, "integrations/"):
		return integration
	case pkg == "shared/wiring", strings.HasPrefix(pkg, "shared/wiring/"):
		return wiring
	case strings.HasPrefix(pkg, "shared/") && strings.Count(pkg, "/") == 1, slices.Contains(rulesBelow, pkg):
		return rule
	case strings.HasPrefix(pkg, "shared/"):
		return adapter // below its port: kv/dynamokv, moderation/tms
	}
	return script
}

// mayImport tells whether one package of ours may import another.
func mayImport(from, to string) bool {
	switch of := kindOf(to); kindOf(from) {
	case port:
		return slices.Contains(ports[from], to)
	case edge:
		return slices.Contains(edges[from], to)
	case rule:
		return of == port || of == rule && familyOf(from) == familyOf(to)
	case adapter:
		// Its port, and what that is made of.
		return of == port || of == client || strings.HasPrefix(from, to+"/")
	case wiring:
		return of == wiring || of == adapter || of == client || of == rule || of == port || of == edge || of == integration
	case function:
		return of == wiring || of == adapter || of == rule || of == port || of == edge
	case testOnly:
		// The emulator and the REST client meet on the wire alone, or a mistake
		// in a shared type would pass for agreement.
		if from == "shared/im/imtest" && to == "shared/im" {
			return false
		}
		return of != function && of != script
	case script:
		return of != function
	}
	return false
}

// familyOf is the package directly below shared/ that a rule belongs to.
func familyOf(pkg string) string {
	parts := strings.SplitN(pkg, "/", 3)
	return strings.Join(parts[:2], "/")
}

func TestLawOfImports(t *testing.T) {
	for _, p := range listPackages(t) {
		from := local(p.ImportPath)
		for _, path := range p.Imports {
			to := local(path)
			switch {
			case to != "":
				if !mayImport(from, to) {
					t.Errorf("%s (%s) may not import %s (%s)", from, kindOf(from), to, kindOf(to))
				}
			case !isStandard(path) && !mayImportForeign(from, path):
				t.Errorf("%s (%s) may not import %s", from, kindOf(from), path)
			}
		}
	}
}

// isStandard: only foreign paths have a dot in their first element.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func mayImportForeign(from, path string) bool {
	switch kindOf(from) {
	case adapter, testOnly, script:
		return true
	}
	return slices.ContainsFunc(foreign[from], func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// TestLawOfTestPackages: what exists for tests is imported by tests alone.
func TestLawOfTestPackages(t *testing.T) {
	for _, p := range listPackages(t) {
		if from := local(p.ImportPath); kindOf(from) == function || kindOf(from) == wiring {
			for _, dep := range p.Deps {
				if dep == "testing" || local(dep) != "" && kindOf(local(dep)) == testOnly {
					t.Errorf("%s links %s", from, dep)
				}
			}
		}
	}
}

func TestLawOfEngines(t *testing.T) {
	for _, p := range listPackages(t) {
		name, found := strings.CutPrefix(local(p.ImportPath), "functions/")
		if !found {
			continue
		}
		for _, dep := range p.Deps {
			if slices.Contains(engines, local(dep)) && !slices.Contains(enginesOf(name), local(dep)) {
				t.Errorf("%s links %s: not in its list in scripts/repotest", name, local(dep))
			}
			if local(dep) == "shared/moderation/wordlist/compile" {
				t.Errorf("%s links %s: functions load compiled images", name, local(dep))
			}
			if dep == "github.com/aws/aws-sdk-go-v2/config" {
				t.Errorf("%s links %s, 2 MB for what the environment says", name, dep)
			}
		}
	}
}

// agendaName finds the names of processes in Go sources.
var agendaName = regexp.MustCompile(`(?m)^\s*(?:var )?\w+\s*= process\.Name\{Agenda: "([^"]+)"`)

// TestLawOfProcesses: the clock knows every process by name. A process that is not in
// the list of what happens every minute would never have its work continued.
func TestLawOfProcesses(t *testing.T) {
	found := 0
	for _, name := range files(t) {
		if !strings.HasPrefix(name, "shared/") || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range agendaName.FindAllStringSubmatch(read(t, name), -1) {
			found++
			if !slices.ContainsFunc(minute.Processes, func(n process.Name) bool { return n.Agenda == m[1] }) {
				t.Errorf("%s has the process %q, which shared/wiring/minute does not name", name, m[1])
			}
		}
	}
	if found != len(minute.Processes) {
		t.Errorf("%d processes are declared, and shared/wiring/minute names %d", found, len(minute.Processes))
	}
}

func TestLawOfNames(t *testing.T) {
	for _, p := range listPackages(t) {
		switch p.Name {
		case "shared", "common", "util", "utils", "types", "models", "helpers", "misc":
			t.Errorf("%s: the name %s says nothing", local(p.ImportPath), p.Name)
		}
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", local(p.ImportPath))
		}
	}
}

// TestLawItself keeps the table honest with imports that must stay forbidden.
func TestLawItself(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"shared/moderation", "shared/im/callback", true},
		{"shared/moderation", "shared/kv", true},
		{"shared/moderation", "shared/kv/boltkv", false},
		{"shared/moderation", "shared/config", false},
		{"shared/moderation", "shared/faas", false},
		{"shared/moderation", "shared/roomstats", false},
		{"shared/kv/dynamokv", "shared/kv", true},
		{"shared/kv/dynamokv", "shared/kv/boltkv", false},
		{"shared/kv/dynamokv", "shared/config", false},
		{"shared/kv", "shared/queue", false},
		{"shared/faas", "shared/im/callback", false},
		{"shared/faas", "shared/config", true},
		{"shared/moderation/review", "shared/moderation", true},
		{"shared/moderation/review", "shared/moderation/strikes", true},
		{"shared/moderation/review", "shared/desk", false},
		{"shared/moderation/review", "shared/moderation/tms", false},
		{"shared/moderation/review", "shared/config", false},
		{"shared/moderation/tms", "shared/moderation/review", false},
		{"shared/config/secrets", "shared/kv", false},
		{"shared/wiring/cloud", "shared/kv/dynamokv", true},
		{"shared/wiring/match", "functions/bundle", false},
		{"shared/match", "shared/wiring", false},
		{"functions/bundle", "shared/wiring/features", true},
		{"functions/bundle", "functions/callback-router", false},
		{"functions/bundle", "shared/kv/kvtest", false},
		{"shared/im/imtest", "shared/im/usersig", true},
		{"shared/im/imtest", "shared/im", false},
		{"scripts/dev", "shared/im/imtest", true},
		{"scripts/dev", "functions/bundle", false},
	} {
		if got := mayImport(c.from, c.to); got != c.ok {
			t.Errorf("%s -> %s: %v, want %v", c.from, c.to, got, c.ok)
		}
	}
	for path, ok := range map[string]bool{"net/http": true, "go.etcd.io/bbolt": false, "github.com/x/y": false} {
		if isStandard(path) != ok {
			t.Errorf("isStandard(%s) is %v", path, !ok)
		}
	}
	if mayImportForeign("shared/moderation", "github.com/redis/go-redis/v9") || !mayImportForeign("shared/kv/rediskv", "github.com/redis/go-redis/v9") {
		t.Error("a rule may import a client, or an adapter may not")
	}
}
