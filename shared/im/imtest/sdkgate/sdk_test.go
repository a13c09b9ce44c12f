package sdkgate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
)

const nodeFolder = "../../../../scripts/node"

// sdkFiles are the files of scripts/node/chatsdk, in the sets that run beside each
// other, each with an emulator and a browser of its own.
var sdkFiles = map[string][]string{
	"people":    {"c2c", "media"},
	"settings":  {"settings", "communities"},
	"additions": {"additions"},
	"groups":    {"groups", "logins", "histories"},
	"rooms":     {"rooms", "verdicts"},
	"network":   {"network"},
	"edition":   {"edition"},
}

// TestOfficialSDK: the SDK from npm, in a browser, logs in, chats, manages groups
// and joins live rooms; each of the checks in scripts/node/chatsdk asserts what
// arrived at the other end.
func TestOfficialSDK(t *testing.T) { testSDK(t, "@tencentcloud/chat") }

// TestOlderSDKs does the same with the older versions that package.json has beside.
// What they have no API for is not checked with them, and is listed in their output.
func TestOlderSDKs(t *testing.T) {
	if !enginetest.Full() {
		t.Skip("older versions are part of BACKCHANNEL_FULL=1")
	}
	for _, version := range []string{"chat-3.1.1", "tim-js-sdk"} {
		t.Run(version, func(t *testing.T) { testSDK(t, version) })
	}
}

func testSDK(t *testing.T, version string) {
	if testing.Short() {
		t.Skip("Node.js and a browser are not part of -short")
	}
	if _, err := os.Stat(filepath.Join(nodeFolder, "node_modules", version)); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	// The go command runs a test anew when a file that it looked at has changed.
	for _, name := range []string{"chatsdk.mjs", "package-lock.json", "chatsdk/*.mjs"} {
		files, err := filepath.Glob(filepath.Join(nodeFolder, name))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", name, files, err)
		}
		for _, f := range files {
			if _, err := os.ReadFile(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	// All sets at once: they wait for the SDK more than they compute.
	type outcome struct {
		out []byte
		err error
	}
	outcomes := make(map[string]chan outcome)
	for set, files := range sdkFiles {
		o := sdkgate.Options{MediaFileBytes: 2 << 20}
		logins := 1
		if set == "edition" {
			o.Features, logins = "0", 3
		}
		w := newWorld(t, o, func(c *imtest.AppConfig) { c.WebLogins, c.OnePlatform = logins, set == "edition" })
		cmd := exec.CommandContext(t.Context(), "node", append([]string{"chatsdk.mjs", w.web.URL, strconv.Itoa(appID), key, version}, files...)...)
		cmd.Dir = nodeFolder
		ended := make(chan outcome, 1)
		outcomes[set] = ended
		go func() {
			out, err := cmd.CombinedOutput()
			ended <- outcome{out, err}
		}()
	}
	for set, ended := range outcomes {
		t.Run(set, func(t *testing.T) {
			o := <-ended
			t.Logf("%s", o.out)
			if o.err != nil {
				t.Fatal(o.err)
			}
		})
	}
}
