package samples_test

import (
	"encoding/json"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/callback/samples"
)

func TestBodiesAreNamedByTheirCommand(t *testing.T) {
	for _, command := range samples.Commands() {
		body, found := samples.Body(command)
		var named struct{ CallbackCommand string }
		if err := json.Unmarshal(body, &named); !found || err != nil {
			t.Errorf("%s: %v", command, err)
		}
		// Push results carry no command; see callback.OfflinePush.
		if named.CallbackCommand != command && named.CallbackCommand != "" {
			t.Errorf("%s.json is of %s", command, named.CallbackCommand)
		}
	}
	if _, found := samples.Body("Group.NoSuch"); found {
		t.Error("found what is not there")
	}
}
