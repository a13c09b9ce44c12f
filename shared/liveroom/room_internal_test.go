package liveroom

import (
	"slices"
	"strings"
	"testing"
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
