package liveroom

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTransitionsAreThoseOfTheContract(t *testing.T) {
	allowed := []string{
		"waiting>live", "live>paused", "live>ended", "paused>live", "paused>ended", "ended>replay", "replay>ended",
	}
	all := []Status{Waiting, Live, Paused, Ended, Replay}
	for _, from := range all {
		for _, to := range append(all, "", "closed") {
			want := slices.Contains(allowed, string(from)+">"+string(to))
			if got := from.leadsTo(to); got != want {
				t.Errorf("%s to %q: %v", from, to, got)
			}
		}
	}
}

func TestKeysOfGenerationsNeverMeet(t *testing.T) {
	old, young := Room{Generation: 1_700_000_000_000}, Room{Generation: 1_700_000_000_001}
	if strings.HasPrefix(old.Key("lottery/1"), young.Key("")) || strings.HasPrefix(young.Key("lottery/1"), old.Key("")) {
		t.Error(old.Key("lottery/1"), young.Key(""))
	}
	if old.Key("a") >= young.Key("a") {
		t.Error("keys do not sort by generation")
	}
}

// TestSignedAsCSSDoes holds the vector of CSS's manual.
func TestSignedAsCSSDoes(t *testing.T) {
	if got := signed("e12c46f2612d5106e2034781ab261ca3", "test", time.Unix(0x5C271099, 0)); got != "txSecret=f85a2ab363fe4deaffef9754d79da6fe&txTime=5C271099" {
		t.Error(got)
	}
}

func TestAliasNamesRoomAndGeneration(t *testing.T) {
	seen := make(map[string]string)
	for _, id := range []string{"a", "show", "123", "a_room", strings.Repeat("~", 48), "@x#y/z"} {
		for _, generation := range []int64{1, 1_700_000_000_000, 1_700_000_000_001, 1<<47 - 1} {
			name := alias(Room{RoomID: id, Generation: generation})
			if strings.ContainsFunc(name, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') }) {
				t.Errorf("%q is no name of letters and digits", name)
			}
			if other, twice := seen[name]; twice {
				t.Errorf("%s and %s share the alias %s", id, other, name)
			}
			seen[name] = id
			if gotID, gotGeneration, is := roomOf(name); !is || gotID != id || gotGeneration != generation {
				t.Errorf("%s of %s %d is %s %d %v", name, id, generation, gotID, gotGeneration, is)
			}
		}
	}
	for _, name := range []string{"", "show", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "A", "0189", "a-b"} {
		if id, _, is := roomOf(name); is {
			t.Errorf("%q is taken for an alias of %q", name, id)
		}
	}
}
