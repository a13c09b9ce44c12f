package settings

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/shared/config"
)

// TencentExample lists every name that the two files for Tencent read from the
// deployer's environment.
const TencentExample = "serverless.env.example"

var fromEnvironment = regexp.MustCompile(`\$\{env:([A-Z0-9_]+)\}`)

// OfTencent returns the text of TencentExample, from what the files give to
// functions and from the settings of each function.
func OfTencent(deployed []deployment.Function, of map[string][]config.Setting) string {
	var all []config.Setting
	named, required := map[string]bool{}, map[string]bool{}
	for _, f := range deployed {
		for _, text := range f.Environment {
			if m := fromEnvironment.FindStringSubmatch(text); m != nil {
				named[m[1]] = true
			}
		}
	}
	seen := map[string]bool{}
	for _, function := range functions(of) {
		for _, s := range of[function] {
			required[s.Name] = required[s.Name] || s.Required
			if named[s.Name] && !seen[s.Name] {
				seen[s.Name] = true
				all = append(all, s)
			}
		}
	}
	for i, s := range all {
		// What each function is given where its feature is not used stays empty.
		all[i].Required = s.Required && required[s.Name] && !strings.HasPrefix(s.Name, "FORWARD_")
	}
	var b strings.Builder
	b.WriteString("# What serverless.yml and serverless.split.yml read from the environment. Copy to\n")
	b.WriteString("# .env and fill in; an empty value counts as not given. imctl deploy tencent\n")
	b.WriteString("# -env .env reads it, and fills in QUEUE_URL and FORWARD_* itself where they are empty.\n")
	b.WriteString("\n# ---- The deployment\n\n# Name of the deployment, part of the names of its functions.\n# Format: lower-case letters and digits, such as prod\n# Required.\nSTAGE=\n")
	b.WriteString("\n# Region of Tencent Cloud.\n# Format: such as ap-singapore\n# Required.\nREGION=\n")
	groups, groupOf := grouped(all)
	for _, group := range groups {
		fmt.Fprintf(&b, "\n# ---- %s\n", titleOf(group))
		for _, s := range groupOf[group] {
			assignment(&b, s)
		}
	}
	return b.String()
}
