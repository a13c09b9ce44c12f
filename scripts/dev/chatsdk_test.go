package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"github.com/backchannel-im/backchannel/shared/wiring"
)

// What our own filter and room manager decide is what a page with Tencent's official
// web SDK meets: each check of scripts/node/chatsdk/filter.mjs asserts it at the other
// end. The page of docs/scenarios/front-end.md chats as it is pasted.
func TestOfficialSDKMeetsOurFilter(t *testing.T) {
	if testing.Short() {
		t.Skip("Node.js and a browser are not part of -short")
	}
	const folder = "../node"
	for _, f := range []string{"chatsdk.mjs", "chatsdk/harness.mjs", "chatsdk/filter.mjs", "chatsdk/minimal.mjs", "../../docs/scenarios/front-end.md"} { // the go command runs the test anew when they change
		if _, err := os.ReadFile(folder + "/" + f); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, "-state", t.TempDir())
	emulator := regexp.MustCompile(`emulator: (http://\S+)`).FindStringSubmatch(p.out.String())
	if emulator == nil {
		t.Fatalf("no emulator in %s", p.out)
	}
	cmd := exec.CommandContext(t.Context(), "node", "chatsdk.mjs", emulator[1], strconv.Itoa(appID), wiring.DevelopmentSecret, "@tencentcloud/chat", "filter", "minimal")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "BUNDLE="+p.url, "API_KEY="+wiring.DevelopmentKey)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
