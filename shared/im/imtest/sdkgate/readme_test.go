package sdkgate_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
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
	"follow.follow_add":      "following",
	"follow.follow_delete":   "following",
	"follow.follow_get":      "following",
	"follow.follow_check":    "following",
	"follow.follow_get_info": "following",

	"group_open_http_svc.get_huge_group_msg":                  "histories of live rooms",
	"group_open_http_svc.handle_invite_join_group":            "consent to invitations into groups",
	"group_open_http_svc.handle_invite_join_permission_group": "consent to invitations into groups",
	"group_open_http_svc.get_group_msg_receipts_by_users":     "read receipts by reader",
	"group_open_http_noauth_svc.apply_join_group":             "live rooms without a login",
	"group_open_long_polling_http_noauth_svc.get_msg":         "live rooms without a login",

	"sns.friend_response": "applications of friends",
	"sns.pendency_delete": "applications of friends",
	"sns.pendency_report": "applications of friends",
	"sns.group_update":    "renaming groups of friends",

	"im_open_translate.ws_batch_trans_text":  "translation, and speech as text",
	"im_open_speech.ws_sentence_recognition": "translation, and speech as text",
	"im_msg_audit_mgr.get_local_words":       "Tencent's own word filter, on the page",
	"im_open_status.ws_stat_settoken":        "pushes to phones",
	"offline_push_report.uniapp_sdk_report":  "pushes to phones",
	"im_cos_sign_svr.cos":                    "uploads without pre_sig",
	"im_cos_msg.get_final_ip":                "uploads without pre_sig",
	"StatSvc.KickOther":                      "a page that kicks the user's other devices",
}

// pushed are commands that the SDK receives and does not send.
var pushed = []string{
	"OverLoadPush.notify2", "im_open_push.msg_push", "im_open_push.multi_msg_push_ws", "im_open_status.stat_forceoffline",
	"im_sdk_config_mgr.push_configv2", "im_sdk_config_mgr.push_imsdk_purchase_bitsv2",
}

// Every command that the SDK from npm can send is modelled or listed as not modelled:
// its bundle has a table of services, one of commands, and pairs of both.
func TestEverySDKCommandIsModelledOrListed(t *testing.T) {
	if testing.Short() {
		t.Skip("the npm packages are not part of -short")
	}
	bundle, err := os.ReadFile(filepath.Join(nodeFolder, "node_modules/@tencentcloud/chat/index.js"))
	if err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	table := func(start string) map[string]string {
		_, rest, found := strings.Cut(string(bundle), start)
		if !found {
			t.Fatalf("the SDK has no table that starts with %s", start)
		}
		rest, _, _ = strings.Cut(rest, "}")
		names := make(map[string]string)
		for _, m := range regexp.MustCompile(`(\w+):"(\w+)"`).FindAllStringSubmatch(start+rest, -1) {
			names[m[1]] = m[2]
		}
		return names
	}
	services, commands := table(`NAME:{OPEN_IM:`), table(`{LOGIN:"wslogin"`)
	pairs := regexp.MustCompile(`\.NAME\.(\w+),"\."\)\.concat\(\w+\.(\w+)\)`).FindAllStringSubmatch(string(bundle), -1)
	if len(pairs) < 150 {
		t.Fatalf("only %d commands in the SDK", len(pairs))
	}
	modelled := append(sdkgate.Commands(), "heartbeat.alive", "im_open_status.wslogin", "im_open_status.wshello", "imopenstat.tim_web_report_v2", "openim.ws_msg_push_ack")
	for _, pair := range pairs {
		command := services[pair[1]] + "." + commands[pair[2]]
		if notModelled[command] == "" && !slices.Contains(modelled, command) && !slices.Contains(pushed, command) {
			t.Errorf("%s is neither modelled nor listed", command)
		}
	}
}
