package sdkgate_test

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
)

// TestOfficialSDK: the SDK from npm, in a browser, logs in, chats, manages groups
// and joins live rooms; each of the checks in scripts/node/chatsdk.mjs asserts what
// arrived at the other end.
func TestOfficialSDK(t *testing.T) {
	if testing.Short() {
		t.Skip("Node.js and a browser are not part of -short")
	}
	const folder = "../../../../scripts/node"
	if _, err := os.Stat(folder + "/node_modules/@tencentcloud/chat"); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	w := newWorld(t, sdkgate.Options{})
	cmd := exec.CommandContext(t.Context(), "node", "chatsdk.mjs", w.web.URL, strconv.Itoa(appID), key)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
