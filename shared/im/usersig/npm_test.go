package usersig_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestAgreesWithNPM: what Tencent's library for Node.js signs, we accept, and
// it says the same, field by field, as ours of that time. Its bytes differ, as
// its zlib does.
func TestAgreesWithNPM(t *testing.T) {
	if testing.Short() {
		t.Skip("Node.js is not part of -short")
	}
	const folder = "../../../scripts/node"
	if _, err := os.Stat(folder + "/node_modules/tls-sig-api-v2"); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	var in bytes.Buffer
	for _, id := range ids {
		if err := json.NewEncoder(&in).Encode(map[string]any{"appID": appID, "key": key, "userID": id, "expire": 3600}); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "usersig.cjs")
	cmd.Dir, cmd.Stdin = folder, &in
	out, err := cmd.Output()
	if err != nil {
		if e, is := errors.AsType[*exec.ExitError](err); is {
			t.Fatalf("%v\n%s", err, e.Stderr)
		}
		t.Fatal(err)
	}
	sigs := strings.Fields(string(out))
	if len(sigs) != len(ids) {
		t.Fatalf("%d UserSigs for %d ids", len(sigs), len(ids))
	}
	verifier := newSigner(t, time.Time{})
	for i, id := range ids {
		c, err := verifier.Verify(id, sigs[i])
		if err != nil {
			t.Errorf("%q: %v", id, err)
			continue
		}
		ours, err := newSigner(t, c.IssuedAt).Sign(id, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		a, b := inside(t, ours), inside(t, sigs[i])
		if len(a) != len(b) {
			t.Errorf("%q: ours has %v, npm's %v", id, a, b)
		}
		for name, value := range a {
			if b[name] != value {
				t.Errorf("%q: %s is %v here and %v there", id, name, value, b[name])
			}
		}
	}
}
