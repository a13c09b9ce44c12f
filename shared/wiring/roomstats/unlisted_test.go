package roomstats

import (
	"slices"
	"testing"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
)

// TestUnlisted: the beginnings of ids are those that their packages give.
func TestUnlisted(t *testing.T) {
	if want := []string{community.PrivatePrefix, community.ThreadPrefix, zendesk.GroupPrefix}; !slices.Equal(unlisted, want) {
		t.Errorf("%q, want %q", unlisted, want)
	}
}
