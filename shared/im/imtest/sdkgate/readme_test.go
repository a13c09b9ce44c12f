package sdkgate_test

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
)

var update = flag.Bool("update", false, "write what the README lists of the commands")

// The README lists the SDK's commands that are answered with nothing, as the table has
// them: go test -run README -update writes the list. None of them is modelled as well.
func TestREADMEListsWhatIsNotModelled(t *testing.T) {
	const begin, end = "<!-- not modelled -->\n", "<!-- end -->"
	subjects := make(map[string][]string)
	for command, subject := range notModelled {
		subjects[subject] = append(subjects[subject], "`"+command+"`")
		if slices.Contains(sdkgate.Commands(), command) {
			t.Errorf("%s is modelled and listed as not modelled", command)
		}
	}
	var list strings.Builder
	list.WriteString("\n| for | commands |\n|---|---|\n")
	for _, subject := range slices.Sorted(maps.Keys(subjects)) {
		commands := subjects[subject]
		slices.Sort(commands)
		list.WriteString("| " + subject + " | " + strings.Join(commands, ", ") + " |\n")
	}
	list.WriteString("\n")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), begin)
	written, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("README.md lacks %q or %q", begin, end)
	case written == list.String():
	case *update:
		if err := os.WriteFile("README.md", []byte(before+begin+list.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("README.md does not list what is not modelled: go test ./shared/im/imtest/sdkgate -run README -update writes\n%s", list.String())
	}
}

// notModelled are commands that the SDK sends and the gate answers with nothing, by
// what they are for. README.md lists them.
var notModelled = map[string]string{
	"recentcontact.create_contact_group":     "groups of conversations",
	"recentcontact.update_contact_group":     "groups of conversations",
	"recentcontact.del_contact_group":        "groups of conversations",
	"openim_msg_ext_http_svc.set_key_values": "message extensions",
	"openim_msg_ext_http_svc.reaction_add":   "reactions to messages",
	"message_search.query":                   "search by the server",
	"follow.follow_add":                      "following",
}
