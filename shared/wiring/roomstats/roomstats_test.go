package roomstats_test

import (
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/roomstats"
)

// TestSettings: what is given reaches the statistics, and what cannot be meant is
// refused by its name.
func TestSettings(t *testing.T) {
	read := func(values map[string]string) (*wiring.Settings, error) {
		set := config.NewReader(func(name string) (string, bool) { v, ok := values[name]; return v, ok })
		s := &wiring.Settings{Reader: set}
		c := roomstats.Config(s)
		if len(values) > 0 && set.Err() == nil {
			if c.Zone.String() != "Asia/Shanghai" || c.Popularity.Messages != 1 || c.Popularity.Likes != 7 || c.Levels.Steps[1] != 20 || c.Levels.Gift != 0 || !c.LikesDelivered || c.Off != nil || c.Like.Count != "n" || len(c.Uncounted) != 3 {
				t.Errorf("%+v", c)
			}
		}
		return s, set.Err()
	}
	if _, err := read(nil); err != nil {
		t.Errorf("defaults: %v", err)
	}
	if _, err := read(map[string]string{
		"ROOM_DAY_ZONE": "Asia/Shanghai", "ROOM_POPULARITY": "like=7", "ROOM_LEVEL_STEPS": "10,20,30", "ROOM_LEVEL_WEIGHTS": "gift=0",
		"ROOM_LIKES": "delivered", "ROOM_DROP_METER": "1", "ROOM_LIKE_FORMAT": "kind=heart count:n", "ROOM_UNCOUNTED": "tool,camera",
	}); err != nil {
		t.Error(err)
	}
	for name, value := range map[string]string{
		"ROOM_DAY_ZONE": "Atlantis/Capital", "ROOM_POPULARITY": "message=-1", "ROOM_LEVEL_STEPS": "10,10", "ROOM_LEVEL_WEIGHTS": "kiss=5",
		"ROOM_LIKES": "never", "ROOM_GIFT_FORMAT": "count:n", "ROOM_LIKES_PER_MINUTE": "0", "ROOM_ONLINE_EVERY": "1ms", "ROOM_POPULARITY_HALF_LIFE": "0s",
	} {
		if _, err := read(map[string]string{name: value}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
