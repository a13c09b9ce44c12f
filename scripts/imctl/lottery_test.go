package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLotteryVerify works on an answer as the route gives it, computed here from the
// documentation alone.
func TestLotteryVerify(t *testing.T) {
	seed := strings.Repeat("5e", 32)
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	order := []string{"ann", "bob"}
	if hash(seed+":ann") > hash(seed+":bob") {
		order = []string{"bob", "ann"}
	}
	answer := func(change func(map[string]any)) string {
		a := map[string]any{
			"lotteryId": "00112233445566778899", "keyword": "win", "prize": "a car", "winnersWanted": 1, "commitment": hash(seed), "state": "drawn",
			"opensAt": "2026-11-29T12:00:00Z", "endsAt": "2026-11-29T12:01:00Z", "until": "2026-11-29T12:00:59Z", "drawnAt": "2026-11-29T12:01:10Z",
			"seed": seed, "entries": order, "entriesHash": hash("ann\nbob\n"), "excluded": []string{"owner"}, "winners": order[:1],
		}
		change(a)
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "lottery.json")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, c := range []struct {
		name   string
		change func(map[string]any)
		status int
		says   string
	}{
		{"fair", func(map[string]any) {}, 0, "verified: 1 winners of 2 entries, 1 excluded"},
		{"without a hash", func(a map[string]any) { delete(a, "entriesHash") }, 0, "verified"},
		{"another winner", func(a map[string]any) { a["winners"] = order[1:] }, 1, "the winners are [" + order[1] + "], and should be [" + order[0] + "]"},
		{"another seed", func(a map[string]any) { a["seed"] = strings.Repeat("00", 32) }, 1, "the seed is not the one that was committed to"},
		{"an entry more", func(a map[string]any) { a["entries"] = append([]string{"eve"}, order...) }, 1, "not those that were frozen"},
		{"not drawn", func(a map[string]any) { a["state"] = "open" }, 1, "has not been drawn"},
	} {
		r := imctl(t, "lottery", "verify", answer(c.change))
		if r.status != c.status || !strings.Contains(r.out+r.errs, c.says) {
			t.Errorf("%s: %d %s%s", c.name, r.status, r.out, r.errs)
		}
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("no JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"lottery", "verify", bad}, {"lottery", "verify", "/nowhere"}, {"lottery", "draw", bad}, {"lottery"}} {
		if r := imctl(t, args...); r.status == 0 || r.errs == "" {
			t.Errorf("%q: %d", args, r.status)
		}
	}
}
